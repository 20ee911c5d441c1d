"""Holds the calls: one kind of kiosk's end, an agent's page, and the relay between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import statistics
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import psutil
from playwright.async_api import Browser, Page
from playwright.async_api import Error as BrowserError
from pydantic import BaseModel, ConfigDict

from bench.lines.browser import Studio, page
from bench.lines.kiosk import ENDS
from bench.lines.lines import WARM_S, Line
from bench.lines.picture import sights
from bench.lines.recording import Recording
from bench.lines.relay import Relay, Stats, relay
from bench.lines.result import Call, figures
from bench.lines.signalling import address_of, led_through
from bench.lines.sound import Talk
from bench.lines.speech import speech

LOGS: Final = Path(__file__).parents[2] / "build" / "bench"
REHEARSAL_S: Final = 6.0
CONNECT_S: Final = 20.0
KINDS: Final = ("aiortc", "kioskd", "chromium")
BUSY_PERCENT: Final = 92.0
"""CPU of the whole machine above which something has waited for its turn."""
LATE_MS: Final = 5.0
"""The relay's lateness, 99th percentile, beyond which a line's delays are not as written."""
UNEVEN_MS: Final = 60.0
"""Spread of a page's sound clock beyond which its thread was starved."""
PAINTED: Final = 0.95
"""Least share of its pictures that a camera must have got to paint."""


class Rehearsal(BaseModel):
    """What a page adds of its own to the delays it measures: it hears and sees itself."""

    model_config = ConfigDict(frozen=True)

    mouth_to_ear_ms: float | None
    glass_to_glass_ms: float | None


async def rehearse(browser: Browser, studio: Studio, delay_s: float = 0.0) -> Rehearsal:
    """Measure a page that hears itself `delay_s` later, and sees itself at once."""
    async with page(browser, studio) as one:
        await one.evaluate("([s, d]) => bench.rehearse(s, d)", [REHEARSAL_S, delay_s])
        await one.evaluate("bench.finish('rehearsal')")
    recording = studio.recording("rehearsal")
    talk = Talk(recording.said_from, recording.heard_from, recording.heard)
    begin = recording.heard_from + 2
    moments = talk.moments(speech(), begin, recording.heard_from + REHEARSAL_S - 0.5)
    delays = [one.delay * 1000 for one in moments if one.delay is not None]
    seen = [one.delay * 1000 for one in sights(recording.shown, recording.painted)]
    return Rehearsal(
        mouth_to_ear_ms=round(statistics.median(delays), 1) if delays else None,
        glass_to_glass_ms=round(statistics.median(seen), 1) if seen else None,
    )


class KioskEnd(ABC):
    """The kiosk's end of a call, whatever holds it."""

    pid: int | None = None

    @abstractmethod
    async def offer(self) -> str:
        """Return its offer."""

    @abstractmethod
    async def accept(self, sdp: str) -> None:
        """Hand it the answer."""

    @abstractmethod
    async def connected(self) -> None:
        """Wait until it is connected."""

    @abstractmethod
    async def scan(self, size: int) -> None:
        """Begin to send a document of `size` bytes, and return at once."""

    @abstractmethod
    async def finish(self) -> Recording:
        """End it and return what it wrote down."""


