"""`kioskctl test`: trials of the kiosk's parts, by the daemon or, where it is dead, without it.

A resident goes before: no trial begins while one is there, and whatever somebody does at the
screen or the panel ends the one that runs, which gives back what it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from kioskd.app.calls import servers_of
from kioskd.app.devices import Devices
from kioskd.app.eyes import Eyes
from kioskd.app.trials.call import try_call
from kioskd.app.trials.camera import try_camera
from kioskd.app.trials.marks import Marks
from kioskd.app.trials.network import try_network
from kioskd.app.trials.panel import try_panel
from kioskd.app.trials.paper import try_printer, try_scanner
from kioskd.app.trials.sound import try_microphone, try_speaker
from kioskd.call.ice import IceServer
from kioskd.control.trial import Ended, Look, Options, Outcome, Progress, Where, Why
from kioskd.diagnostics.findings import Trouble, why
from kioskd.errors import DeviceError
from kioskd.hal.device import DeviceKind
from kioskd.hal.panel import Lamp, LampPattern, Panel, PanelEvent
from kioskd.hal.trial import Trial
from kioskd.runtime.queues import DropOldest
from kioskd.runtime.shared import SHARED_MEMORY
from kioskd.settings import Settings
from kioskd.signalling.link import BrokerAddress

log = structlog.get_logger(__name__)

LONGEST_S: Final = 150.0
"""Of a trial: a page that is printed, and buttons that are pressed for a minute."""


def _dark(_: Lamp) -> LampPattern:
    return LampPattern.OFF


async def _no_trip(_: float) -> float | None:
    return None


@dataclass(frozen=True, slots=True)
class Bench:
    """What trials are made with.

    `spool` is a folder in RAM for pages. `connected` tells whether the broker has the daemon, and
    `round_trip` then measures it; `shown` is what a lamp shows outside a trial; `press` waits for
    what is done at the panel.
    """

    where: Where
    devices: Devices
    address: BrokerAddress
    servers: tuple[IceServer, ...]
    spool: Path
    connected: Callable[[], bool] = lambda: False
    round_trip: Callable[[float], Awaitable[float | None]] = _no_trip
    shown: Callable[[Lamp], LampPattern] = _dark
    press: Callable[[Panel], Awaitable[PanelEvent]] = Panel.event


def where_is(settings: Settings) -> Where:
    """Return which kiosk the configuration is for."""
    kiosk = settings.kiosk
    return Where(kiosk=kiosk.id, name=kiosk.name, town=kiosk.town)


async def run_trial(
    bench: Bench, trial: Trial, options: Options, tell: Callable[[Progress], None]
) -> Outcome:
    """Try one part of the kiosk. What is wrong with it is in the outcome, and is not raised."""
    marks, began = Marks(trial, tell), time.monotonic()
    marks.progress(0.0)
    try:
        async with asyncio.timeout(LONGEST_S):
            await _try(bench, trial, options, marks)
    except DeviceError as error:
        marks.broken(DeviceKind(trial.value), error)
    except TimeoutError:
        detail = f"no end after {LONGEST_S:.0f} s"
        marks.mark(Look.DEVICE, 100, 0, reason=detail)
        marks.wrong(Trouble.CHECK_HANGS, f"{trial.value}: {detail}")
    except OSError as error:
        marks.mark(Look.DEVICE, 100, 0, reason=why(error))
        marks.wrong(Trouble.SPOOL_UNWRITABLE, why(error))
    outcome = marks.outcome(time.monotonic() - began)
    return outcome.model_copy(update={"where": bench.where})


async def _try(bench: Bench, trial: Trial, options: Options, marks: Marks) -> None:
    devices = bench.devices
    match trial:
        case Trial.CAMERA:
            await try_camera(devices, marks)
        case Trial.MICROPHONE:
            await try_microphone(devices, marks)
        case Trial.SPEAKER:
            await try_speaker(devices, marks)
        case Trial.PANEL:
            await try_panel(
                devices,
                marks,
                shown=bench.shown,
                press=bench.press,
                buttons_s=options.buttons_s,
            )
        case Trial.PRINTER:
            await try_printer(devices, marks, bench.where.kiosk)
        case Trial.SCANNER:
            await try_scanner(devices, marks, bench.spool, options.expect)
        case Trial.NETWORK:
            await try_network(
                marks,
                bench.address,
                bench.servers,
                connected=bench.connected(),
                round_trip=bench.round_trip,
            )
        case Trial.CALL:
            await try_call(devices, marks)


class Testing:
    """The daemon's trials, one at a time.

    `idle` tells whether nobody is there. `touched` is called for whatever somebody does at the
    kiosk.
    """

    __test__ = False  # not a class of tests, whatever its name says to pytest

    def __init__(self, bench: Bench, eyes: Eyes, *, idle: Callable[[], bool]) -> None:
        self._bench = dataclasses.replace(bench, press=self._press)
        self._eyes = eyes
        self._idle = idle
        self._task: asyncio.Task[Outcome] | None = None
        self._touched = False
        self._presses: DropOldest[PanelEvent] | None = None

    async def run(
        self, trial: Trial, options: Options, tell: Callable[[Progress], None]
    ) -> Outcome | Ended:
        """Try one part, unless somebody is there; end as soon as somebody comes."""
        if not self._idle():
            return Ended(why=Why.RESIDENT_THERE)
        if self._task is not None:
            return Ended(why=Why.TEST_RUNS)
        self._touched = False
        self._presses = DropOldest(32) if options.buttons_s and trial is Trial.PANEL else None
        work = self._eyes.test(trial, run_trial(self._bench, trial, options, tell))
        self._task = asyncio.create_task(work, name=f"trial {trial.value}")
        try:
            outcome = await self._task
        except asyncio.CancelledError:
            if not self._touched:  # the daemon stops, or kioskctl has gone
                self._task.cancel()
                await asyncio.wait([self._task])
                raise
            log.info("trial.ended_by_resident", trial=trial.value)
            return Ended(why=Why.RESIDENT_CAME)
        finally:
            self._task = self._presses = None
        log.info("trial.over", trial=trial.value, result=outcome.result.value, score=outcome.score)
        return outcome

    def touched(self) -> None:
        """Somebody is there: end the trial that runs."""
        if self._task is not None and not self._touched:
            self._touched = True
            self._task.cancel()

    def takes(self, event: PanelEvent) -> bool:
        """Take what was pressed, where a technician said that they would; else somebody came."""
        if self._presses is None:
            self.touched()
            return False
        self._presses.put(event)
        return True

    async def _press(self, _: Panel) -> PanelEvent:
        return await (self._presses or DropOldest[PanelEvent](1)).get()


@contextlib.asynccontextmanager
async def own_bench(
    settings: Settings, devices: Devices, address: BrokerAddress
) -> AsyncIterator[Bench]:
    """Make a bench without the daemon, which must be dead: it would hold the devices."""
    ram = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="kioskctl-", dir=ram) as folder:
        bench = Bench(
            where=where_is(settings),
            devices=devices,
            address=address,
            servers=servers_of(settings),
            spool=Path(folder),
        )
        try:
            yield bench
        finally:
            for one in devices.all:
                await one.device.close()
