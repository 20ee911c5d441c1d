"""A serial panel gone wrong, over a pty: the loop lives on, it is told, and it heals."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from drivers.panel.limits import IN_A_ROW, Presses
from drivers.panel.serial_panel import SerialPanel, SerialPanelConfig
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.panel import Lamp, LampPattern, PanelEvent
from kioskd.runtime.supervisor import Supervised
from tests.contract.panel_emulator import PanelEmulator

ROOT = Path(__file__).parents[2]
WITHIN_S = 15.0
"""For what is promised within 5 s, on a machine that does other things too."""
BLOCKED_S = 2.0
"""The longest that the loop may be held up: far more than a busy machine takes away."""
WORK_S = 0.1
"""The longest work (of the processor) between two looks at the loop; it is a millisecond."""
CPU = 0.5
"""The part of a processor that a panel gone wrong may take, the emulator's work included."""
NOISE = """
import os, select, sys
port, left = int(sys.argv[1]), 10 << 20
noise = os.urandom(1 << 20)
while left > 0:
    select.select([], [port], [])
    left -= os.write(port, noise[:min(left, 65536)])
"""
EVENTS = """
import contextlib, os, sys, time
from drivers.panel.protocol import Event, encode
from kioskd.hal.panel import PanelEvent
port, seconds, kinds = int(sys.argv[1]), float(sys.argv[2]), list(PanelEvent)
started, sent, late = time.monotonic(), 0, b""
while (passed := time.monotonic() - started) < seconds:
    due = int(passed * 10_000)
    late += b"".join(encode(Event(n, kinds[n % len(kinds)])) for n in range(sent, due))
    sent = due
    with contextlib.suppress(BlockingIOError):
        late = late[os.write(port, late):]
    if len(late) > 65536:  # what the line does not take is lost, in whole lines
        late = late[late.find(b"\\n", len(late) - 65536) + 1:]
    time.sleep(0.001)
"""


@dataclass
class Watched:
    """A panel under its supervisor, as in the daemon, and what became of it."""

    emulator: PanelEmulator
    panel: SerialPanel
    supervised: Supervised[SerialPanel]
    events: list[PanelEvent] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)

    @property
    def health(self) -> DeviceHealth:
        return self.supervised.health

    async def until(self, condition: Callable[[], bool], seconds: float = WITHIN_S) -> float:
        """Wait until `condition` holds; return the seconds that it took."""
        started = time.monotonic()
        while not condition():
            assert time.monotonic() < started + seconds, f"not in time: {self.health}"
            await asyncio.sleep(0.02)
        return time.monotonic() - started

    async def ready(self) -> None:
        await self.until(lambda: self.health.state is DeviceState.READY)

    async def works(self) -> None:
        """See that a button and a lamp do what they are for."""
        await self.ready()
        self.events.clear()
        self.emulator.write(b"\n")  # ends what the noise has begun
        self.emulator.press(2**31, PanelEvent.HANG_UP)
        await self.until(lambda: self.events == [PanelEvent.HANG_UP])
        await self.panel.set_lamp(Lamp.CALL, LampPattern.BLINK)
        assert self.emulator.lamps[Lamp.CALL] is LampPattern.BLINK

    async def collect(self) -> None:
        while True:
            with contextlib.suppress(Exception):  # closed: it is opened again
                self.events.append(await self.panel.event())
                continue
            await asyncio.sleep(0.05)

    async def measure(self) -> None:
        while True:
            before, busy = time.monotonic(), time.process_time()
            await asyncio.sleep(0.005)
            self.lags.append(time.monotonic() - before - 0.005)
            self.work.append(time.process_time() - busy)

    @contextlib.contextmanager
    def has_time(self) -> Iterator[None]:
        """See that the loop has time for other things too."""
        self.lags.clear()
        self.work.clear()
        busy, started = time.process_time(), time.monotonic()
        yield
        cpu = (time.process_time() - busy) / (time.monotonic() - started)
        often, worst, work = sorted(self.lags)[len(self.lags) // 2], max(self.lags), max(self.work)
        print(f"lag {often * 1e3:.1f} ms, at worst {worst * 1e3:.0f} ms", end=", ")
        print(f"of which work {work * 1e3:.1f} ms; {cpu:.0%} of a processor")
        assert worst < BLOCKED_S
        assert work < WORK_S
        assert cpu < CPU


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    emulator = PanelEmulator()
    panel = SerialPanelConfig(device=emulator.device).build()
    one = Watched(emulator, panel, Supervised(panel, keep_open=True))
    tasks = [
        asyncio.create_task(work) for work in (one.supervised.run(), one.collect(), one.measure())
    ]
    await one.ready()
    yield one
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    emulator.unplug()


@contextlib.asynccontextmanager
async def writer(watched: Watched, program: str, *arguments: str) -> AsyncIterator[asyncio.Event]:
    """Run `program` with the panel's end of the line; yield what is set when it has ended."""
    port = watched.emulator.port
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(port), *arguments), cwd=ROOT, pass_fds=[port]
    )
    ended = asyncio.Event()

    async def wait() -> None:
        assert await process.wait() == 0
        ended.set()

    waiting = asyncio.create_task(wait())
    try:
        yield ended
        await waiting
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        waiting.cancel()
        await asyncio.wait([waiting])


