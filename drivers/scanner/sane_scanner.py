"""A scanner through SANE: USB and network (eSCL) alike."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers.scanner.presence import still_there
from kioskd.errors import DeviceBusy, DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.scanner import (
    FIRST_LINE_S,
    NEXT_LINE_S,
    ScannedPage,
    Scanner,
    ScanProgress,
    ScanSettings,
)
from kioskd.runtime.worker import DeviceWorker

PING_S: Final = 1.5
"""A worker at rest answers in a millisecond; one that does not is replaced."""
CHECK_S: Final = 2.8
OPEN_S: Final = 20.0
"""Warming a lamp up takes this long on old flatbeds."""
DOCUMENT_S: Final = 1800.0
BUTTON_S: Final = 2.5
FRESH_S: Final = 2.0
"""A button that was read so lately shows that the scanner is there; a check would open it anew."""


class SaneScannerConfig(BaseModel):
    """`device` is SANE's name (scanimage -L), or a part of it or of vendor and model.

    Empty takes the first found. The bus number of a USB name may change: a scanner that
    was plugged in anew is found by the rest of its name.

    `options` are set at each scan, by their names with underscores; `config_dir` is
    SANE_CONFIG_DIR. `button` is the option, of type bool or int, that tells whether the
    scanner's own scan button is down (scanimage -A lists it among the sensors).

    A scan is given up when a page's first line has not come after `first_line_s` seconds
    (a lamp that warms up counts as progress), or a next one after `next_line_s`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["sane"] = "sane"
    device: str = ""
    config_dir: Path | None = None
    options: dict[str, str | bool | int | float] = {}
    button: str = ""
    first_line_s: float = Field(FIRST_LINE_S, gt=0)
    next_line_s: float = Field(NEXT_LINE_S, gt=0)

    def build(self) -> SaneScanner:
        """Make the device."""
        return SaneScanner(self)


