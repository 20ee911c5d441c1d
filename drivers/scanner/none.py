"""A kiosk without a scanner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NoReturn

from pydantic import BaseModel, ConfigDict

from kioskd.errors import DeviceAbsent, Reason
from kioskd.hal.scanner import Scanner, ScanProgress, ScanSettings


class NoScannerConfig(BaseModel):
    """There is no scanner, and nobody expects one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["none"] = "none"

    def build(self) -> NoScanner:
        """Make the device."""
        return NoScanner()


class NoScanner(Scanner):
    """A scanner that is never there."""

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

    def scan(
        self,
        settings: ScanSettings,  # noqa: ARG002 (the contract's signature)
        folder: Path,  # noqa: ARG002 (as above)
        on_progress: Callable[[ScanProgress], None] | None = None,  # noqa: ARG002 (as above)
    ) -> NoReturn:
        """Raise DeviceAbsent, at once."""
        raise DeviceAbsent(Reason.NOT_CONFIGURED)
