"""The ends of a call that are pages in Chromium, and the server that feeds them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from aiohttp import web
from playwright.async_api import Browser, Page

from bench.lines.recording import Concealment, Recording, Shown
from bench.lines.speech import RATE, speech

PAGES: Final = Path(__file__).with_name("page")
WEB: Final = Path(__file__).parents[2] / "kioskd" / "web"
ARGUMENTS: Final = (
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--allow-loopback-in-peer-connection",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)
"""For tests.e2e.stage.chromium: addresses in candidates, and timers that keep their time."""
BLOCK: Final = 128
"""Samples of a render quantum (Web Audio API, section 1.1)."""
SETTLED: Final = 2 * RATE // BLOCK
"""Blocks of the first 2 s, in which the sound's thread finds its pace."""


class Studio:
    """Serves the pages on 127.0.0.1 and keeps what they send back."""

    def __init__(self, clip: Path) -> None:
        self._clip = clip
        self._sent: dict[tuple[str, str], bytes] = {}
        self._app = web.Application(client_max_size=256 << 20)
        self._app.router.add_get("/speech", self._speech)
        self._app.router.add_get("/clip", self._pictures)
        self._app.router.add_get("/{name:jitter|speech|thin}.js", self._module)
        self._app.router.add_post("/recording/{name}/{part}", self._keep)
        self._app.router.add_static("/", PAGES)
        self.address = ""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Studio]:
        """Serve as long as the block lasts."""
        runner = web.AppRunner(self._app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.address = f"http://127.0.0.1:{runner.addresses[0][1]}/peer.html"
            yield self
        finally:
            await runner.cleanup()

    def recording(self, name: str) -> Recording:
        """Return what the page `name` sent at its end."""
        words = json.loads(self._sent.pop((name, "words")))
        return as_recording(words, self._sent.pop((name, "sound")))

    async def _speech(self, _: web.Request) -> web.Response:
        return web.Response(body=speech().tobytes())

    async def _pictures(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(self._clip)

    async def _module(self, request: web.Request) -> web.Response:
        """What the agent's page does about its voice and a thin line, as it is in the product."""
        name = request.match_info["name"]
        program, source = WEB / "node_modules/.bin/esbuild", WEB / f"agent/{name}.ts"
        esbuild = await asyncio.create_subprocess_exec(
            program, source, "--format=esm", stdout=subprocess.PIPE
        )
        made = (await esbuild.communicate())[0]
        return web.Response(body=made, content_type="text/javascript")

    async def _keep(self, request: web.Request) -> web.Response:
        key = request.match_info["name"], request.match_info["part"]
        self._sent[key] = await request.read()
        return web.Response()


@contextlib.asynccontextmanager
async def page(browser: Browser, studio: Studio) -> AsyncIterator[Page]:
    """Open a page of its own process, its media running."""
    context = await browser.new_context()
    try:
        one = await context.new_page()
        errors: list[str] = []
        one.on("pageerror", lambda error: errors.append(str(error)))
        await one.goto(studio.address)
        async with asyncio.timeout(30):
            await one.evaluate("bench.prepare()")
        yield one
        if errors:
            raise RuntimeError(f"the page failed: {errors[0]}")
    finally:
        await context.close()


def as_recording(words: dict[str, Any], sound: bytes) -> Recording:
    """Turn what a page wrote down into a Recording.

    A block was said when the last of it was delivered, and heard when the first of it was
    rendered, whichever block leaves most time for neither: what is late in the sound's thread
    is the thread's lateness, not the line's.
    """
    ends = np.arange(1, len(words["said"]) + 1) * BLOCK / RATE
    said = (np.array(words["said"]) / 1000 - ends)[SETTLED:]
    begins = np.arange(len(words["heard"])) * BLOCK / RATE
    heard = (np.array(words["heard"]) / 1000 - begins)[SETTLED:]
    return Recording(
        said_from=float(np.percentile(said, 2)),
        heard_from=float(np.percentile(heard, 98)) if len(heard) else 0.0,
        heard=np.frombuffer(sound, "<i2"),
        real=None,
        shown=[Shown(*one) for one in words["shown"]],
        painted=dict(words["painted"]),
        concealment=_concealment(words["stats"]),
        documents=[(at, count) for at, count in words["documents"]],
        notes={
            "said_spread_ms": _spread_ms(said),
            "heard_spread_ms": _spread_ms(heard),
            "states": words["states"],
            "stats": words["stats"],
        },
    )


def _concealment(stats: list[dict[str, Any]]) -> list[Concealment]:
    """Return the counts of all that was heard, over receivers that began anew.

    What waited in one that was given up counts as made up: it was not heard.
    """
    counts: list[Concealment] = []
    total = made_up = 0
    before: dict[str, Any] | None = None
    waits = 0.0
    for one in stats:
        audio = one.get("inbound-rtp-audio")
        if audio is None:
            continue
        if before is not None and audio["totalSamplesReceived"] < before["totalSamplesReceived"]:
            given_up = round(waits * RATE)
            total += before["totalSamplesReceived"] + given_up
            made_up += before["concealedSamples"] + given_up
            before = None
        if before is not None:
            emitted = audio["jitterBufferEmittedCount"] - before["jitterBufferEmittedCount"]
            waited = audio["jitterBufferDelay"] - before["jitterBufferDelay"]
            waits = waited / emitted if emitted else waits
        before = audio
        played, concealed = audio["totalSamplesReceived"], audio["concealedSamples"]
        counts.append(Concealment(one["at"], total + played, made_up + concealed))
    return counts


def _spread_ms(offsets: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    """Return how uneven the sound's clock ran: from the 2nd to the 98th percentile."""
    if not len(offsets):
        return None
    return round(float(np.percentile(offsets, 98) - np.percentile(offsets, 2)) * 1000, 1)
