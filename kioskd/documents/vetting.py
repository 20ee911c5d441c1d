"""Vetting before print: what an agent sends is hostile until proved otherwise.

A confined worker process, thrown away after each document, makes pictures of the
pages. The resident sees these pictures, and nothing else is ever printed.
"""

from __future__ import annotations

import asyncio
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from kioskd.documents.vetting_worker import PAGES_LIMIT, PRINTABLE_NAME, picture_name
from kioskd.errors import (
    DeviceError,
    DocumentError,
    DocumentFault,
    WorkerDied,
    WorkerError,
    WorkerStalled,
)
from kioskd.runtime.worker import Json, Worker

log = structlog.get_logger(__name__)

DEADLINE_S: Final = 60.0
STALL_S: Final = 20.0
"""How long one page, or the assembly at the end, may take."""
_TARGET: Final = "kioskd.documents.vetting_worker:VettingWorker"


@dataclass(frozen=True, slots=True)
class VettedDocument:
    """What may be shown and printed of a document.

    `pages` are JPEG files of 300 dpi, grey where the page has no colour; `printable` is
    an A4 PDF of just these pictures. All have mode 0600 and belong to the caller.
    """

    pages: tuple[Path, ...]
    printable: Path


class Vetter:
    """Vets documents, each in a process of its own."""

    def __init__(self, *, deadline: float = DEADLINE_S, stall: float = STALL_S) -> None:
        self._deadline = deadline
        self._stall = stall
        self._warned = False

    async def vet(
        self,
        source: Path,
        folder: Path,
        on_page: Callable[[int, int], None] | None = None,
    ) -> VettedDocument:
        """Vet the PDF file `source`; what comes of it lies in a new folder in `folder`.

        `on_page` is told the page just done, from 1, and how many there are. Raises
        DocumentError: WRONG_TYPE, BROKEN, ENCRYPTED, EMPTY, TOO_MANY_PAGES,
        PAGE_TOO_LARGE, TOO_LARGE (as pictures), NO_SPACE, TIMEOUT, NOT_NOW (no process
        could be started). When it raises, or is cancelled, it leaves no file behind.
        """
        try:
            target = Path(tempfile.mkdtemp(dir=folder, prefix=""))  # made with mode 0700
        except OSError as error:
            raise DocumentError(DocumentFault.NO_SPACE, str(error)) from error
        worker = Worker(
            "vetting",
            _TARGET,
            {"source": str(source), "folder": str(target)},
            on_event=self._told,
            env={"OPENBLAS_NUM_THREADS": "1"},  # each of its threads takes from the limit
        )
        try:
            count = await self._call(worker, on_page)
            return await asyncio.to_thread(_collect, target, count)
        except BaseException:
            await worker.stop()  # before its files go: it may still write
            shutil.rmtree(target, ignore_errors=True)
            raise
        finally:
            await worker.stop()

    async def _call(
        self,
        worker: Worker,
        on_page: Callable[[int, int], None] | None,
    ) -> Json:
        try:
            await worker.call("ready", timeout=self._deadline)
        except WorkerError as error:
            raise DocumentError(DocumentFault.NOT_NOW, str(error)) from error

        def moved(value: Json) -> None:
            if on_page is not None:
                page, pages = value
                on_page(int(page), int(pages))

        try:
            return await worker.call(
                "vet",
                timeout=self._deadline,
                stall=self._stall,
                on_progress=moved,
            )
        except WorkerStalled as error:
            raise DocumentError(DocumentFault.TIMEOUT, str(error)) from error
        except WorkerDied as error:
            raise DocumentError(DocumentFault.BROKEN, str(error)) from error
        except DeviceError as error:  # how a worker says that memory ran out
            raise DocumentError(DocumentFault.TOO_LARGE, str(error)) from error

    def _told(self, event: Json) -> None:
        if (lacking := event.get("unconfined")) and not self._warned:
            self._warned = True
            log.warning("vetting.unconfined", keeps=lacking)


def _collect(target: Path, count: Json) -> VettedDocument:
    """Name the files; what a worker that was taken over says or leaves is not believed."""
    if not isinstance(count, int) or not 1 <= count <= PAGES_LIMIT:
        raise DocumentError(DocumentFault.BROKEN, "the worker's answer makes no sense")
    pages = tuple(target / picture_name(number) for number in range(1, count + 1))
    printable = target / PRINTABLE_NAME
    for path in (*pages, printable):
        try:
            regular = stat.S_ISREG(path.lstat().st_mode)
        except OSError:
            regular = False
        if not regular:
            raise DocumentError(DocumentFault.BROKEN, "the worker left no proper file")
    return VettedDocument(pages, printable)
