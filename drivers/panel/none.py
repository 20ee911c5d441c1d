"""A kiosk without a panel: everything is done on the screen."""

from __future__ import annotations

from typing import Literal, NoReturn

from pydantic import BaseModel, ConfigDict

from kioskd.errors import DeviceAbsent, Reason
from kioskd.hal.panel import Lamp, LampPattern, Panel


class NoPanelConfig(BaseModel):
    """There is no panel, and nobody expects one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["none"] = "none"

    def build(self) -> NoPanel:
        """Make the device."""
        return NoPanel()


class NoPanel(Panel):
    """A panel that is never there."""

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

    async def event(self) -> NoReturn:
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)

    async def set_lamp(self, lamp: Lamp, pattern: LampPattern) -> NoReturn:  # noqa: ARG002 (the contract's signature)
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)
