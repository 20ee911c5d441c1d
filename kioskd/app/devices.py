"""The kiosk's devices under supervision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from kioskd.call.control import DeviceReport
from kioskd.control.api import DeviceStatus
from kioskd.hal.camera import Camera
from kioskd.hal.device import DeviceKind
from kioskd.hal.microphone import Microphone
from kioskd.hal.panel import Panel
from kioskd.hal.printer import Printer
from kioskd.hal.scanner import Scanner
from kioskd.hal.speaker import Speaker
from kioskd.runtime.supervisor import PULSE_S, Supervised
from kioskd.runtime.watchdog import Watchdog


class Devices:
    """One of each kind. `on_change()` is called when the health of any changes."""

    def __init__(
        self,
        *,
        camera: Camera,
        microphone: Microphone,
        speaker: Speaker,
        scanner: Scanner,
        printer: Printer,
        panel: Panel,
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.camera = Supervised(camera, on_change=self._changed)
        self.microphone = Supervised(microphone, on_change=self._changed)
        self.speaker = Supervised(speaker, keep_open=True, on_change=self._changed)
        self.scanner = Supervised(scanner, on_change=self._changed)
        self.printer = Supervised(printer, on_change=self._changed)
        self.panel = Supervised(panel, keep_open=True, on_change=self._changed)

    @property
    def all(self) -> list[Supervised[Any]]:
        """All of them, in the order in which people are told of them."""
        return [
            self.camera,
            self.microphone,
            self.speaker,
            self.scanner,
            self.printer,
            self.panel,
        ]

    def of(self, kind: DeviceKind) -> Supervised[Any]:
        """Return the device of a kind."""
        return next(one for one in self.all if one.kind == kind)

    def poke(self, kinds: Iterable[DeviceKind]) -> None:
        """Look at the devices of these kinds now."""
        for kind in kinds:
            self.of(kind).poke()

    async def run(self, watchdog: Watchdog) -> None:
        """Watch all devices until cancelled."""
        async with asyncio.TaskGroup() as group:
            for one in self.all:
                name = f"device {one.kind}"
                group.create_task(one.run(watchdog.pulse(name, PULSE_S)), name=name)
                group.create_task(one.device.watch(), name=f"watch {one.kind}")

    async def looked(self) -> None:
        """Wait until every device has been looked at once."""
        for one in self.all:
            await one.looked.wait()

    def reports(self) -> list[DeviceReport]:
        """Return what the agent and the screen are told."""
        return [
            DeviceReport(kind=one.device.kind, state=one.health.state, reason=one.health.reason)
            for one in self.all
        ]

    def statuses(self) -> list[DeviceStatus]:
        """Return what the technician is told."""
        now = time.monotonic()
        return [
            DeviceStatus(
                kind=one.device.kind,
                driver=one.description,
                state=one.health.state,
                reason=one.health.reason,
                detail=one.health.detail,
                since_s=round(now - one.health.since, 1),
                lately=one.lately.reason if one.lately else None,
                lately_s=round(now - one.lately.since, 1) if one.lately else None,
            )
            for one in self.all
        ]

    def _changed(self, _: object) -> None:
        self.on_change()
