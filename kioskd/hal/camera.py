"""The camera's contract."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from kioskd.hal.device import Device, DeviceKind


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """Size in pixels (both even) and frames per second."""

    width: int
    height: int
    fps: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture in planar YUV 4:2:0, limited range (I420).

    `i420` holds width*height bytes of Y, then a quarter of that of U and of V, without
    padding. `number` counts from 0 and skips what was dropped. `captured_at` is in
    seconds of the monotonic clock.
    """

    width: int
    height: int
    i420: bytes
    number: int
    captured_at: float


class Camera(Device):
    """A source of pictures. The lens is open only between `open` and `close`."""

    kind: ClassVar[DeviceKind] = DeviceKind.CAMERA
    check_proves: ClassVar[bool] = False

    @property
    @abstractmethod
    def format(self) -> VideoFormat:
        """What the camera delivers; what was asked for until `open` has returned."""

    @abstractmethod
    async def frame(self) -> Frame:
        """Return the newest picture not yet returned, waiting for it if need be.

        Slow callers lose the pictures in between, never see old ones. Raises
        DeviceError when the camera is closed, unplugged, or delivers nothing for 2 s.
        """
