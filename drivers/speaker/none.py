"""A kiosk without a speaker."""

from __future__ import annotations

from typing import Literal, NoReturn

from pydantic import BaseModel, ConfigDict

from kioskd.errors import DeviceAbsent, Reason
from kioskd.hal.microphone import Route
from kioskd.hal.speaker import Speaker


class NoSpeakerConfig(BaseModel):
    """There is no speaker, and nobody expects one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["none"] = "none"

    def build(self) -> NoSpeaker:
        """Make the device."""
        return NoSpeaker()


class NoSpeaker(Speaker):
    """A speaker that is never there."""

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

    async def play(self, pcm: bytes) -> NoReturn:  # noqa: ARG002 (the contract's signature)
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)

    async def set_volume(self, volume: float) -> NoReturn:  # noqa: ARG002 (as above)
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)

    async def route(self, route: Route) -> None:
        """Do nothing."""
