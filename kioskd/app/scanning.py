"""Scanning and sending: the hands of the visit's scan."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from kioskd.app.devices import Devices
from kioskd.documents.assembly import assemble
from kioskd.documents.blackening import blacken
from kioskd.documents.spool import Spool
from kioskd.errors import DeviceError, DocumentError, DocumentFault, Reason
from kioskd.hal.scanner import ScanProgress, ScanSettings
from kioskd.runtime.tasks import TaskOwner
from kioskd.visit import events as ev
from kioskd.visit.events import Event
from kioskd.visit.state import HiddenPart
from kioskd.visit.words import ScanStage

log = structlog.get_logger(__name__)

BUTTON_EVERY_S: Final = 0.5


class Scanning:
    """Keeps the scanned pages of a visit, by number, and hears the scanner's own button.

    `on_button()` is called when `button_heard` changes.
    """

    def __init__(
        self,
        devices: Devices,
        spool: Spool,
        post: Callable[[Event], None],
        on_button: Callable[[], None],
    ) -> None:
        self.button_heard = False
        self._devices = devices
        self._spool = spool
        self._post = post
        self._on_button = on_button
        self._pages: dict[int, Path] = {}
        self._listening = False
        self._tasks = TaskOwner("scanning")

    def page(self, number: int, hidden: tuple[HiddenPart, ...] = ()) -> bytes | None:
        """Return a page's JPEG as it would be sent, or None when there is no such page.

        Takes a fifth of a second where something is hidden: call it from a thread.
        """
        path = self._pages.get(number)
        if path is None:
            return None
        try:
            seen = _visible(path, number, hidden)
            return seen if isinstance(seen, bytes) else seen.read_bytes()
        except (OSError, DocumentError):
            return None

    def forget(self) -> None:
        """Drop all pages; the spool's wipe removes the files."""
        self._pages.clear()

    def follow(self, stage: ScanStage | None) -> None:
        """Listen to the scanner's button where its press would start a page, and only there.

        To be called at each change of the visit, with the stage of its scan.
        """
        awaited = stage is not None and stage.awaits_press
        if awaited == self._listening:
            return
        self._listening = awaited
        if not awaited:
            self._tasks.cancel("button")
        elif self._devices.scanner.device.has_button:
            self._tasks.start("button", self._listen())

    async def _listen(self) -> None:
        try:
            await self._hear()
        except DeviceError as error:
            # Not tried again: a button that cannot be read must not make the scanner flap.
            log.info("scan.button_lost", reason=error.reason, detail=error.detail)
        else:
            log.warning("scan.no_button", scanner=self._devices.scanner.description)
        finally:
            self._heard(False)

    async def _hear(self) -> None:
        """Post each press until the scanner says that it has no button."""
        async with self._devices.scanner.lease() as scanner:
            before = True  # what is down already was not pressed for this paper
            while (down := await scanner.button()) is not None:
                self._heard(True)
                if down and not before:
                    log.info("scan.button")
                    self._post(ev.ScanStart())
                before = down
                await asyncio.sleep(BUTTON_EVERY_S)

    def _heard(self, heard: bool) -> None:
        if self.button_heard != heard:
            self.button_heard = heard
            self._on_button()

    async def scan(self, settings: ScanSettings, first_page: int) -> None:
        """Scan and post what happens, ending with ScanFinished."""
        await self._tasks.stop("button")  # it holds the device
        try:
            await self._scan(settings, first_page)
        except DeviceError as error:
            log.info("scan.ended", reason=error.reason, detail=error.detail)
            self._post(ev.ScanFinished(error.reason))
        except DocumentError as error:
            log.warning("scan.no_room", fault=error.fault)
            self._post(ev.ScanFinished(Reason.DISK_FULL))
        else:
            self._post(ev.ScanFinished())

    async def _scan(self, settings: ScanSettings, first_page: int) -> None:
        folder = self._spool.folder()
        number = first_page
        async with self._devices.scanner.lease() as scanner:
            pages = scanner.scan(settings, folder, self._moved)
            async with contextlib.aclosing(pages):
                async for page in pages:
                    self._spool.check_room()
                    self._pages[number] = page.path
                    self._post(ev.PageScanned(number))
                    number += 1

    def _moved(self, progress: ScanProgress) -> None:
        self._post(ev.ScanMoved(progress.done, warming_up=progress.warming_up))

    async def assemble(self, numbers: tuple[int, ...], hidden: tuple[HiddenPart, ...]) -> bytes:
        """Return one PDF of these pages, black where hidden. Raises DocumentError."""
        try:
            paths = [(number, self._pages[number]) for number in numbers]
            return await asyncio.to_thread(
                lambda: assemble([_visible(path, number, hidden) for number, path in paths])
            )
        except (KeyError, OSError) as error:
            raise DocumentError(DocumentFault.BROKEN, f"a page is gone: {error}") from error


def _visible(path: Path, number: int, hidden: tuple[HiddenPart, ...]) -> Path | bytes:
    """Return what is to be seen of a page: the file itself where nothing is hidden."""
    parts = [(one.x, one.y, one.width, one.height) for one in hidden if one.page == number]
    return blacken(path, parts) if parts else path
