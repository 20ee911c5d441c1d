"""Timers that share wake-ups, on a real loop."""

from __future__ import annotations

import asyncio

import pytest

from kioskd.runtime.slack import share_wakeups


@pytest.mark.parametrize("slack_s", [0.0, 60.0])
async def test_a_timer_is_run_with_another_that_is_due(slack_s: float) -> None:
    loop = asyncio.get_running_loop()
    share_wakeups(loop, slack_s)
    order: list[str] = []
    later = loop.call_later(30, order.append, "later")
    await asyncio.sleep(0.01)
    order.append("sooner")
    later.cancel()
    assert order == (["later", "sooner"] if slack_s else ["sooner"])


async def test_a_timer_alone_wakes_nobody_early() -> None:
    loop = asyncio.get_running_loop()
    share_wakeups(loop, 60)
    begun = loop.time()
    await asyncio.sleep(0.05)
    assert loop.time() - begun >= 0.049
