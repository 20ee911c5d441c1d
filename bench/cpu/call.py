"""One call of the bench: an end of a kind in its process, a page in Chromium, and the clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import sys
import sysconfig
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
from playwright.async_api import Page, async_playwright

from bench.lines.browser import ARGUMENTS
from tests.e2e.stage import chromium

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
LOGS: Final = ROOT / "build" / "bench"
ADDRESS: Final = "http://localhost/agent"
CONNECT_S: Final = 20.0
SETTLE_S: Final = 8.0
"""Until Chromium's rate is what it is held to."""
SHORT: Final = {"libwebrtc": 0.85}
"""What an end sends of the rate that it is held to; it is asked for so much more."""
SYSTEM_PYTHON: Final = "/usr/bin/python3"
PACKAGES: Final = sysconfig.get_path("platlib")
IN_PYTHON: Final = ("kioskd", "kioskd-decoding", "aiortc")
ENDS: Final[dict[str, list[str]]] = {
    **{kind: ["-m", "bench.cpu.kiosk"] for kind in IN_PYTHON},
    "gstreamer": [SYSTEM_PYTHON, str(HERE / "gstreamer.py")],
    "gstreamer-passing": [SYSTEM_PYTHON, str(HERE / "gstreamer.py")],
    "libwebrtc": ["node", str(HERE / "libwebrtc.js")],
}
_GST_PROBE: Final = """
import gi
for name in ("Gst", "GstApp", "GstSdp", "GstWebRTC"): gi.require_version(name, "1.0")
from gi.repository import Gst
Gst.init(None)
for name in ("webrtcbin", "nicesrc", "vp8enc", "opusenc", "dtlsenc", "srtpenc"):
    assert Gst.ElementFactory.find(name), name
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One direction as Chromium counted it: bits a second of media, pictures a second, size."""

    video_bps: float
    audio_bps: float
    fps: float
    size: str


@dataclass(frozen=True, slots=True)
class Measured:
    """One call. `cpu` is % of one core of the kiosk's end, user and system, all its threads."""

    cpu: float
    machine: float
    up: Way
    down: Way
    lag_ms: tuple[float, float] | None
    shown: float | None
    """Pictures a second that reached kioskd's screen page."""


async def missing() -> dict[str, str]:
    """Return the kinds that this machine cannot hold, each with what it lacks."""
    lacking: dict[str, str] = {}
    gstreamer = await _works(SYSTEM_PYTHON, "-c", _GST_PROBE)
    if not gstreamer:
        why = "GStreamer's webrtcbin for the system's Python (docs/cost.md)"
        lacking |= {"gstreamer": why, "gstreamer-passing": why}
    if not shutil.which("node") or not await _works("node", "-e", "require('@roamhq/wrtc')"):
        lacking["libwebrtc"] = "@roamhq/wrtc (npm install in bench/cpu)"
    return lacking


async def kiosk_python() -> str:
    """Return the Python that a kiosk has, which is Debian's, or else our own.

    Debian's is built with all optimizations; another that was met here takes half as much again
    for the same work.
    """
    same = f"import sys; assert sys.version_info[:2] == {sys.version_info[:2]}"
    probe = f"{same}; import bench.cpu.kiosk"
    works = await _works(SYSTEM_PYTHON, "-c", probe, cwd=ROOT, env=_environment())
    return SYSTEM_PYTHON if works else sys.executable


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PACKAGES}


async def _works(*command: str, cwd: Path = HERE, env: dict[str, str] | None = None) -> bool:
    nothing = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=cwd, stdin=nothing, stdout=nothing, stderr=nothing, env=env
        )
    except OSError:
        return False
    return await process.wait() == 0


def held(sdp: str, bps: int) -> str:
    """Return a description by which libwebrtc sends its picture at this rate and no other."""
    video = re.search(r"^m=video \d+ \S+ (\d+)", sdp, re.MULTILINE)
    if video is None:
        raise ValueError("a description without video")
    sdp = re.sub(rf"^a=fmtp:{video[1]} .*\r?\n", "", sdp, flags=re.MULTILINE)
    rate = ";".join(f"x-google-{name}-bitrate={bps // 1000}" for name in ("min", "start", "max"))
    return re.sub(
        rf"^(a=rtpmap:{video[1]} .*?)(\r?\n)",
        rf"\1\2a=fmtp:{video[1]} {rate}\2",
        sdp,
        count=1,
        flags=re.MULTILINE,
    )


