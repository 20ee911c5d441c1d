"""What the agent's page does about its browser's jitter buffer, in Chromium."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from playwright.async_api import Page

from bench.lines.shape import Script, Shape, Step
from kioskd.call.channels import TO_AGENT
from tests.peer.test_call_quality import GOOD, talk
from tests.waiting import until

pytestmark = pytest.mark.peer

NARROW = Shape(delay_ms=20, rate_bps=30_000, queue_ms=2000)
"""Less than speech alone takes: a queue of a second, once it is there for one."""

WAIT = """async () => {
  const voice = async () => {
    for (;;)
      for (const one of (await call.leg.peer.getStats()).values())
        if (one.type === 'inbound-rtp' && one.kind === 'audio') return one;
  };
  let before = await voice();
  for (;;) {
    await new Promise(done => setTimeout(done, 50));
    const now = await voice();
    const count = now.jitterBufferEmittedCount - before.jitterBufferEmittedCount;
    if (count < 0) before = now;
    if (count > 4800)
      return (now.jitterBufferTargetDelay - before.jitterBufferTargetDelay) / count;
  }
}"""
"""Seconds that the browser means sound to wait, on average over 0.1 s."""


async def test_a_queue_that_is_gone_is_not_heard_any_more() -> None:
    narrow = Step(at_s=0.5, up=NARROW, down=GOOD.down)
    wide = Step(at_s=2, up=GOOD.up, down=GOOD.down)
    async with talk(Script(steps=(GOOD, narrow, wide))) as (kiosk, page, line):
        told: list[str] = []
        say = kiosk.leg.send_control

        def said(text: str) -> None:
            if "queue-gone" in text:
                told.append(text)
            say(text)

        kiosk.leg.send_control = said  # type: ignore[method-assign]
        await until(lambda: len(kiosk.heard) > 1)
        tracks = await page.evaluate("call.remote.getTracks().map(one => one.id)")
        rate = kiosk.leg._rate
        assert rate is not None
        await line.start()
        await until(lambda: rate.controller.queues_gone)
        # The resident speaks on, so that it is told a little later.
        assert await page.evaluate(WAIT) > 0.25
        await until(lambda: told)
        # By itself a browser takes ten seconds to come down to this.
        delays = [await page.evaluate(WAIT) for _ in range(12)]
        assert min(delays) < 0.15
        heard, before = len(kiosk.heard), await kiosk.leg.stats()
        await until(lambda: len(kiosk.heard) > heard + 1)
        assert kiosk.heard[-1].concealed < 0.05
        assert await page.evaluate("call.remote.getTracks().map(one => one.id)") == tracks
        states = await page.evaluate(
            "call.remote.getTracks().map(one => one.readyState + one.muted)"
        )
        assert states == ["livefalse"] * 2
        after = await kiosk.leg.stats()
        assert before.sound is not None
        assert after.sound is not None
        assert after.sound.concealed_s - before.sound.concealed_s < 0.2, "the agent is heard too"
        assert kiosk.refused == 0
        assert set(told) == {'{"type":"queue-gone"}'}


async def until_it_waits(page: Page, right: Callable[[float], bool]) -> None:
    async with asyncio.timeout(30):
        while not right(await page.evaluate(WAIT)):
            pass


async def test_while_a_document_comes_the_voice_waits_longer() -> None:
    async with talk(Script(steps=(GOOD,))) as (kiosk, page, _):
        await until(lambda: len(kiosk.heard) > 1)
        await until_it_waits(page, lambda wait: wait < 0.1)
        document = {"type": "document", "id": "d1", "name": "a.pdf", "pages": 1}
        kind = {"media_type": "application/pdf", "size": 100_000, "sha256": "0" * 64}
        kiosk.leg.send_document(TO_AGENT, json.dumps(document | kind))
        await until_it_waits(page, lambda wait: wait > 0.11)
        # Given up, it needs no longer wait.
        kiosk.leg.send_document(TO_AGENT, json.dumps({"type": "cancel", "id": "d1"}))
        await until_it_waits(page, lambda wait: wait < 0.1)
