"""The kiosk's picture in Chromium: it arrives, changes size, and a lost one is made good."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
from playwright.async_api import Page

from drivers.camera.fake import FakeCamera
from kioskd.call.codec_seams import Marking
from kioskd.call.coding import LegCoder
from kioskd.call.encoders import Encoders
from kioskd.hal.camera import Frame, VideoFormat
from kioskd.picture import h264, passing
from kioskd.picture.encoded import Codec, Encoding
from kioskd.rate.known import START_BPS
from tests.peer.picture_kiosk import FPS, HEIGHT, WIDTH, Kiosk, serving

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
  const all = await pc.getStats();
  for (const s of all.values())
    if (s.type === 'inbound-rtp' && s.kind === 'video')
      return {...s, codec: all.get(s.codecId)?.mimeType};
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
async def called(
    page: Page,
    coder: Callable[[], LegCoder] = LegCoder,
    frame: Callable[[], Awaitable[Frame]] | None = None,
    *,
    feedback: bool = True,
) -> AsyncIterator[Kiosk]:
    kiosk = Kiosk(coder, frame)
    try:
        await kiosk.call(page, feedback=feedback)
        await until(page, "s.framesDecoded >= 10")
        yield kiosk
    finally:
        await kiosk.leg.close()


async def until(page: Page, condition: str) -> None:
    async with asyncio.timeout(20):
        await page.evaluate(f"until(s => {condition})")


CODERS: dict[str, Callable[[], LegCoder]] = {
    "video/VP8": LegCoder,
    "video/H264": partial(LegCoder, software_h264=True),
}


@pytest.mark.parametrize("codec", CODERS)
async def test_the_size_follows_the_rate(page: Page, codec: str) -> None:
    # With feedback the rate control has its own mind.
    async with called(page, CODERS[codec], feedback=False) as kiosk:
        assert (await page.evaluate("seen()"))["codec"] == codec
        kiosk.picture.target_bps = 60_000
        await until(page, "s.frameWidth === 240 && s.frameHeight === 180")
        kiosk.picture.target_bps = 600_000
        before = await page.evaluate("seen()")
        await until(page, "s.frameWidth === 640")
        after = await page.evaluate("seen()")
        assert after["framesDecoded"] > before["framesDecoded"]
        # One for each size, and what Chromium asked for.
        assert after["keyFramesDecoded"] <= 3 + kiosk.requests


@pytest.mark.parametrize("codec", CODERS)
async def test_a_picture_that_is_lost_for_good_is_asked_for_anew(page: Page, codec: str) -> None:
    async with called(page, CODERS[codec], feedback=False) as kiosk:
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


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["crashes", "hangs"])
async def test_hardware_that_fails_in_a_call_leaves_the_picture_to_libvpx(
    page: Page, monkeypatch: pytest.MonkeyPatch, end: signal.Signals
) -> None:
    monkeypatch.setattr(h264, "is_built_in", lambda _: True)
    encoders = Encoders(Encoding.AUTO, {Encoding.H264_VAAPI: lambda: [h264.SOFTWARE]})
    await encoders.look()
    try:
        async with called(page, encoders.coder):
            await until(page, "s.codec === 'video/H264' && s.framesDecoded > 20")
            (aside,) = encoders._asides
            assert aside.pid is not None
            before = await page.evaluate("seen()")
            os.kill(aside.pid, end)
            await until(page, "s.codec === 'video/VP8'")
            await until(page, f"s.framesDecoded > {before['framesDecoded']} + 20")
            assert encoders.trouble
    finally:
        await encoders.close()


async def test_what_the_camera_has_coded_is_sent_while_it_fits(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing, "REST_S", 1.0)  # a machine that falters for 0.5 s begins anew
    used: list[Codec] = []
    use = Marking.use

    def noted(self: Marking, codec: Codec) -> None:
        used.append(codec)
        use(self, codec)

    monkeypatch.setattr(Marking, "use", noted)
    coder = Encoders(Encoding.AUTO, {}, camera_codes=True).coder
    video = VideoFormat(WIDTH, HEIGHT, FPS)
    async with (
        FakeCamera(video, 250_000) as camera,
        called(page, coder, camera.frame, feedback=False) as kiosk,
    ):
        kiosk.picture.target_bps = 900_000
        await until(page, "s.codec === 'video/H264' && s.frameWidth === 640")
        assert kiosk.picture._passing.on
        before = await page.evaluate("seen()")
        await until(page, f"s.framesDecoded > {before['framesDecoded']} + 45")
        # A key picture on demand is ours; the camera's next one takes over again.
        since = len(used)
        while Codec.VP8 not in used[since:]:
            # The camera's own may come first, as often as not.
            kiosk.picture._keys._sent_at = float("-inf")
            kiosk.picture._keys.ask()
            before = await page.evaluate("seen()")
            await until(page, f"s.framesDecoded > {before['framesDecoded']} + 10")
        before = await page.evaluate("seen()")
        await until(page, f"s.framesDecoded > {before['framesDecoded']} + 75")
        assert Codec.H264 in used[used.index(Codec.VP8, since) :]
        await until(page, "s.codec === 'video/H264'")
        # Too little for the camera's rate, and for its size.
        kiosk.picture.target_bps = 150_000
        await until(page, "s.codec === 'video/VP8' && s.frameWidth < 640")
        after = await page.evaluate("seen()")
        await until(page, f"s.framesDecoded > {after['framesDecoded']} + 20")
        assert not kiosk.picture._passing.on
