"""The kiosk's picture in Chromium: it arrives, changes size, and a lost one is made good."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiortc.rtp import is_rtcp
from playwright.async_api import Page, async_playwright

from kioskd.call.leg import Leg
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.call.picture import LegPicture
from kioskd.errors import DeviceError, Reason
from kioskd.hal.camera import Frame
from kioskd.hal.microphone import AudioChunk
from tests.e2e.stage import chromium
from tests.pictures import planes

pytestmark = pytest.mark.peer

WIDTH, HEIGHT, FPS = 640, 480, 30
CLIP = [planes(n, WIDTH, HEIGHT).tobytes() for n in range(30)]

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


async def _mute() -> AudioChunk:
    raise DeviceError(Reason.UNPLUGGED)


async def _ignore(_: bytes) -> None: ...


class Camera:
    """Takes pictures at FPS, by the clock."""

    def __init__(self) -> None:
        self._next = 0.0
        self._taken = 0

    async def frame(self) -> Frame:
        loop = asyncio.get_running_loop()
        self._next = max(self._next + 1 / FPS, loop.time())
        await asyncio.sleep(self._next - loop.time())
        self._taken += 1
        return Frame(WIDTH, HEIGHT, CLIP[self._taken % len(CLIP)], self._taken, loop.time())


class Kiosk:
    """A leg that shows a picture; what it sends can be lost."""

    def __init__(self) -> None:
        self.leg = Leg(
            ice_servers=[],
            audio=MicrophoneTrack(_mute),
            video=CameraTrack(Camera().frame),
            on_control=lambda _: None,
            on_document=lambda _, __: None,
            on_remote_video=lambda _, __, ___: None,
            on_remote_audio=_ignore,
            on_state=lambda _: None,
        )
        self.requests = 0
        self.loses: Callable[[bool], bool] = lambda _: False
        """Tells whether a packet of the picture is lost, new (True) or sent once more."""

    @property
    def picture(self) -> LegPicture:
        assert self.leg._picture is not None
        return self.leg._picture

    async def call(self, page: Page) -> None:
        offer = await self.leg.offer()
        self._listen()
        await self.leg.accept(await page.evaluate("sdp => answer(sdp)", offer))

    def _listen(self) -> None:
        assert self.leg._pc is not None
        sender: Any = self.leg._pc.getTransceivers()[1].sender
        transport, ask = sender.transport, sender._send_keyframe
        send = transport._send_rtp
        new, again = (ssrc.to_bytes(4, "big") for ssrc in (sender._ssrc, sender._rtx_ssrc))

        async def lossy(data: bytes) -> None:
            ours = not is_rtcp(data) and data[8:12] in (new, again)
            if not (ours and self.loses(data[8:12] == new)):
                await send(data)

        def asked() -> None:
            self.requests += 1
            ask()

        transport._send_rtp = lossy
        sender._send_keyframe = asked


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with async_playwright() as playwright:
        browser = await chromium(playwright, "--allow-loopback-in-peer-connection")
        one = await browser.new_page()
        await one.goto("http://{}:{}/".format(*runner.addresses[0][:2]))
        yield one
        await browser.close()
    await runner.cleanup()


@contextlib.asynccontextmanager
async def called(page: Page) -> AsyncIterator[Kiosk]:
    kiosk = Kiosk()
    try:
        await kiosk.call(page)
        await until(page, "s.framesDecoded >= 10")
        yield kiosk
    finally:
        await kiosk.leg.close()


async def until(page: Page, condition: str) -> None:
    async with asyncio.timeout(20):
        await page.evaluate(f"until(s => {condition})")


async def test_the_size_follows_the_rate(page: Page) -> None:
    async with called(page) as kiosk:
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
    async with called(page) as kiosk:
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
