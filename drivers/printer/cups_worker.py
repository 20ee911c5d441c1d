"""The CUPS side of the printer: runs in a worker process, on its main thread.

A pycups connection shared by threads segfaults, and a call to a cupsd that is stopped
blocks about 60 s: both stay in this process.

A job's end is what the printer did. CUPS says *completed* of a job that the printer lost when
its power failed, and *canceled* while it goes on; when cupsd is restarted it prints a second
time whatever was not finished. Therefore each job gets a temporary queue of its own, which
cupsd forgets with its jobs when it ends, and an IPP printer is asked itself: what it is doing,
which of our jobs it holds, how they ended.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

from drivers.printer.cups_link import PRINTER_STOPPED, CupsLink
from drivers.printer.ipp_device import (
    CANCELED,
    COMPLETED,
    STOPPED,
    USER,
    DeviceJob,
    ask_printer,
    cancel_job,
    is_ipp,
    jobs_of,
)
from drivers.printer.reasons import HOLDING, reasons_of
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.printer import JobState
from kioskd.runtime.worker_main import Context

PRINTER_PROCESSING: Final = 4  # printer-state, RFC 8011, 5.4.11
MISSING_HISTORY: Final = "cups-ipp-missing-job-history"
"""CUPS's backend says so when the printer does not know the job that it was given."""
ALL_QUEUES: Final = "ipp://localhost/printers/"
_JOB_STATES: Final = {  # job-state, RFC 8011, 5.3.7
    3: JobState.PENDING,
    4: JobState.PENDING,
    5: JobState.PROCESSING,
    6: JobState.STOPPED,
    7: JobState.CANCELED,
    8: JobState.ABORTED,
    9: JobState.COMPLETED,
}
SILENT_S: Final = 3.0
STOP_POLL_S: Final = 0.1
STOP_S: Final = 9.0


