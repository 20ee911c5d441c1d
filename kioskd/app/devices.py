"""The kiosk's devices under supervision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from kioskd.call.control import DeviceReport
from kioskd.control.api import DeviceStatus
from kioskd.hal.camera import Camera
from kioskd.hal.device import DeviceKind
from kioskd.hal.microphone import Microphone
from kioskd.hal.panel import Panel
from kioskd.hal.printer import Printer
from kioskd.hal.scanner import Scanner
from kioskd.hal.speaker import Speaker
from kioskd.runtime.hotplug import Hotplug
from kioskd.runtime.starts import Starts
from kioskd.runtime.supervisor import Supervised

SURVIVED_S: Final = 1.0
"""In safe mode: how long after its first look a device must not have killed the daemon."""


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

    async def run(self, starts: Starts) -> None:
        """Watch all devices until cancelled; one by one in safe mode (see Starts)."""
        async with asyncio.TaskGroup() as group:
            group.create_task(Hotplug(self._plugged).run(), name="hotplug")
            for one in self.all:
                kind = one.device.kind
                if kind in starts.left_out:
                    group.create_task(one.leave_out(), name=f"device {kind}")
                    continue
                if starts.safe_mode:
                    await asyncio.to_thread(starts.trying, kind)
                group.create_task(one.run(), name=f"device {kind}")
                if starts.safe_mode:
                    await one.looked.wait()
                    await asyncio.sleep(SURVIVED_S)
                    await asyncio.to_thread(starts.trying, None)

    async def looked(self) -> None:
        """Wait until every device has been looked at once."""
        for one in self.all:
            await one.looked.wait()

    def _plugged(self, kinds: Iterable[DeviceKind]) -> None:
        for one in self.all:
            if one.device.kind in kinds:
                one.poke()

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
                driver=one.device.description,
                state=one.health.state,
                reason=one.health.reason,
                detail=one.health.detail,
                since_s=round(now - one.health.since, 1),
            )
            for one in self.all
        ]

    def _changed(self, _: object) -> None:
        self.on_change()
