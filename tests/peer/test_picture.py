"""The kiosk's picture in Chromium: it arrives, changes size, and a lost one is made good."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page

from kioskd.picture.ladder import START_BPS
from tests.peer.picture_kiosk import Kiosk, serving

pytestmark = pytest.mark.peer

PAGE = """<!doctype html><script>
let pc;
async function answer(sdp) {
  pc = new RTCPeerConnection({iceServers: []});
  pc.ontrack = ({track}) => {
    const element = document.createElement(track.kind);
    element.muted = true;
    element.srcObject = new MediaStream([track]);
    document.documentElement.append(element);
    element.play();
  };
  await pc.setRemoteDescription({type: 'offer', sdp});
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== 'complete')
    await new Promise(done => pc.addEventListener('icegatheringstatechange', done, {once: true}));
  return pc.localDescription.sdp;
}
async function seen() {
  for (const s of (await pc.getStats()).values())
    if (s.type === 'inbound-rtp' && s.kind === 'video') return s;
  return {};
}
async function until(condition) {
  while (!condition(await seen())) await new Promise(done => setTimeout(done, 50));
}
</script>"""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with serving(PAGE) as one:
        yield one


@contextlib.asynccontextmanager
async def called(page: Page, *, feedback: bool = True) -> AsyncIterator[Kiosk]:
    kiosk = Kiosk()
    try:
        await kiosk.call(page, feedback=feedback)
        await until(page, "s.framesDecoded >= 10")
        yield kiosk
    finally:
        await kiosk.leg.close()


async def until(page: Page, condition: str) -> None:
    async with asyncio.timeout(20):
        await page.evaluate(f"until(s => {condition})")


async def test_the_size_follows_the_rate(page: Page) -> None:
    # With feedback the rate control has its own mind.
    async with called(page, feedback=False) as kiosk:
        kiosk.picture.target_bps = 60_000
        await until(page, "s.frameWidth === 240 && s.frameHeight === 180")
        kiosk.picture.target_bps = 600_000
        before = await page.evaluate("seen()")
        await until(page, "s.frameWidth === 640")
        after = await page.evaluate("seen()")
        assert after["framesDecoded"] > before["framesDecoded"]
        # One for each size, and what Chromium asked for.
        assert after["keyFramesDecoded"] <= 3 + kiosk.requests


async def test_a_picture_that_is_lost_for_good_is_asked_for_anew(page: Page) -> None:
    async with called(page, feedback=False) as kiosk:
        # Chromium waits 3 s before it asks, and a new size would be a key frame too.
        kiosk.picture.target_bps = START_BPS
        before, keys = await page.evaluate("seen()"), kiosk.picture.key_frames
        asked = kiosk.requests
        # A hole, and nothing that fell into it comes after all.
        lost = itertools.count()
        kiosk.loses = lambda new: not new or next(lost) < 20
        await until(page, f"s.keyFramesDecoded > {before['keyFramesDecoded']}")
        kiosk.loses = lambda _: False
        assert kiosk.requests > asked
        assert kiosk.picture.key_frames > keys
        after = await page.evaluate("seen()")
        await until(page, f"s.framesDecoded > {after['framesDecoded']} + 10")
