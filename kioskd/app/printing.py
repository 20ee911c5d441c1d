"""Vetting and printing: the hands of the visit's print."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from kioskd.app.devices import Devices
from kioskd.documents.spool import Spool
from kioskd.documents.vetting import VettedDocument, Vetter
from kioskd.errors import DeviceError, DocumentError, Reason
from kioskd.hal.printer import JobState, JobStatus, Printer
from kioskd.visit import events as ev
from kioskd.visit.events import Event

log = structlog.get_logger(__name__)

POLL_S: Final = 0.25
"""A job is polled: CUPS tells its subscribers later than that (asking costs about 1 ms)."""
PATIENCE_S: Final = 20.0
"""How long a job may be without news: cupsd starts again within seconds."""
TITLE: Final = "visit"
"""The job's title; it says nothing about the resident, for it stands in CUPS's logs."""


class Printing:
    """Keeps the agent's document of a visit, vetted, until it is printed or wiped."""

    def __init__(self, devices: Devices, spool: Spool, post: Callable[[Event], None]) -> None:
        self._devices = devices
        self._spool = spool
        self._post = post
        self._vetter = Vetter()
        self._vetted: VettedDocument | None = None

    def page(self, number: int) -> bytes | None:
        """Return a page's JPEG, or None when there is no such page."""
        if self._vetted is None or not 1 <= number <= len(self._vetted.pages):
            return None
        try:
            return self._vetted.pages[number - 1].read_bytes()
        except OSError:
            return None

    def forget(self) -> None:
        """Drop the document; the spool's wipe removes the files."""
        self._vetted = None

    async def vet(self, document: str, source: Path) -> None:
        """Check the document and make the pictures that alone are printed."""
        self._vetted = None
        try:
            self._vetted = await self._vetter.vet(source, self._spool.folder())
        except DocumentError as error:
            log.info("print.refused", fault=error.fault)
            self._post(ev.VetFailed(document, error.fault))
        else:
            self._post(ev.Vetted(document, len(self._vetted.pages)))

    async def print(self, document: str) -> None:
        """Print the vetted document and post where its job is until it has ended.

        Cancelling stops the job at the device before this returns.
        """
        assert self._vetted is not None
        try:
            async with self._devices.printer.lease() as printer:
                number = await printer.submit(self._vetted.printable, title=TITLE)
                await self._follow(printer, number, document)
        except DeviceError as error:
            log.warning("print.failed", reason=error.reason, detail=error.detail)
            self._post(ev.JobFailed(document, error.reason))

    async def _follow(self, printer: Printer, number: int, document: str) -> None:
        ended = False
        silent_since: float | None = None
        try:
            while not ended:
                try:
                    status = await printer.job(number)
                    silent_since = None
                except DeviceError as error:
                    # Neither printed nor failed: a print system that is restarted tells soon.
                    silent_since = silent_since or time.monotonic()
                    if time.monotonic() - silent_since > PATIENCE_S:
                        ended = True
                        await asyncio.shield(self._stop(printer, number))
                        lost = frozenset({error.reason, Reason.JOB_LOST})
                        status = JobStatus(JobState.ABORTED, lost)
                    else:
                        status = JobStatus(JobState.STOPPED, frozenset({error.reason}))
                self._post(ev.JobMoved(document, status))
                ended = status.state.ended
                await asyncio.sleep(0 if ended else POLL_S)
        finally:
            if not ended:
                await asyncio.shield(self._stop(printer, number))

    async def _stop(self, printer: Printer, number: int) -> None:
        try:
            await printer.cancel(number)
        except DeviceError as error:
            # The wipe purges the queue too; a device that does not answer is reported.
            log.warning("print.not_stopped", reason=error.reason, detail=error.detail)
            self._devices.printer.report(error)
