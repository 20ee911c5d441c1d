"""The resident and the agent of a fault's visit.

The resident speaks the screen page's own protocol (kioskd.screen.messages); the agent is
the real page in Chromium, watched for pictures and sound that stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import aiohttp
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, expect

from kioskd.screen.messages import View
from kioskd.visit.words import LineQuality
from tests.e2e.conftest import sign_in

RECONNECT_S = 0.05
NAME = "Léa"

WATCH = """async () => {
  const video = document.querySelector('[data-testid=remote-video]');
  const watch = window.watch = { pictureGap: 0, soundGap: 0, picture: 0, sound: 0 };
  watch.picture = watch.sound = performance.now();
  const seen = (what) => {
    const now = performance.now();
    watch[what + 'Gap'] = Math.max(watch[what + 'Gap'], now - watch[what]);
    watch[what] = now;
  };
  const frame = () => { seen('picture'); video.requestVideoFrameCallback(frame); };
  video.requestVideoFrameCallback(frame);
  const context = window.watchSound = new AudioContext();
  await context.resume();
  const analyser = context.createAnalyser();
  analyser.fftSize = 2048;
  const data = new Float32Array(analyser.fftSize);
  let track = null, source = null;
  window.watchTimer = setInterval(() => {
    const [now] = video.srcObject?.getAudioTracks() ?? [];
    if (now !== undefined && now !== track) {  // at first, and with each leg
      source?.disconnect();
      track = now;
      source = context.createMediaStreamSource(new MediaStream([now]));
      source.connect(analyser);
    }
    analyser.getFloatTimeDomainData(data);
    if (data.some((one) => Math.abs(one) > 0.005)) seen('sound');
  }, 20);
}"""
"""Notes when the last picture and the last audible sound of the kiosk came, in ms."""

GAPS = """() => {
  const watch = window.watch, now = performance.now();
  const gaps = [Math.max(watch.pictureGap, now - watch.picture),
                Math.max(watch.soundGap, now - watch.sound)];
  watch.pictureGap = watch.soundGap = 0;
  watch.picture = watch.sound = now;
  return gaps;
}"""
"""The longest gaps since it was asked last."""


UNWATCH = """async () => {
  clearInterval(window.watchTimer);
  await window.watchSound?.close();
  window.watchSound = undefined;
}"""


class Resident:
    """What the resident sees and presses, over the WebSocket of the screen's page."""

    def __init__(self, url: str) -> None:
        self.view: View | None = None
        self.changed = asyncio.Event()
        self.interruptions = 0
        """How often the line was told to be cut: one may be over before anybody looks."""
        self._url = f"{url}ws"
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        self._task = asyncio.create_task(self._watch(), name="resident")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._session.close()

    async def press(self, action: str, **parameters: Any) -> None:
        """Do what a press on the page does."""
        assert self._socket is not None
        await self._socket.send_json({"action": action, **parameters})

    async def until(self, what: str, true: Callable[[View], bool], seconds: float = 30) -> None:
        """Wait until the screen shows it; fail with what it shows instead."""
        try:
            async with asyncio.timeout(seconds):
                while self.view is None or not true(self.view):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"not {what} in {seconds} s but {self.view!r}") from None

    async def _watch(self) -> None:
        assert self._session is not None
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with self._session.ws_connect(self._url) as self._socket:
                    async for message in self._socket:
                        # What a panel's button does to the page is told as well.
                        if message.type is aiohttp.WSMsgType.TEXT and _is_view(message.data):
                            self._take(View.model_validate_json(message.data))
            self.view, self._socket = None, None
            await asyncio.sleep(RECONNECT_S)

    def _take(self, view: View) -> None:
        was_cut = self.view is not None and self.view.line is LineQuality.LOST
        self.interruptions += view.line is LineQuality.LOST and not was_cut
        self.view = view
        self.changed.set()


def _is_view(text: str) -> bool:
    return bool(json.loads(text).get("type") == "view")


class Agent:
    """An agent at the real page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._address = page.url

    async def crash(self) -> None:
        """Let the browser's process of this page crash, in the middle of whatever it does."""
        with contextlib.suppress(PlaywrightError):
            await self.page.goto("chrome://crash")

    async def come_back(self, name: str = NAME) -> None:
        """Open the page anew and begin another shift."""
        crashed, self.page = self.page, await self.page.context.new_page()
        await crashed.close()
        await sign_in(self.page, self._address, name)

    async def take(self) -> None:
        """Take the call that waits, and watch it."""
        await self.page.get_by_test_id("take").first.click()
        await expect(self.page.get_by_test_id("call-state")).to_have_attribute(
            "data-state", "talking"
        )
        await self.page.evaluate(WATCH)

    async def hold(self, seconds: float) -> None:
        """Let the page do nothing for a while, as on a machine that has too much to do."""
        await self.page.evaluate(
            "(ms) => setTimeout(() => { const end = Date.now() + ms; while (Date.now() < end); })",
            seconds * 1000,
        )

    async def gaps(self) -> tuple[float, float]:
        """Return the longest gaps of picture and of sound, in seconds, since last asked."""
        picture, sound = await self.page.evaluate(GAPS)
        return picture / 1000, sound / 1000

    async def back_to_line(self) -> None:
        """Leave an ended call's page; does nothing in the line."""
        await self.page.evaluate(UNWATCH)
        back, hang_up = self.page.get_by_test_id("back"), self.page.get_by_test_id("hang-up")
        if await hang_up.is_visible():
            await hang_up.click()
        if await hang_up.is_visible() or await back.is_visible():
            await back.click()

    async def ask_scan(self, source: str = "flatbed", dpi: int = 150) -> None:
        """Ask the resident for a paper."""
        await self.page.get_by_test_id("scan-source").select_option(source)
        await self.page.get_by_test_id("scan-dpi").select_option(str(dpi))
        await self.page.get_by_test_id("scan-request").click()

    async def send(self, document: Path) -> None:
        """Send a document to be printed."""
        await self.page.get_by_test_id("print-file").set_input_files(document)
