"""A scanner that draws its pages, for development, demonstration and tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Final, Literal

from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel, ConfigDict, Field

from drivers.scanner.pages import A4_MM, page_path, write_page
from kioskd.errors import DeviceBusy, DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.scanner import (
    FIRST_LINE_S,
    NEXT_LINE_S,
    ScanMode,
    ScannedPage,
    Scanner,
    ScanProgress,
    ScanSettings,
    ScanSource,
)
from kioskd.hal.simulated import Simulated

ANSWER_S: Final = 2.0
STEPS: Final = 4
MM_PER_INCH: Final = 25.4


class FakeScannerConfig(BaseModel):
    """A flatbed and a feeder with `feeder_pages` pages in it at the start.

    `button` says whether the scanner has a button of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["fake"] = "fake"
    feeder_pages: int = Field(0, ge=0, le=50)
    button: bool = False

    def build(self) -> FakeScanner:
        """Make the device."""
        return FakeScanner(self.feeder_pages, button=self.button)


class FakeScanner(Simulated, Scanner):
    """Draws numbered pages. `jam_after` pages of the feeder, when set, the paper jams.

    `cold` makes the lamp warm up before the next page; `pressed` is its button,
    `button_reads` how often it was looked at.
    """

    def __init__(self, feeder_pages: int, *, button: bool = False) -> None:
        super().__init__()
        self.feeder_pages = feeder_pages
        self.jam_after: int | None = None
        self.cold = False
        self.pressed = False
        self.button_reads = 0
        self._has_button = button
        self._open = False
        self._scanning = False

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return "fake"

    async def check(self) -> DeviceHealth:
        """Tell whether the scanner could be used now."""
        await self._pass(ANSWER_S)
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Acquire the scanner."""
        await self._pass(ANSWER_S)
        self._open = True

    async def close(self) -> None:
        """Release the scanner."""
        self._open = False

    @property
    def has_button(self) -> bool:
        """Whether it was made with one."""
        return self._has_button

    async def button(self) -> bool | None:
        """Tell whether `pressed` is set; None where it has no button."""
        await self._pass(ANSWER_S)
        if not self._open:
            raise DeviceError(Reason.CANCELLED, "the scanner is closed")
        self.button_reads += 1
        return self.pressed if self._has_button else None

    async def scan(
        self,
        settings: ScanSettings,
        folder: Path,
        on_progress: Callable[[ScanProgress], None] | None = None,
    ) -> AsyncGenerator[ScannedPage, None]:
        """Draw one document into files in `folder`."""
        if self._scanning:
            raise DeviceBusy("a scan is running")
        if not self._open:
            raise DeviceError(Reason.CANCELLED, "the scanner is closed")
        self._scanning = True
        try:
            feeder = settings.source is ScanSource.FEEDER or (
                settings.source is ScanSource.AUTO and self.feeder_pages > 0
            )
            if feeder and self.feeder_pages == 0:
                raise DeviceError(Reason.NO_PAPER, "the feeder is empty")
            number = 0
            while number == 0 or (feeder and self.feeder_pages > 0):
                number += 1
                yield await self._page(number, settings, folder, on_progress)
                if feeder:
                    self.feeder_pages -= 1
                    if number == self.jam_after:
                        raise DeviceError(Reason.PAPER_JAM, "simulated")
        finally:
            self._scanning = False

    async def _page(
        self,
        number: int,
        settings: ScanSettings,
        folder: Path,
        on_progress: Callable[[ScanProgress], None] | None,
    ) -> ScannedPage:
        if self.cold and on_progress is not None:
            on_progress(ScanProgress(number, 0.0, warming_up=True))
        self.cold = False
        for step in range(STEPS):
            await self._pass(NEXT_LINE_S if step else FIRST_LINE_S)
            if on_progress is not None:
                on_progress(ScanProgress(number, step / STEPS))
        path = page_path(folder, number)
        try:
            size = await asyncio.to_thread(_draw, path, number, settings)
        except OSError as error:
            raise DeviceError(Reason.DISK_FULL, str(error)) from error
        return ScannedPage(number, path, *size, settings.dpi)


def _draw(path: Path, number: int, settings: ScanSettings) -> tuple[int, int]:
    width, height = (round(side / MM_PER_INCH * settings.dpi) for side in A4_MM)
    mode = "RGB" if settings.mode is ScanMode.COLOUR else "L"
    picture = Image.new(mode, (width, height), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=width / 16)
    ink = (30, 60, 140) if mode == "RGB" else 60
    pen.text((width / 10, height / 12), f"PAGE {number}", fill=ink, font=font)
    for line in range(12):
        y = height // 4 + line * height // 20
        pen.line((width // 10, y, width * 9 // 10, y), fill=ink, width=max(1, width // 400))
    write_page(picture, path, settings.dpi)
    return width, height
