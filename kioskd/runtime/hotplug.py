"""Plugging and unplugging, as the kernel or udev tells of it.

With udevd running its own events are awaited: they come when names and permissions are set.
Without it the kernel's are taken; where there are none at all (most containers) the
supervisors' checks have to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import structlog

from kioskd.hal.device import DeviceKind

log = structlog.get_logger(__name__)

SETTLE_S: Final = 0.2
"""One device makes a burst of events: they are told together, this long after the first."""
UDEVD: Final = Path("/run/udev/control")

KINDS: Final = {
    "video4linux": frozenset({DeviceKind.CAMERA}),
    "tty": frozenset({DeviceKind.PANEL}),
    "usb": frozenset({DeviceKind.SCANNER, DeviceKind.PRINTER}),
    "sound": frozenset({DeviceKind.MICROPHONE, DeviceKind.SPEAKER}),
}
"""The kernel's subsystems, and whom their events concern."""


class Hotplug:
    """Calls `on_plug(kinds)`, on the loop, after devices of these kinds came, went or changed.

    A context manager; never raises for want of udev. `source` is "udev" or "kernel", where
    it is not to be found out.
    """

    def __init__(
        self,
        on_plug: Callable[[frozenset[DeviceKind]], None],
        *,
        source: str | None = None,
    ) -> None:
        self.source: str | None = None
        """Where the events come from; None where none come."""
        self._wanted = source
        self._on_plug = on_plug
        self._monitor: Any = None
        self._kinds: set[DeviceKind] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        source = self._wanted or ("udev" if UDEVD.exists() else "kernel")
        try:
            self._monitor = _monitor(source)
        except (ImportError, OSError) as error:
            log.warning("hotplug.none", error=str(error))
        else:
            self.source = source
            asyncio.get_running_loop().add_reader(self._monitor.fileno(), self._read)
            log.info("hotplug.listening", source=source)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._monitor is not None:
            asyncio.get_running_loop().remove_reader(self._monitor.fileno())
            self._monitor = None  # its last reference closes the socket

    def _read(self) -> None:
        try:
            while (device := self._monitor.poll(timeout=0)) is not None:
                self._kinds |= KINDS.get(device.subsystem, frozenset())
        except OSError as error:  # ENOBUFS: events were lost, so anything may have changed
            log.warning("hotplug.lost_events", error=str(error))
            self._kinds |= frozenset(DeviceKind)
        if self._timer is None:  # not put off by later ones: a loose plug never stops
            self._timer = asyncio.get_running_loop().call_later(SETTLE_S, self._tell)

    def _tell(self) -> None:
        self._timer = None
        kinds, self._kinds = frozenset(self._kinds), set()
        if kinds:
            self._on_plug(kinds)


def _monitor(source: str) -> Any:
    """Return a started monitor. Raises ImportError without libudev, OSError without netlink."""
    import pyudev

    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source=source)
    for subsystem in KINDS:
        monitor.filter_by(subsystem)
    monitor.start()
    return monitor