class CupsWorker:
    """Talks to one cupsd about one queue and its printer.

    `life_s` is how long CUPS lets a job live when nobody asks for it any more.
    """

    def __init__(self, context: Context, *, queue: str, server: str, life_s: int) -> None:
        self._cups = CupsLink(server)
        self._context = context
        self._queue = queue
        self._life_s = life_s
        self._uri = ""
        self._at_printer: dict[str, int] = {}
        """The printer's number of each job that it was seen to hold, by the job's name."""
        self._pages: dict[str, int] = {}
        """How many pages of each job the printer said that came out."""
        self._silent: dict[str, float] = {}
        """Since when the printer has not answered, by the job that it was asked about."""

    def check(self) -> list[str]:
        """Return the printer's reasons, the gravest first; raise when it cannot be used."""
        attributes = self._attributes()
        if not attributes.get("printer-is-accepting-jobs", True):
            raise DeviceError(Reason.REJECTED, "the queue does not accept jobs")
        found = self._reasons(attributes)
        if attributes["printer-state"] == PRINTER_STOPPED and not found and not is_ipp(self._uri):
            # ErrorPolicy stop-printer leaves a queue stopped after a fault that is over.
            self._cups.ask(lambda link: link.enablePrinter(self._queue))
        return sorted(found, key=lambda reason: (reason not in HOLDING, reason))

    def submit(self, document: str, name: str, copies: int) -> tuple[int, str]:
        """Create a job of one file; return its number and the printer's address.

        The job is held until its number is known here: whatever breaks before that leaves
        nothing that could print.
        """
        if not os.access(document, os.R_OK):
            raise DeviceError(Reason.IO_ERROR, f"{document} cannot be read")
        attributes = self._attributes()
        options = {
            "copies": str(copies),
            "media": "iso_a4_210x297mm",
            "print-scaling": "fit",
            "job-hold-until": "indefinite",
            "job-cancel-after": str(self._life_s),
        }
        queue = self._queue
        if not attributes.get("printer-is-accepting-jobs", True):
            raise DeviceError(Reason.REJECTED, "the queue does not accept jobs")
        if is_ipp(self._uri):
            for option in ("sides", "print-color-mode"):
                if default := attributes.get(f"{option}-default"):
                    options[option] = str(default)
            ask_printer(self._uri)  # cupsd would wait for one that is off
            queue = name
            self._cups.add_temporary_queue(queue, self._uri)
        number = int(self._cups.ask(lambda link: link.printFile(queue, document, name, options)))
        if self._context.cancelled:
            self._cups.ask(lambda link: link.cancelJob(number, purge_job=True))
            raise DeviceError(Reason.CANCELLED)
        self._cups.ask(lambda link: link.setJobHoldUntil(number, "no-hold"))
        return number, self._uri

    def job(self, number: int, name: str, uri: str) -> dict[str, Any]:
        """Return state, reasons and pages of a job that was sent to the printer at `uri`."""
        self._uri = uri
        attributes = self._cups.job(number)
        state = None if attributes is None else _JOB_STATES[attributes["job-state"]]
        pages = 0 if attributes is None else int(attributes.get("job-impressions-completed") or 0)
        if not is_ipp(uri):
            return self._job_by_cups(state, pages)
        if state is None or state.ended:
            return self._ended(number, name, state)
        try:
            held = self._device_reasons() & HOLDING
            mine = self._at_device(name)
        except DeviceError as error:
            return self._silence(number, name, error, queued=True)
        self._silent.pop(name, None)
        pages = max((job.pages for job in mine), default=self._pages.get(name, 0))
        self._pages[name] = pages
        first = self._at_printer.setdefault(name, mine[0].number) if mine else None
        begun = name in self._at_printer
        if any(job.number != first for job in mine) or (begun and state is JobState.PENDING):
            # Its first life ended with the printer's power, and CUPS begins another.
            return self._lost(number, name, pages)
        return _answer(JobState.STOPPED if held else state, held, pages)

    def cancel(self, number: int, name: str, uri: str) -> bool:
        """Cancel a job and wait until the printer has let go of it; False if it had ended."""
        self._uri = uri
        at_printer = not self._drop_at_device(name)  # first: it answers also when cupsd does not
        attributes = self._cups.job(number)
        queued = attributes is not None and not _JOB_STATES[attributes["job-state"]].ended
        if queued:
            self._cups.ask(lambda link: link.cancelJob(number, purge_job=False))
        self._wait_until_dropped(name)
        return queued or at_printer

    def purge(self, wait: bool) -> bool:
        """Cancel every job of ours and forget it; tell whether none is left anywhere.

        With `wait` until none is; raises NO_ANSWER when the printer does not stop.
        """
        self._attributes()  # the printer's address may have changed
        self._at_printer.clear()
        self._silent.clear()
        self._pages.clear()
        deadline = time.monotonic() + STOP_S
        self._cancel_all(purge=False)
        while True:
            try:
                dropped = self._drop_at_device("")
            finally:
                self._cancel_all(purge=True)
            # Only jobs whose backend has ended leave no trace behind.
            if (dropped and not self._known()) or not wait:
                return dropped
            if time.monotonic() > deadline:
                raise DeviceError(Reason.NO_ANSWER, "the printer does not stop")
            self._context.progress(None)
            time.sleep(STOP_POLL_S)

    def _job_by_cups(self, state: JobState | None, pages: int) -> dict[str, Any]:
        """Answer for a printer that cannot be asked itself."""
        if state is None:
            return _answer(JobState.ABORTED, {Reason.JOB_LOST}, 0)
        if state.ended:
            return _answer(state, {Reason.REJECTED} if state is JobState.ABORTED else set(), pages)
        held = self._reasons(self._attributes()) & HOLDING
        return _answer(JobState.STOPPED if held else state, held, pages)

    def _ended(self, number: int, name: str, state: JobState | None) -> dict[str, Any]:
        """Answer for a job that CUPS has ended or does not know: the printer has the last word."""
        try:
            if state is None and (mine := self._at_device(name)):
                # CUPS has died and forgotten it; the printer goes on with what it has.
                held = self._device_reasons() & HOLDING
                pages = max(job.pages for job in mine)
                return _answer(JobState.STOPPED if held else JobState.PROCESSING, held, pages)
            found = self._ended_at_device(name)
        except DeviceError as error:
            return self._silence(number, name, error, queued=False)
        self._silent.pop(name, None)
        pages = max((job.pages for job in found), default=0)
        if any(job.state == COMPLETED for job in found):
            return _answer(JobState.COMPLETED, set(), pages)
        if state is JobState.COMPLETED and not found and not self._history_is_missing(name):
            return _answer(state, set(), pages)  # a printer that keeps no history
        if state is JobState.CANCELED or (state and any(job.state == CANCELED for job in found)):
            return _answer(JobState.CANCELED, set(), pages)  # at the printer, by its cancel key
        if state is JobState.ABORTED and not found and name not in self._at_printer:
            return _answer(state, {Reason.REJECTED}, pages)
        return self._lost(number, name, pages)

    def _silence(
        self, number: int, name: str, error: DeviceError, *, queued: bool
    ) -> dict[str, Any]:
        """Answer while the printer does not: it may be the network, or its power.

        Power that failed took the job, and CUPS would print it once more from its first page as
        soon as the printer is back: no printer starts again in less than SILENT_S. That CUPS
        says *completed* then proves nothing: it says so too when the connection was cut.
        """
        silent = time.monotonic() - self._silent.setdefault(name, time.monotonic())
        if silent < SILENT_S:
            return _answer(JobState.STOPPED, {error.reason}, self._pages.get(name, 0))
        if queued:
            self._cups.ask(lambda link: link.cancelJob(number, purge_job=False))
        # It may have taken the job just before: nobody can vouch for what came out.
        lost = {error.reason, Reason.JOB_LOST}
        return _answer(JobState.ABORTED, lost, self._pages.get(name, 0))

    def _known(self) -> bool:
        """Tell whether CUPS has a job of ours, ended or not.

        A cupsd that is started again may keep the shell of an ended job whose temporary queue
        is gone: without a name and a document, and no purge removes it.
        """
        found: dict[int, dict[str, Any]] = self._cups.ask(
            lambda link: link.getJobs(
                which_jobs="all", my_jobs=True, requested_attributes=["job-id", "job-name"]
            )
        )
        return any("job-name" in job for job in found.values())

    def _history_is_missing(self, queue: str) -> bool:
        try:
            return MISSING_HISTORY in self._cups.queue(queue)["printer-state-reasons"]
        except DeviceAbsent:
            return True  # the queue goes minutes after its job: nobody can tell any more

    def _lost(self, number: int, name: str, pages: int) -> dict[str, Any]:
        """Make sure that nothing more comes out, before anybody is told that it failed."""
        try:
            self.cancel(number, name, self._uri)
            ended = self._ended_at_device(name)
        except DeviceError as error:
            return _answer(JobState.STOPPED, {error.reason}, pages)
        if any(job.state == COMPLETED for job in ended):  # its last page was out before that
            return _answer(JobState.COMPLETED, set(), max(job.pages for job in ended))
        return _answer(JobState.ABORTED, {Reason.JOB_LOST}, pages)

    def _cancel_all(self, *, purge: bool) -> None:
        self._cups.ask(
            lambda link: link.cancelAllJobs(uri=ALL_QUEUES, my_jobs=True, purge_jobs=purge)
        )

    def _at_device(self, name: str) -> list[DeviceJob]:
        """Return the jobs of this name that the printer has not ended; of ours when it is ""."""
        return [
            job
            for job in jobs_of(self._uri, "not-completed")
            if job.name == name or (not name and job.user == USER)
        ]

    def _ended_at_device(self, name: str) -> list[DeviceJob]:
        """Return the jobs of this name that the printer has ended, as far as it remembers."""
        return [job for job in jobs_of(self._uri, "completed") if job.name == name]

    def _drop_at_device(self, name: str) -> bool:
        """Cancel a job at the printer; return True once it holds none of it."""
        if not is_ipp(self._uri):
            return bool(self._attributes()["printer-state"] != PRINTER_PROCESSING)
        try:
            held = self._at_device(name)
            for job in held:
                cancel_job(self._uri, job.number)
        except DeviceError as error:
            raise DeviceError(Reason.NO_ANSWER, f"stopped? {error.detail}") from error
        return not held

    def _wait_until_dropped(self, name: str) -> None:
        """Wait for the device: CUPS says "canceled" at once, while the device goes on."""
        deadline = time.monotonic() + STOP_S
        while not self._drop_at_device(name):
            if time.monotonic() > deadline:
                raise DeviceError(Reason.NO_ANSWER, "the printer does not stop")
            self._context.progress(None)
            time.sleep(STOP_POLL_S)

    def _reasons(self, attributes: dict[str, Any]) -> set[Reason]:
        """Return the device's own reasons, CUPS's where it cannot be asked."""
        if is_ipp(self._uri):
            return self._device_reasons()
        return reasons_of(attributes["printer-state-reasons"])

    def _device_reasons(self) -> set[Reason]:
        answer = ask_printer(self._uri)
        found = reasons_of(answer.reasons)
        # Stopped for a reason that we have no word for: somebody has to go and look.
        return found or ({Reason.OFFLINE} if answer.state == STOPPED else set())

    def _attributes(self) -> dict[str, Any]:
        attributes = self._cups.queue(self._queue)
        self._uri = attributes["device-uri"]
        return attributes


def _answer(state: JobState, reasons: set[Reason], pages: int) -> dict[str, Any]:
    return {"state": state.value, "reasons": sorted(reasons), "pages": pages}
