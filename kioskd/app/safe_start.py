"""Safe starts: which devices are left out, and how one is tried that may kill the daemon."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import structlog

from drivers.camera.none import NoCamera
from drivers.microphone.none import NoMicrophone
from drivers.panel.none import NoPanel
from drivers.printer.none import NoPrinter
from drivers.scanner.none import NoScanner
from drivers.speaker.none import NoSpeaker
from kioskd.app.devices import Devices
from kioskd.control.api import Readmission
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceKind
from kioskd.hal.printer import Printer
from kioskd.runtime.notify import notify
from kioskd.runtime.starts import SETTLED_S, Starts

log = structlog.get_logger(__name__)

SETTLE_S: Final = 0.5
"""How long a device that was just touched may take to show what it does to us."""
TRY_LIMIT_S: Final = 30.0
"""A device's first check, its opening and the purge of a printer, a hanging one ended."""
LOOK_EVERY_S: Final = 60.0
WHY: Final = "kioskd died while it was tried"

_PLACEHOLDERS: Final[dict[DeviceKind, Callable[[], Any]]] = {
    DeviceKind.CAMERA: NoCamera,
    DeviceKind.MICROPHONE: NoMicrophone,
    DeviceKind.SPEAKER: NoSpeaker,
    DeviceKind.SCANNER: NoScanner,
    DeviceKind.PRINTER: NoPrinter,
    DeviceKind.PANEL: NoPanel,
}


class SafeStart:
    """Keeps the note of the starts, and the devices that are left out untouched."""

    def __init__(self, starts: Starts, devices: Devices) -> None:
        self._starts = starts
        self._devices = devices
        self._lock = asyncio.Lock()

    async def prepare(self) -> None:
        """Call before anything touches a device. In a safe start, try them one by one."""
        await asyncio.to_thread(self._starts.begin)
        for kind in self._starts.left_out:
            self._devices.of(kind).leave_out(_PLACEHOLDERS[kind](), WHY)
        if not self._starts.safe:
            return
        log.error("kioskd.safe_mode", failed_starts=self._starts.failed - 1)
        for one in self._devices.all:
            if one.device.kind not in self._starts.left_out:
                await self._try(one.device.kind)

    async def run(self, idle: Callable[[], bool]) -> None:
        """Note that the start was good, then take devices back whose time is over."""
        await asyncio.sleep(SETTLED_S)
        async with self._lock:
            await self.settled()
        while True:
            for kind in self._starts.due:
                if idle():
                    await self._try(kind)
            await asyncio.sleep(LOOK_EVERY_S)

    async def settled(self) -> None:
        """Note that this start was a good one, or that the daemon is stopped cleanly."""
        await asyncio.to_thread(self._starts.settled)

    async def readmit(self, kind: DeviceKind) -> Readmission:
        """Take a device back that was left out, as a technician wants it."""
        if kind not in self._starts.left_out:
            message = f"the {kind.value} is not left out"
            return Readmission(device=kind, passed=False, message=message)
        await self._try(kind)
        health = self._devices.of(kind).health
        message = f"the {kind.value} is back: {health.state.value} {health.reason or ''}".rstrip()
        return Readmission(device=kind, passed=health.state.usable, message=message)

    async def _try(self, kind: DeviceKind) -> None:
        """Touch one device with its name on disk: if that kills us, the next start knows."""
        one = self._devices.of(kind)
        async with self._lock:
            notify(f"EXTEND_TIMEOUT_USEC={round(TRY_LIMIT_S * 1e6)}")
            await asyncio.to_thread(self._starts.trying, kind)
            one.readmit()
            await one.look()
            if isinstance(one.device, Printer) and one.health.reason is not Reason.NOT_CONFIGURED:
                with contextlib.suppress(DeviceError):  # the wipe at start does so and tells
                    await one.device.purge()
            await asyncio.sleep(SETTLE_S)
            await asyncio.to_thread(self._starts.trying, None)
        log.info("kioskd.tried", device=kind.value, state=one.health.state.value)
