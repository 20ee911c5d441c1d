"""A scanner to test against: SANE with its `test` backend, or the fake."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from PIL import Image

from drivers.scanner.fake import FakeScanner, FakeScannerConfig
from drivers.scanner.sane_scanner import SaneScanner, SaneScannerConfig
from kioskd.hal.scanner import (
    ScannedPage,
    Scanner,
    ScanProgress,
    ScanSettings,
    ScanSource,
)
from kioskd.simulation.sane import write_sane_config

WITHIN_S = 20.0
FEEDER_PAGES = 10  # what SANE's test backend has in its feeder
QUICK = ScanSettings(source=ScanSource.FLATBED, dpi=75)
FEEDER = ScanSettings(source=ScanSource.FEEDER, dpi=75)
A_LINE_US = 5_000


class Rig(Protocol):
    def make(self, *, slow: bool = False) -> Scanner: ...

    def pause(self) -> None: ...

    def go_on(self) -> None: ...


@dataclass
class RealRig:
    config_dir: Path

    @classmethod
    def made(cls, folder: Path) -> Self:
        """Write SANE's configuration below `folder`."""
        config_dir = folder / "sane"
        config_dir.mkdir()
        return cls(write_sane_config(config_dir))

    def make(self, *, slow: bool = False, device: str = "") -> SaneScanner:
        options: dict[str, str | bool | int | float] = {}
        if slow:
            options = {"read_delay": True, "read_delay_duration": A_LINE_US}
        return SaneScannerConfig(device=device, config_dir=self.config_dir, options=options).build()

    def pause(self) -> None:
        """It is slow enough."""

    def go_on(self) -> None:
        """It never stopped."""


@dataclass
class FakeRig:
    made: list[FakeScanner] = field(default_factory=list)

    def make(self, *, slow: bool = False) -> FakeScanner:
        self.made.append(FakeScannerConfig(feeder_pages=FEEDER_PAGES).build())
        return self.made[-1]

    def pause(self) -> None:
        self.made[-1].hold()

    def go_on(self) -> None:
        self.made[-1].release()


async def scan(
    scanner: Scanner,
    settings: ScanSettings,
    folder: Path,
    on_progress: Callable[[ScanProgress], None] | None = None,
) -> list[ScannedPage]:
    async with (
        asyncio.timeout(WITHIN_S),
        aclosing(scanner.scan(settings, folder, on_progress)) as pages,
    ):
        return [page async for page in pages]


@dataclass
class Midway:
    """A scan that has begun its first page and has far to go."""

    pages: AsyncGenerator[ScannedPage, None]
    first: asyncio.Task[ScannedPage]


async def begin(scanner: Scanner, folder: Path, pause: Callable[[], None]) -> Midway:
    """Begin a scan; `pause` is called at its first progress."""
    begun = asyncio.Event()

    def moved(_: ScanProgress) -> None:
        if not begun.is_set():
            pause()
        begun.set()

    pages = scanner.scan(QUICK, folder, moved)
    first = asyncio.ensure_future(anext(pages))
    async with asyncio.timeout(WITHIN_S):
        await begun.wait()
    return Midway(pages, first)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def check_whole(page: ScannedPage, mode: str) -> None:
    with Image.open(page.path) as picture:
        picture.load()
        assert picture.format == "JPEG"
        assert picture.size == (page.width, page.height)
        assert picture.mode == mode
        assert picture.info["dpi"] == (page.dpi, page.dpi)
    assert stat.S_IMODE(page.path.stat().st_mode) == 0o600