class ProcessEnd(KioskEnd):
    """bench.lines.kiosk in its process."""

    def __init__(self, process: asyncio.subprocess.Process, out: Path) -> None:
        self._process = process
        self._out = out
        self.pid = process.pid

    async def offer(self) -> str:
        """Return its offer."""
        return str((await self._hear())["offer"])

    async def accept(self, sdp: str) -> None:
        """Hand it the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"answer": sdp}).encode() + b"\n")

    async def connected(self) -> None:
        """Wait until it is connected."""
        await self._hear()

    async def scan(self, size: int) -> None:
        """Begin to send a document."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"scan": size}).encode() + b"\n")

    async def finish(self) -> Recording:
        """End it and return what it wrote down."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(60):
            await self._hear()
            await self._process.wait()
        recording = pickle.loads(await asyncio.to_thread(self._out.read_bytes))
        assert isinstance(recording, Recording)
        return recording

    async def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the kiosk's end died")
        message: dict[str, Any] = json.loads(line)
        return message


class PageEnd(KioskEnd):
    """A page that plays the kiosk."""

    def __init__(self, one: Page, studio: Studio) -> None:
        self._page = one
        self._studio = studio

    async def offer(self) -> str:
        """Return its offer."""
        return str(await self._page.evaluate("bench.offer()"))

    async def accept(self, sdp: str) -> None:
        """Hand it the answer."""
        await self._page.evaluate("(sdp) => bench.accept(sdp)", sdp)

    async def connected(self) -> None:
        """Wait until it is connected."""
        await self._page.evaluate("bench.connected()")

    async def scan(self, size: int) -> None:
        """Begin to send a document."""
        await self._page.evaluate("(size) => void bench.scan(size)", size)

    async def finish(self) -> Recording:
        """End it and return what it wrote down."""
        await self._page.evaluate("bench.finish('kiosk')")
        return self._studio.recording("kiosk")


class Meter:
    """CPU of the parts over a stretch of time, in % of one core; `machine` is of all cores."""

    def __init__(self, kiosk: int | None, relay_pid: int) -> None:
        self._ones = {"relay": relay_pid} | ({} if kiosk is None else {"kiosk": kiosk})
        self._at = time.monotonic()
        self._before = self._used()
        psutil.cpu_percent()

    def percent(self) -> dict[str, float]:
        """Return the averages since it was made."""
        took, used = time.monotonic() - self._at, self._used()
        parts = {
            name: round(100 * (cpu - self._before.get(name, 0.0)) / took, 1)
            for name, cpu in used.items()
        }
        return parts | {"machine": psutil.cpu_percent(), "load": psutil.getloadavg()[0]}

    def _used(self) -> dict[str, float]:
        used = {name: _cpu_s(psutil.Process(pid)) for name, pid in self._ones.items()}
        children = psutil.Process().children(recursive=True)
        used["chromium"] = sum(_cpu_s(one) for one in children if "chrom" in _name(one))
        used["bench"] = _cpu_s(psutil.Process())
        return used


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


@contextlib.asynccontextmanager
async def _kiosk(
    kind: str, browser: Browser, studio: Studio, folder: Path
) -> AsyncIterator[KioskEnd]:
    if kind not in ENDS:
        async with page(browser, studio) as one:
            yield PageEnd(one, studio)
        return
    out = folder / "kiosk.recording"
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"lines-{kind}.log").open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.lines.kiosk", kind, str(folder / "clip"), str(out)),
            cwd=Path(__file__).parents[2],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=1 << 20,
        )
    try:
        yield ProcessEnd(process, out)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def call(
    line: Line, kind: str, seed: int, browser: Browser, studio: Studio, folder: Path
) -> Call:
    """Hold one call and measure it; what fails is told in the Call."""
    try:
        async with (
            relay(line.script, seed) as way,
            page(browser, studio) as agent,
            _kiosk(kind, browser, studio, folder) as kiosk,
        ):
            begun = time.monotonic()
            async with asyncio.timeout(CONNECT_S):
                await _meet(kiosk, agent, way, ours=kind == "kioskd")
            connected_s = time.monotonic() - begun
            started = await way.start()
            await asyncio.sleep(WARM_S)
            meter = Meter(kiosk.pid, way.pid)
            await _through(line, kiosk)
            cpu, carried = meter.percent(), await way.stats()
            await agent.evaluate("bench.finish('agent')")
            theirs, ours = studio.recording("agent"), await kiosk.finish()
    except (RuntimeError, TimeoutError, ValueError, BrowserError) as error:
        return Call(line=line.name, kind=kind, error=f"{type(error).__name__}: {error}")
    return Call(
        line=line.name,
        kind=kind,
        up=await asyncio.to_thread(figures, line, ours, theirs, started, carried.up),
        down=await asyncio.to_thread(figures, line, theirs, ours, started, carried.down),
        connected_s=connected_s,
        cpu=cpu,
        starved=_starved(line, cpu, carried, ours, theirs),
        notes={
            "kiosk": ours.notes,
            "agent": theirs.notes,
            "relay": carried.model_dump(exclude={"up": {"series"}, "down": {"series"}}),
        },
    )


async def _through(line: Line, kiosk: KioskEnd) -> None:
    begin = line.scan.begin_s if line.scan else line.call_s
    await asyncio.sleep(begin - WARM_S)
    if line.scan:
        await kiosk.scan(line.scan.size)
    await asyncio.sleep(line.call_s - begin + 1)


async def _meet(kiosk: KioskEnd, agent: Page, way: Relay, *, ours: bool) -> None:
    offer = await kiosk.offer()
    led = led_through(offer, way.port_b)
    answer = await agent.evaluate("([sdp, ours]) => bench.answer(sdp, ours)", [led, ours])
    await way.connect(address_of(offer), address_of(answer))
    await kiosk.accept(led_through(answer, way.port_a))
    await asyncio.gather(kiosk.connected(), agent.evaluate("bench.connected()"))


def _starved(
    line: Line, cpu: dict[str, float], carried: Stats, ours: Recording, theirs: Recording
) -> list[str]:
    """Name what had too little of the machine for the figures to be the line's alone."""
    found = []
    if cpu["machine"] > BUSY_PERCENT:
        found.append(f"the machine, {cpu['machine']:.0f} % busy")
    if carried.late_p99_ms > LATE_MS:
        found.append(f"the relay, {carried.late_p99_ms:.0f} ms late")
    for name, end in (("kiosk", ours), ("agent", theirs)):
        spread = max(end.notes.get(key) or 0.0 for key in ("said_spread_ms", "heard_spread_ms"))
        if spread > UNEVEN_MS:
            found.append(f"the {name}'s sound, {spread:.0f} ms uneven")
        if abs(end.notes.get("clock_moved_ms", 0.0)) > LATE_MS:
            found.append("the wall clock was set")
        if len(end.painted) < PAINTED * 30 * line.call_s:
            found.append(f"the {name}'s camera, {len(end.painted)} pictures")
    return found
