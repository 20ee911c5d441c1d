"""What the link adds to aiomqtt, without a broker; the rest is in tests/peer/test_line.py."""

from __future__ import annotations

import asyncio
import contextlib

from kioskd.signalling import link


async def swallowing(started: asyncio.Event) -> str:
    """Do as asyncio.wait_for does before Python 3.12 when the answer comes with a cancellation."""
    started.set()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "answered"


async def test_a_cancellation_that_aiomqtt_swallows_still_ends_the_task() -> None:
    started = asyncio.Event()
    task = asyncio.create_task(link._firmly(swallowing(started)))
    await started.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_an_answer_comes_through() -> None:
    async def answer() -> int:
        return 7

    assert await link._firmly(answer()) == 7