class SaneScanner(Scanner):
    """Runs SANE in a worker process, which is replaced when it hangs or crashes."""

    def __init__(self, config: SaneScannerConfig) -> None:
        self._config = config
        self._open = False
        self._scanning = False
        self._name: str | None = None  # what was opened last, and worked since
        self._button_read = -math.inf
        self._last: str | None = None  # the same, kept over errors
        self._looking: asyncio.Task[Any] | None = None
        self._worker = DeviceWorker(
            "scanner",
            "drivers.scanner.sane_worker:SaneWorker",
            {
                "device": config.device,
                "config_dir": str(config.config_dir) if config.config_dir else None,
                "options": config.options,
                "button": config.button.replace("-", "_"),
            },
        )

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"sane {self._config.device or '(first found)'}"

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, for the technician and for tests of its death."""
        return self._worker.pid

    @property
    def opened_name(self) -> str | None:
        """SANE's name of what was opened last and has worked since."""
        return self._name

    async def check(self) -> DeviceHealth:
        """Tell whether the scanner could be used now; during a scan it is not disturbed.

        It is opened at first and after each error; then its place is looked at, where
        its name tells it (see presence.py).
        """
        reading = asyncio.get_running_loop().time() - self._button_read < FRESH_S
        if self._scanning or reading:
            return DeviceHealth(DeviceState.READY)
        name, self._name = self._name, None  # an error below asks for a real opening
        try:
            if name is None or not await still_there(name, self._config.config_dir):
                name = await self._look()
            else:
                await self._worker.ping(timeout=PING_S)
        except DeviceError as error:
            # SANE calls it an error of input and output, too, when it is switched off.
            if error.reason is Reason.IO_ERROR and self._last is not None:
                await still_there(self._last, self._config.config_dir)
            raise
        self._name = self._last = name
        return DeviceHealth(DeviceState.READY)

    async def _look(self) -> str:
        """Open it to see it, which may take longer than a check: the next one goes on.

        SANE's list takes many seconds where network scanners are searched for; a worker
        ended at each check would never come to its end.
        """
        if self._looking is None:
            self._looking = asyncio.create_task(
                self._worker.call("check", timeout=OPEN_S), name="scanner look"
            )
        looking = self._looking
        await asyncio.wait([looking], timeout=CHECK_S)
        if self._looking is not looking:
            raise DeviceError(Reason.CANCELLED, "the scanner was closed meanwhile")
        if not looking.done():
            raise DeviceError(Reason.NO_ANSWER, "it is still being looked for")
        self._looking = None
        return str(await looking)

    async def open(self) -> None:
        """Open the device in the worker."""
        self._name = None
        self._name = await self._worker.call("open", timeout=OPEN_S)
        self._open = True

    async def close(self) -> None:
        """Close the device and end the worker."""
        self._open = False
        self._button_read = -math.inf
        looking, self._looking = self._looking, None
        await self._worker.stop()
        if looking is not None:
            looking.cancel()  # it may have waited for its turn
            await asyncio.wait([looking])
            if not looking.cancelled():
                looking.exception()  # it was told that the worker ended
            await self._worker.stop()

    @property
    def has_button(self) -> bool:
        """Whether the configuration names one."""
        return bool(self._config.button)

    async def button(self) -> bool | None:
        """Read the option that the configuration names; None where it cannot be read."""
        if not self.has_button:
            return None
        if not self._open:
            raise DeviceError(Reason.CANCELLED, "the scanner is closed")
        try:
            down: bool | None = await self._worker.call("button", timeout=BUTTON_S)
        except DeviceError:
            self._button_read, self._name = -math.inf, None
            raise
        self._button_read = asyncio.get_running_loop().time()
        return down

    async def scan(
        self,
        settings: ScanSettings,
        folder: Path,
        on_progress: Callable[[ScanProgress], None] | None = None,
    ) -> AsyncGenerator[ScannedPage, None]:
        """Scan one document into files in `folder`."""
        if self._scanning:
            raise DeviceBusy("a scan is running")
        if not self._open:
            raise DeviceError(Reason.CANCELLED, "the scanner is closed")
        self._scanning = True
        pages: asyncio.Queue[ScannedPage | None] = asyncio.Queue()
        call = asyncio.create_task(
            self._scan(settings, folder, pages, on_progress), name="scanner scan"
        )
        try:
            while (page := await pages.get()) is not None:
                yield page
            await call
        finally:
            call.cancel()
            try:
                await asyncio.shield(asyncio.wait([call]))
            finally:
                if call.done() and not call.cancelled():
                    call.exception()  # raised above, or nobody wants it any more
                _drop_unwanted(folder, pages)
                self._scanning = False

    async def _scan(
        self,
        settings: ScanSettings,
        folder: Path,
        pages: asyncio.Queue[ScannedPage | None],
        on_progress: Callable[[ScanProgress], None] | None,
    ) -> None:
        def moved(progress: Any) -> None:
            if "page" in progress:
                number, path, width, height, dpi = progress["page"]
                pages.put_nowait(ScannedPage(number, Path(path), width, height, dpi))
            elif on_progress is not None and "warming" in progress:
                on_progress(ScanProgress(progress["warming"], 0.0, warming_up=True))
            elif on_progress is not None:
                on_progress(ScanProgress(*progress["moved"]))

        try:
            await self._worker.call("open", timeout=OPEN_S)  # a worker may be a new one
            await self._worker.call(
                "scan",
                timeout=DOCUMENT_S,
                stall=self._stall,
                on_progress=moved,
                source=settings.source.value,
                mode=settings.mode.value,
                dpi=settings.dpi,
                folder=str(folder),
            )
        except DeviceError:
            self._name = None
            raise
        finally:
            pages.put_nowait(None)

    def _stall(self, progress: Any) -> float:
        moves = progress is not None and "moved" in progress
        return self._config.next_line_s if moves else self._config.first_line_s


def _drop_unwanted(folder: Path, pages: asyncio.Queue[ScannedPage | None]) -> None:
    """Remove pages that nobody took, and what a worker that was killed had begun."""
    while not pages.empty():
        if (page := pages.get_nowait()) is not None:
            page.path.unlink(missing_ok=True)
    for partial in folder.glob("*.part"):
        partial.unlink(missing_ok=True)
