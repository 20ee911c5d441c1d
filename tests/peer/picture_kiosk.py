"""A leg that shows a made picture to a page in Chromium."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web
from aiortc.rtp import is_rtcp
from playwright.async_api import Page, async_playwright

from kioskd.call.coding import LegCoder
from kioskd.call.leg import Leg
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.call.picture import LegPicture
from kioskd.call.sending import Sending
from kioskd.errors import DeviceError, Reason
from kioskd.hal.camera import Frame
from kioskd.hal.microphone import AudioChunk
from kioskd.rate.known import KnownLine
from tests.e2e.stage import chromium
from tests.pictures import planes

WIDTH, HEIGHT, FPS = 640, 480, 30
CLIP = [planes(n, WIDTH, HEIGHT).tobytes() for n in range(30)]


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

    def __init__(
        self,
        coder: Callable[[], LegCoder] = LegCoder,
        frame: Callable[[], Awaitable[Frame]] | None = None,
        known: KnownLine | None = None,
    ) -> None:
        self.leg = Leg(
            ice_servers=[],
            audio=MicrophoneTrack(_mute),
            video=CameraTrack(frame or Camera().frame),
            on_control=lambda _: None,
            on_document=lambda _, __: None,
            on_remote_video=lambda _, __, ___: None,
            on_remote_audio=_ignore,
            on_state=lambda _: None,
            sending=Sending(coder=coder, known=known or KnownLine()),
        )
        self.requests = 0
        self.estimates_sent = 0
        self.loses: Callable[[bool], bool] = lambda _: False
        """Tells whether a packet of the picture is lost, new (True) or sent once more."""

    @property
    def picture(self) -> LegPicture:
        assert self.leg._picture is not None
        return self.leg._picture

    async def call(self, page: Page, *, feedback: bool = True) -> None:
        """Have `page` answer; without `feedback` it does not hear of the transport-wide one."""
        offer = await self.leg.offer()
        if not feedback:
            lines = offer.split("\r\n")
            offer = "\r\n".join(one for one in lines if "transport-" not in one)
        self._listen()
        await self.leg.accept(await page.evaluate("sdp => answer(sdp)", offer))

    def _listen(self) -> None:
        assert self.leg._pc is not None
        sender: Any = self.leg._pc.getTransceivers()[1].sender
        transport, ask = sender.transport, sender._send_keyframe
        send = transport._send_rtp
        new, again = (ssrc.to_bytes(4, "big") for ssrc in (sender._ssrc, sender._rtx_ssrc))

        async def lossy(data: bytes) -> None:
            if is_rtcp(data):
                self.estimates_sent += data.count(b"REMB")
            ours = not is_rtcp(data) and data[8:12] in (new, again)
            if not (ours and self.loses(data[8:12] == new)):
                await send(data)

        def asked() -> None:
            self.requests += 1
            ask()

        transport._send_rtp = lossy
        sender._send_keyframe = asked


@contextlib.asynccontextmanager
async def serving(html: str) -> AsyncIterator[Page]:
    """Show a page in Chromium, from an address that may use camera and microphone."""

    async def serve(_: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

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
