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
class Coded:
    """A picture as the camera itself coded it: H.264 in Annex B's byte stream, without B pictures.

    `number` rises by 1 from each to the next that hangs on it, and by more over a gap.
    """

    number: int
    data: bytes
    captured_at: float


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture in planar YUV 4:2:0, limited range (I420).

    `i420` holds width*height bytes of Y, then a quarter of that of U and of V, without
    padding. `number` counts from 0 and skips what was dropped. `captured_at` is in
    seconds of the monotonic clock. `coded` has those of a camera that codes, since the frame
    returned before: also of frames that were not.
    """

    width: int
    height: int
    i420: bytes
    number: int
    captured_at: float
    coded: tuple[Coded, ...] = ()


class Camera(Device):
    """A source of pictures. The lens is open only between `open` and `close`."""

    kind: ClassVar[DeviceKind] = DeviceKind.CAMERA
    check_proves: ClassVar[bool] = False

    @property
    @abstractmethod
    def format(self) -> VideoFormat:
        """What the camera delivers; what was asked for until `open` has returned."""

    @property
    def codes(self) -> bool:
        """Whether its frames come with what it has coded itself."""
        return False

    @abstractmethod
    async def frame(self) -> Frame:
        """Return the newest picture not yet returned, waiting for it if need be.

        Slow callers lose the pictures in between, never see old ones. Raises
        DeviceError when the camera is closed, unplugged, or delivers nothing for 2 s.
        """
