"""A camera made of arithmetic, for development, demonstration and tests."""

from __future__ import annotations

import time
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers.camera.picture import Painter
from kioskd.errors import DeviceError, Reason
from kioskd.hal.camera import Camera, Frame, VideoFormat
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.simulated import Simulated

STALL_S: Final = 2.0
CHECK_S: Final = 2.5


class FakeCameraConfig(BaseModel):
    """A moving test picture (see `drivers.camera.picture`) in real time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["fake"] = "fake"
    width: int = Field(640, ge=48, le=3840, multiple_of=2)
    height: int = Field(480, ge=32, le=2160, multiple_of=2)
    fps: int = Field(30, ge=1, le=60)

    def build(self) -> FakeCamera:
        """Make the device."""
        return FakeCamera(VideoFormat(self.width, self.height, self.fps))


class FakeCamera(Simulated, Camera):
    """Paints a picture when one is asked for, at the pace of a real camera."""

    def __init__(self, video: VideoFormat) -> None:
        super().__init__()
        self._format = video
        self._painter: Painter | None = None
        self._started = 0.0
        self._last = -1

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"fake {self._format.width}x{self._format.height}"

    @property
    def format(self) -> VideoFormat:
        """What the camera delivers."""
        return self._format

    @property
    def is_open(self) -> bool:
        """True while the lens is open."""
        return self._painter is not None

    async def check(self) -> DeviceHealth:
        """Tell whether the camera could be used now."""
        await self._pass(CHECK_S)
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Open the lens."""
        if self._painter is not None:
            return
        await self._pass(STALL_S)
        self._painter = Painter(self._format.width, self._format.height)
        self._started = time.monotonic()
        self._last = -1

    async def close(self) -> None:
        """Close the lens; whoever waits for a picture is told."""
        self._painter = None
        self._tell()

    async def frame(self) -> Frame:
        """Return the newest picture not yet returned, waiting for it if need be."""
        while True:
            self._need_open()
            await self._pass(STALL_S)
            painter = self._need_open()
            number = int((time.monotonic() - self._started) * self._format.fps)
            if number > self._last:
                break
            due = self._started + (self._last + 1) / self._format.fps
            await self._sleep(max(0.0, due - time.monotonic()) + 0.0005)
        self._last = number
        width, height = self._format.width, self._format.height
        now = time.monotonic()
        return Frame(width, height, painter.paint(number, time.time_ns() // 1_000_000), number, now)

    def _need_open(self) -> Painter:
        if self._painter is None:
            raise DeviceError(Reason.CANCELLED, "the camera is closed")
        return self._painter
