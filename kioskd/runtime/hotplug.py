"""What is plugged and unplugged, told by udev as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pyudev
import structlog

from kioskd.hal.device import DeviceKind

log = structlog.get_logger(__name__)

SETTLE_S: Final = 0.2
"""One plug gives a burst of events; the device's node is ready at its end."""
KINDS: Final[dict[str, tuple[DeviceKind, ...]]] = {
    "video4linux": (DeviceKind.CAMERA,),
    "sound": (DeviceKind.MICROPHONE, DeviceKind.SPEAKER),
    "usb": (DeviceKind.SCANNER, DeviceKind.PRINTER),
    "tty": (DeviceKind.PANEL,),
}
_UDEVD: Final = Path("/run/udev/control")


class Hotplug:
    """Calls `on_plug(kinds)` shortly after devices of these kinds came or went."""

    def __init__(self, on_plug: Callable[[Iterable[DeviceKind]], None]) -> None:
        self._on_plug = on_plug
        self._kinds: set[DeviceKind] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Listen until cancelled. Without udev nothing is heard: the checks must do."""
        loop = asyncio.get_running_loop()
        try:
            monitor = await asyncio.to_thread(_listen)
        except (OSError, ImportError) as error:
            log.warning("hotplug.unavailable", error=str(error))
            return
        loop.add_reader(monitor.fileno(), self._hear, monitor)
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(monitor.fileno())
            if self._timer is not None:
                self._timer.cancel()

    def _hear(self, monitor: Any) -> None:
        while (device := monitor.poll(timeout=0)) is not None:
            self._kinds.update(KINDS.get(device.subsystem, ()))
        if self._timer is None and self._kinds:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_S, self._tell)

    def _tell(self) -> None:
        self._timer = None
        kinds, self._kinds = self._kinds, set()
        log.info("hotplug", kinds=sorted(kinds))
        self._on_plug(kinds)


def _listen() -> Any:
    """Listen to udevd, which has made the node when it tells; to the kernel where it is not."""
    source = "udev" if _UDEVD.exists() else "kernel"
    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source)
    for subsystem in KINDS:
        monitor.filter_by(subsystem)
    monitor.start()
    return monitor
