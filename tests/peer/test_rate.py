"""Rate control with a real browser: both ends tell each other what came, of sound and pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page

from kioskd.call.channels import TO_AGENT
from kioskd.call.ice import network
from kioskd.call.leg import LegState
from kioskd.rate.control import KNOWN_S
from kioskd.rate.known import START_BPS, KnownLine
from tests.peer.picture_kiosk import Kiosk, serving
from tests.waiting import until

pytestmark = pytest.mark.peer

PAGE = """<!doctype html><script>
let pc;
let received = 0;
async function answer(sdp) {
  pc = new RTCPeerConnection({iceServers: []});
  pc.ondatachannel = ({channel}) => {
    channel.onmessage = ({data}) => { received += data.size ?? data.byteLength ?? 0; };
  };
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
  await pc.setRemoteDescription({type: 'offer', sdp});
  for (const track of media.getTracks()) pc.addTrack(track, media);
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== 'complete')
    await new Promise(done => pc.addEventListener('icegatheringstatechange', done, {once: true}));
  return pc.localDescription.sdp;
}
async function arrived(condition) {
  while (!condition(received)) await new Promise(done => setTimeout(done, 50));
}
async function stat(type, kind) {
  for (const s of (await pc.getStats()).values())
    if (s.type === type && s.kind === kind) return s;
  return {};
}
async function trusts(condition) {
  for (;;) {
    for (const s of (await pc.getStats()).values())
      if (s.type === 'candidate-pair' && condition(s.availableOutgoingBitrate)) return;
    await new Promise(done => setTimeout(done, 20));
  }
}
async function until(type, kind, condition) {
  while (!condition(await stat(type, kind))) await new Promise(done => setTimeout(done, 50));
}
</script>"""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with serving(PAGE) as one:
        yield one


async def test_both_ends_hear_what_came_and_the_next_call_begins_by_it(page: Page) -> None:
    known = KnownLine()
    kiosk = Kiosk(known=known)
    try:
        await kiosk.call(page)
        async with asyncio.timeout(30):
            # It begins with our 600 kbit/s, and without feedback goes to 650 at the most.
            await page.evaluate("trusts(bps => bps > 800_000)")
            rate = kiosk.leg._rate
            assert rate is not None
            await until(lambda: rate.controller.bps > 1.5 * START_BPS)
            await until(lambda: known.start_bps(network()) > START_BPS)
            await page.evaluate("until('inbound-rtp', 'video', s => s.frameWidth === 640)")
        assert rate.controller.queue.carried_bps is not None
        held_back = rate._brake.told
        assert kiosk.estimates_sent == held_back, "the browser goes by the lower one"
        assert rate.controller.queue.lost < 0.1, "sound or picture is not told of"
    finally:
        await kiosk.leg.close()
    start = known.start_bps(network())
    assert start > START_BPS
    following = Kiosk(known=known)
    try:
        await following.leg.offer()
        assert START_BPS - 60_000 < following.picture.target_bps < start, "speech has the rest"
        following.leg._control_rate()
        assert following.leg._rate is not None
        assert following.leg._rate.controller.bps == start
    finally:
        await following.leg.close()


async def test_a_browser_is_held_back_while_a_queue_stands_and_no_longer(page: Page) -> None:
    """Speech that comes half a second later than before: a queue, until it does not go away."""
    kiosk = Kiosk()
    try:
        await kiosk.call(page)
        rate = kiosk.leg._rate
        assert rate is not None
        brake, now, late = rate._brake, asyncio.get_running_loop().time, 0.0
        brake._now = lambda: now() + late
        async with asyncio.timeout(60):
            await page.evaluate("trusts(bps => bps > 800_000)")
            await until(lambda: now() - (rate.controller._first_at or now()) > KNOWN_S)
            late = 0.5
            await page.evaluate("trusts(bps => bps < 400_000)")
            await page.evaluate("trusts(bps => bps > 600_000)")
        # It was a warning for our own sending, too, and for nothing.
        assert rate.controller._silence._warned
        assert not rate.controller.emptying
    finally:
        await kiosk.leg.close()


async def test_a_document_takes_what_is_left(page: Page) -> None:
    kiosk = Kiosk()
    size = 300_000
    try:
        await kiosk.call(page)
        async with asyncio.timeout(30):
            rate = kiosk.leg._rate
            assert rate is not None
            await until(lambda: kiosk.leg.state is LegState.CONNECTED and rate.room() is not None)
            left, most = size, 0
            while left:
                chunk = min(left, kiosk.leg.room(TO_AGENT))
                if chunk:
                    kiosk.leg.send_document(TO_AGENT, bytes(chunk))
                left -= chunk
                most = max(most, chunk)
                await asyncio.sleep(0.05)
            await page.evaluate(f"arrived(size => size >= {size})")
        assert most < size / 4, "it went out at once"
    finally:
        await kiosk.leg.close()
