"""A kiosk without a microphone."""

from __future__ import annotations

from typing import Literal, NoReturn

from pydantic import BaseModel, ConfigDict

from kioskd.errors import DeviceAbsent, Reason
from kioskd.hal.microphone import Microphone, Route


class NoMicrophoneConfig(BaseModel):
    """There is no microphone, and nobody expects one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["none"] = "none"

    def build(self) -> NoMicrophone:
        """Make the device."""
        return NoMicrophone()


class NoMicrophone(Microphone):
    """A microphone that is never there."""

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return "none"

    async def check(self) -> NoReturn:
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)

    async def open(self) -> NoReturn:
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)

    async def close(self) -> None:
        """Do nothing."""

    async def chunk(self) -> NoReturn:
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)

    async def route(self, route: Route) -> None:
        """Do nothing."""