class Process:
    """An end in its process, which is talked to by lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.said: dict[str, Any] = {}

    async def hear(self, name: str | None) -> Any:
        """Wait until it says `name`; None: until it ends."""
        assert self._process.stdout is not None
        while name is None or name not in self.said:
            line = await self._process.stdout.readline()
            if not line:
                if name is None:
                    return None
                raise RuntimeError(f"it ended without {name}: {LOGS}/cpu-*.log")
            self.said |= json.loads(line)
        return self.said[name]

    def tell(self, message: dict[str, Any]) -> None:
        """Say one line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def finish(self) -> None:
        """Let it hang up and end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(10):
            await self.hear(None)
            await self._process.wait()


@contextlib.asynccontextmanager
async def _end(kind: str, folder: Path, *numbers: int) -> AsyncIterator[Process]:
    LOGS.mkdir(parents=True, exist_ok=True)
    python = [await kiosk_python()] if kind in IN_PYTHON else []
    with (LOGS / f"cpu-{kind}.log").open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(*python, *ENDS[kind], kind, str(folder), *map(str, numbers)),
            cwd=ROOT,
            env=_environment() if python else None,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=1 << 20,
        )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def _agent(folder: Path) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await chromium(
            playwright,
            *ARGUMENTS,
            f"--use-file-for-fake-video-capture={folder / 'camera.y4m'}",
            f"--use-file-for-fake-audio-capture={folder / 'mic.wav'}",
        )
        try:
            page = await browser.new_page()
            await page.route(ADDRESS, lambda route: route.fulfill(path=HERE / "page.html"))
            await page.goto(ADDRESS)
            yield page
        finally:
            await browser.close()


class _Screen:
    """Stands for the resident's page: takes the pictures and counts them."""

    def __init__(self) -> None:
        self.pictures = 0

    async def watch(self, url: str) -> None:
        """Take pictures until cancelled."""
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}ws") as socket:
            async for message in socket:
                self.pictures += message.type is aiohttp.WSMsgType.BINARY


async def call(
    kind: str, folder: Path, size: tuple[int, int], bps: int, seconds: float
) -> Measured:
    """Hold one call for a while and measure it; raise RuntimeError or TimeoutError."""
    async with _agent(folder) as agent, _end(kind, folder, *size, bps) as end:
        screen, watching = _Screen(), None
        async with asyncio.timeout(CONNECT_S):
            offer = await end.hear("offer")
            if "screen" in end.said:
                watching = asyncio.create_task(screen.watch(end.said["screen"]), name="screen")
            answer = await agent.evaluate(
                "([sdp, w, h]) => agent.answer(sdp, w, h)", [held(offer, bps), *size]
            )
            end.tell({"answer": held(answer, round(bps / SHORT.get(kind, 1.0)))})
            await agent.evaluate("agent.connected()")
        await asyncio.sleep(SETTLE_S)
        before, cpu, shown = (
            await agent.evaluate("agent.counters()"),
            _cpu(end.pid),
            screen.pictures,
        )
        begun = time.monotonic()
        psutil.cpu_percent()
        await asyncio.sleep(seconds)
        took, used, machine = time.monotonic() - begun, _cpu(end.pid) - cpu, psutil.cpu_percent()
        shown = screen.pictures - shown
        after = await agent.evaluate("agent.counters()")
        await end.finish()
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    lag = end.said.get("lag_ms")
    return Measured(
        cpu=100 * used / took,
        machine=machine,
        up=_way(before, after, "in", "Received", "framesDecoded"),
        down=_way(before, after, "out", "Sent", "framesEncoded"),
        lag_ms=None if lag is None else tuple(lag),
        shown=None if watching is None else shown / took,
    )


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user) + float(times.system)


def _way(
    before: dict[str, Any], after: dict[str, Any], way: str, bytes_: str, pictures: str
) -> Way:
    took: float = after["at"] - before["at"]

    def rate(kind: str, name: str) -> float:
        gone: float = after[f"{way}_{kind}"][name] - before[f"{way}_{kind}"][name]
        return gone / took

    video = after[f"{way}_video"]
    coding = after.get(video.get("codecId"), "video/?").removeprefix("video/")
    return Way(
        video_bps=8 * rate("video", f"bytes{bytes_}"),
        audio_bps=8 * rate("audio", f"bytes{bytes_}"),
        fps=rate("video", pictures),
        size=f"{coding} {video.get('frameWidth')}x{video.get('frameHeight')}",
    )