def told(watched: Watched) -> bool:
    states = (DeviceState.DEGRADED, DeviceState.FAILED)
    return watched.health.state in states and watched.health.reason is Reason.PROTOCOL


async def test_ten_megabytes_of_noise(watched: Watched) -> None:
    async with writer(watched, NOISE) as ended:
        with watched.has_time():
            seconds = await watched.until(lambda: told(watched))
            async with asyncio.timeout(60):
                await ended.wait()
    print(f"told after {seconds:.1f} s, {watched.panel.thrown_away} bytes thrown away")
    assert watched.panel.thrown_away > 0
    print(f"ready {await watched.until(lambda: not told(watched)):.1f} s after its end")
    await watched.works()


async def test_ten_thousand_events_a_second(watched: Watched) -> None:
    async with writer(watched, EVENTS, "6") as ended:
        with watched.has_time():
            seconds = await watched.until(lambda: told(watched))
            await ended.wait()
    print(f"told after {seconds:.1f} s; {len(watched.events)} let through")
    # Until it is known for a flood, and never again.
    assert len(watched.events) <= 40
    assert watched.panel.dropped > 1000
    await watched.works()


async def test_a_panel_that_does_not_read_holds_nobody_up_and_gets_whole_lines(
    watched: Watched,
) -> None:
    watched.emulator.listen(False)
    async with writer(watched, EVENTS, "6") as ended:
        with watched.has_time():
            await ended.wait()
    asked = time.monotonic()
    await watched.supervised.look()
    assert time.monotonic() - asked < 3
    watched.emulator.listen(True)
    await watched.ready()
    assert len(watched.emulator.acknowledged) < watched.panel.dropped  # the line was full
    await watched.works()
    assert watched.emulator.garbage == 0


async def test_a_panel_that_falls_silent_is_told_and_found_again(watched: Watched) -> None:
    for _ in range(2):
        watched.emulator.mute = True
        seconds = await watched.until(lambda: watched.health.reason is Reason.NO_ANSWER)
        print(f"told after {seconds:.1f} s")
        watched.emulator.mute = False
        await watched.works()


async def test_a_panel_that_acknowledges_no_lamp_is_opened_again_and_told(
    watched: Watched,
) -> None:
    watched.emulator.drop_acks = 10**6
    with pytest.raises(DeviceError) as lost:
        await watched.panel.set_lamp(Lamp.CAMERA, LampPattern.ON)
    assert lost.value.reason is Reason.NO_ANSWER
    await watched.until(lambda: watched.health.reason is Reason.NO_ANSWER)
    watched.emulator.drop_acks = 0
    await watched.until(lambda: watched.emulator.lamps.get(Lamp.CAMERA) is LampPattern.ON)
    await watched.works()


async def test_numbers_that_wrap_and_come_out_of_order(watched: Watched) -> None:
    kinds = list(PanelEvent)
    numbers = [2**32 - 2, 2**32 - 1, 0, 1, 5, 6, 5, 6, 4, 4, 1]
    for number in numbers:
        watched.emulator.press(number, kinds[number % len(kinds)])
    await watched.until(lambda: len(watched.emulator.acknowledged) == len(numbers))
    once = [2**32 - 2, 2**32 - 1, 0, 1, 5, 6, 4]
    await watched.until(lambda: len(watched.events) >= len(once))
    assert watched.events == [kinds[number % len(kinds)] for number in once]


async def test_a_stuck_button_is_told_and_the_others_work(watched: Watched) -> None:
    for number in range(IN_A_ROW + 20):
        watched.emulator.press(number, PanelEvent.VOLUME_UP)
        await asyncio.sleep(0.07)
    await watched.until(lambda: told(watched))
    assert watched.events == [PanelEvent.VOLUME_UP] * IN_A_ROW
    assert "stuck: volume-up" in watched.health.detail
    await watched.works()


def test_what_a_person_presses_is_taken_and_what_a_stuck_button_sends_is_not() -> None:
    presses, now, number = Presses(), 1000.0, 0

    def press(event: PanelEvent, every_s: float, seconds: float) -> int:
        nonlocal now, number
        taken = 0
        for _ in range(round(seconds / every_s)):
            now, number = now + every_s, number + 1
            taken += presses.take(number, event, now)
        return taken

    assert press(PanelEvent.NEXT, 1.2, 120) == 100  # as slow as one likes, for ever
    assert press(PanelEvent.NEXT, 0.2, 4) == 20  # hurried
    assert presses.trouble(now) is None
    now += 2
    for every_s in (0.9, 0.2, 0.06):
        assert press(PanelEvent.NEXT, every_s, 600) == IN_A_ROW
        assert presses.trouble(now) is not None
        assert press(PanelEvent.HANG_UP, 1, 1) == 1  # the others work
        now += 5
        assert presses.trouble(now) is None
    assert press(PanelEvent.PRESS, 0.01, 60) <= 20  # more than any finger
    now += 5
    assert press(PanelEvent.PRESS, 1, 1) == 1
