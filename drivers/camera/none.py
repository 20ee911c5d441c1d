"""A kiosk without a camera."""

from __future__ import annotations

from typing import Literal, NoReturn

from pydantic import BaseModel, ConfigDict

from kioskd.errors import DeviceAbsent, Reason
from kioskd.hal.camera import Camera, VideoFormat


class NoCameraConfig(BaseModel):
    """There is no camera, and nobody expects one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["none"] = "none"

    def build(self) -> NoCamera:
        """Make the device."""
        return NoCamera()


class NoCamera(Camera):
    """A camera that is never there."""

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return "none"

    @property
    def format(self) -> VideoFormat:
        """Nothing was asked for: all zero."""
        return VideoFormat(0, 0, 0)

    async def check(self) -> NoReturn:
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)

    async def open(self) -> NoReturn:
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)

    async def close(self) -> None:
        """Do nothing."""

    async def frame(self) -> NoReturn:
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)
