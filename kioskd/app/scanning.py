"""Scanning and sending: the hands of the visit's scan."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import structlog

from kioskd.app.devices import Devices
from kioskd.documents.assembly import assemble
from kioskd.documents.spool import Spool
from kioskd.errors import DeviceError, DocumentError, DocumentFault, Reason
from kioskd.hal.scanner import ScanProgress, ScanSettings
from kioskd.visit import events as ev
from kioskd.visit.events import Event

log = structlog.get_logger(__name__)


class Scanning:
    """Keeps the scanned pages of a visit, by number."""

    def __init__(self, devices: Devices, spool: Spool, post: Callable[[Event], None]) -> None:
        self._devices = devices
        self._spool = spool
        self._post = post
        self._pages: dict[int, Path] = {}

    def page(self, number: int) -> bytes | None:
        """Return a page's JPEG, or None when there is no such page."""
        path = self._pages.get(number)
        if path is None:
            return None
        try:
            return path.read_bytes()
        except OSError:
            return None

    def forget(self) -> None:
        """Drop all pages; the spool's wipe removes the files."""
        self._pages.clear()

    async def scan(self, settings: ScanSettings, first_page: int) -> None:
        """Scan and post what happens, ending with ScanFinished."""
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

    async def assemble(self, numbers: tuple[int, ...]) -> bytes:
        """Return one PDF of these pages. Raises DocumentError when one is gone."""
        try:
            paths = [self._pages[number] for number in numbers]
            return await asyncio.to_thread(assemble, paths)
        except (KeyError, OSError) as error:
            raise DocumentError(DocumentFault.BROKEN, f"a page is gone: {error}") from error
