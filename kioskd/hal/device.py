"""What all devices have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import ClassVar, Self

from kioskd.errors import Reason


class DeviceKind(StrEnum):
    """The kinds of devices of a kiosk."""

    CAMERA = "camera"
    MICROPHONE = "microphone"
    SPEAKER = "speaker"
    SCANNER = "scanner"
    PRINTER = "printer"
    PANEL = "panel"


class DeviceState(StrEnum):
    """What can be expected of a device now."""

    READY = "ready"
    BUSY = "busy"
    DEGRADED = "degraded"
    ABSENT = "absent"
    FAILED = "failed"

    @property
    def usable(self) -> bool:
        """True where the visit may offer the device."""
        return self in (DeviceState.READY, DeviceState.BUSY, DeviceState.DEGRADED)


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """The published state of one device.

    `since` is in seconds of the monotonic clock; `reason` is None when ready or busy.
    """

    state: DeviceState
    reason: Reason | None = None
    detail: str = ""
    since: float = 0.0


class Device(ABC):
    """A device of the kiosk.

    The constructor touches nothing. `open` acquires, `close` releases; both may be
    called twice. Every method raises DeviceError, and only DeviceError, when the
    device cannot do what was asked; cancelling a call leaves the device usable or
    closed, never stuck.
    """

    kind: ClassVar[DeviceKind]

    check_proves: ClassVar[bool] = True
    """False where `check` finds a device ready that may still fail when it is opened, because
    to open it for a check would be wrong (a lens, a microphone)."""

    look_again: Callable[[], None] = staticmethod(lambda: None)
    """Set by who watches the device; a driver calls it, on the loop, when it has noticed that
    `check` may answer otherwise than before (plugged, unplugged, a stream that ended)."""

    @property
    @abstractmethod
    def description(self) -> str:
        """Driver and address in one short line, for the technician."""

    async def watch(self) -> None:  # noqa: B027  (only some drivers have news)
        """Call `look_again` whenever something is noticed, until cancelled.

        Runs beside the supervision, and never raises. A driver that has no news returns.
        """

    @abstractmethod
    async def check(self) -> DeviceHealth:
        """Tell whether the device could be used now, without disturbing its use.

        Works open and closed. Never opens the camera's or the microphone's stream.
        Returns READY or DEGRADED with its reason (`since` is left 0); raises
        DeviceError when the device cannot be used. Takes 3 s at the most.
        """

    @abstractmethod
    async def open(self) -> None:
        """Acquire the device; does nothing when it is open."""

    @abstractmethod
    async def close(self) -> None:
        """Release the device; never raises DeviceError; does nothing when it is closed."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
