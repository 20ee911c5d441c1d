"""A kiosk without a printer."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NoReturn

from pydantic import BaseModel, ConfigDict

from kioskd.errors import DeviceAbsent, Reason
from kioskd.hal.printer import Printer


class NoPrinterConfig(BaseModel):
    """There is no printer, and nobody expects one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["none"] = "none"

    def build(self) -> NoPrinter:
        """Make the device."""
        return NoPrinter()


class NoPrinter(Printer):
    """A printer that is never there."""

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

    async def submit(
        self,
        document: Path,  # noqa: ARG002 (the contract's signature)
        *,
        title: str,  # noqa: ARG002 (as above)
        copies: int = 1,  # noqa: ARG002 (as above)
    ) -> NoReturn:
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)

    async def job(self, number: int) -> NoReturn:  # noqa: ARG002 (as above)
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)

    async def cancel(self, number: int) -> NoReturn:  # noqa: ARG002 (as above)
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)

    async def purge(self) -> NoReturn:
        """Raise DeviceAbsent."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)
