"""The scanner's contract."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final

from kioskd.hal.device import Device, DeviceKind

FIRST_LINE_S: Final = 30.0
"""How long the first line of a page may take: the head moves back, the feeder draws paper in."""
NEXT_LINE_S: Final = 15.0


class ScanSource(StrEnum):
    """Where the paper lies. AUTO takes the feeder when paper is in it, else the flatbed."""

    AUTO = "auto"
    FLATBED = "flatbed"
    FEEDER = "feeder"


class ScanMode(StrEnum):
    """Colours of a scan."""

    COLOUR = "colour"
    GREY = "grey"


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """How to scan one document. `dpi` is 75 to 600; the nearest the device has is taken."""

    source: ScanSource = ScanSource.AUTO
    mode: ScanMode = ScanMode.COLOUR
    dpi: int = 300


@dataclass(frozen=True, slots=True)
class ScannedPage:
    """One scanned page: a JPEG file of mode 0600 that now belongs to the caller.

    `number` counts from 1. `width` and `height` are in pixels; `dpi` is the resolution
    that the device really used, and stands in the file too.
    """

    number: int
    path: Path
    width: int
    height: int
    dpi: int


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a page is: `done` from 0.0 to 1.0 of page `page`, counted from 1.

    While the lamp warms up nothing is done.
    """

    page: int
    done: float
    warming_up: bool = False


class Scanner(Device):
    """A scanner with a flatbed, a feeder or both."""

    kind: ClassVar[DeviceKind] = DeviceKind.SCANNER

    @property
    def has_button(self) -> bool:
        """False where `button` need not be asked, and nothing opened for its sake."""
        return False

    async def button(self) -> bool | None:
        """Tell whether the scanner's own scan button is down; None where that cannot be told.

        The scanner is open, and no scan runs. Raises DeviceError.
        """
        return None

    @abstractmethod
    def scan(
        self,
        settings: ScanSettings,
        folder: Path,
        on_progress: Callable[[ScanProgress], None] | None = None,
    ) -> AsyncGenerator[ScannedPage, None]:
        """Scan one document into files `page-0001.jpg`, ... in `folder`, A4 sized.

        Yields each page as soon as it is whole: one from a flatbed, as many as there are
        from a feeder. Closing the generator (contextlib.aclosing) cancels the scan and
        leaves no partial file. Raises DeviceError with NO_PAPER (feeder empty at the
        start), PAPER_JAM, COVER_OPEN, BUSY, IO_ERROR, NO_ANSWER (no first line of a page
        for FIRST_LINE_S, or no next one for NEXT_LINE_S), OUT_OF_MEMORY, CRASHED,
        UNPLUGGED...; the pages yielded before stay whole. A truncated picture is never
        yielded. Raises DeviceBusy when a scan is running.
        """
