"""The CUPS side of the printer: runs in a worker process, on its main thread.

A pycups connection shared by threads segfaults, and a call to a cupsd that is stopped
blocks about 60 s: both stay in this process.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from drivers.printer.ipp_device import ask_printer, is_ipp
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.printer import JobState
from kioskd.runtime.worker_main import Context

PRINTER_PROCESSING: Final = 4  # printer-state, RFC 8011, 5.4.11
PRINTER_STOPPED: Final = 5
MISSING_HISTORY: Final = "cups-ipp-missing-job-history"
"""CUPS's backend says so when the printer does not know the job that it was given."""
_JOB_STATES: Final = {  # job-state, RFC 8011, 5.3.7
    3: JobState.PENDING,
    4: JobState.PENDING,
    5: JobState.PROCESSING,
    6: JobState.STOPPED,
    7: JobState.CANCELED,
    8: JobState.ABORTED,
    9: JobState.COMPLETED,
}
_REASONS: Final = {  # printer-state-reasons, RFC 8011, 5.4.12, without their severity
    "media-empty": Reason.PAPER_OUT,
    "media-needed": Reason.PAPER_OUT,
    "input-tray-missing": Reason.PAPER_OUT,
    "media-jam": Reason.PAPER_JAM,
    "cover-open": Reason.COVER_OPEN,
    "door-open": Reason.COVER_OPEN,
    "interlock-open": Reason.COVER_OPEN,
    "marker-supply-low": Reason.INK_LOW,
    "toner-low": Reason.INK_LOW,
    "marker-supply-empty": Reason.INK_OUT,
    "toner-empty": Reason.INK_OUT,
    "offline": Reason.OFFLINE,
    "connecting-to-device": Reason.OFFLINE,
    "timed-out": Reason.OFFLINE,
    "shutdown": Reason.OFFLINE,
}
_SEVERITIES: Final = ("-error", "-warning", "-report")
_HELD_UP: Final = frozenset(
    {Reason.PAPER_OUT, Reason.PAPER_JAM, Reason.COVER_OPEN, Reason.INK_OUT, Reason.OFFLINE}
)
LPADMIN_S: Final = 5.0
STOP_POLL_S: Final = 0.1
STOP_S: Final = 9.0


def reasons_of(keywords: Iterable[str]) -> set[Reason]:
    """Translate printer-state-reasons; unknown ones are left out."""
    found = set()
    for name in keywords:
        for severity in _SEVERITIES:
            name = name.removesuffix(severity)  # noqa: PLW2901  (one word, cut in steps)
        if name in _REASONS:
            found.add(_REASONS[name])
    return found


class CupsWorker:
    """Talks to one cupsd about one queue."""

    def __init__(self, context: Context, *, queue: str, server: str) -> None:
        import cups

        self._cups = cups
        self._context = context
        self._queue = queue
        self._server = server
        self._link: Any = None

    def check(self) -> list[str]:
        """Return the printer's reasons, the gravest first; raise when it cannot be used."""
        attributes = self._attributes()
        if not attributes.get("printer-is-accepting-jobs", True):
            raise DeviceError(Reason.REJECTED, "the queue does not accept jobs")
        found = self._reasons(attributes)
        if attributes["printer-state"] == PRINTER_STOPPED and not found:
            # ErrorPolicy stop-printer leaves a queue stopped after a fault that is over.
            self._ask(lambda link: link.enablePrinter(self._queue))
        return sorted(found, key=lambda reason: (reason not in _HELD_UP, reason))

    def submit(self, document: str, title: str, copies: int) -> int:
        """Create a job of one file and return its number.

        The job is held until its number is known here: whatever breaks before that leaves
        nothing that could print.
        """
        options = {
            "copies": str(copies),
            "media": "iso_a4_210x297mm",
            "print-scaling": "fit",
            "job-hold-until": "indefinite",
        }
        if not os.access(document, os.R_OK):
            raise DeviceError(Reason.IO_ERROR, f"{document} cannot be read")
        if MISSING_HISTORY in self._attributes()["printer-state-reasons"]:
            self._clear_reasons()
        number = int(self._ask(lambda link: link.printFile(self._queue, document, title, options)))
        if self._context.cancelled:
            self._ask(lambda link: link.cancelJob(number, purge_job=True))
            raise DeviceError(Reason.CANCELLED)
        self._ask(lambda link: link.setJobHoldUntil(number, "no-hold"))
        return number

    def job(self, number: int) -> dict[str, Any]:
        """Return state, reasons and pages of a job."""
        attributes = self._job(number)
        if attributes is None:
            return _answer(JobState.ABORTED, {Reason.REJECTED}, 0)
        state = _JOB_STATES[attributes["job-state"]]
        pages = int(attributes.get("job-impressions-completed") or 0)
        printer = self._attributes()
        if state is JobState.COMPLETED and MISSING_HISTORY in printer["printer-state-reasons"]:
            # The printer was gone meanwhile and knows nothing of the job: not a success.
            return _answer(JobState.ABORTED, {Reason.OFFLINE}, pages)
        if state.ended:
            return _answer(state, {Reason.REJECTED} if state is JobState.ABORTED else set(), pages)
        try:
            found = self._reasons(printer)
        except DeviceError as error:
            found = {error.reason}
        held = found & _HELD_UP
        return _answer(JobState.STOPPED if held else state, held or found, pages)

    def cancel(self, number: int) -> None:
        """Cancel a job and wait until the printer has let go of it."""
        attributes = self._job(number)
        state = JobState.ABORTED if attributes is None else _JOB_STATES[attributes["job-state"]]
        if not state.ended:
            self._ask(lambda link: link.cancelJob(number, purge_job=False))
        elif state is not JobState.CANCELED:
            return
        self._wait_until_stopped()

    def purge(self) -> None:
        """Cancel every job of the queue, forget all of them, wait for the printer."""
        busy = self._attributes()["queued-job-count"] > 0
        try:
            if busy:
                self._cancel_all(purge=False)
                self._wait_until_stopped()
        finally:
            # Only jobs that have ended leave no trace behind.
            self._cancel_all(purge=True)

    def _clear_reasons(self) -> None:
        """Clear what stands on the queue for good once a job was lost; pycups cannot."""
        server = ["-h", self._server] if self._server else []
        command = ["lpadmin", *server, "-p", self._queue, "-o", "printer-state-reasons=none"]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=LPADMIN_S)
        except (OSError, subprocess.SubprocessError) as error:
            raise DeviceError(Reason.REJECTED, f"the queue keeps old reasons: {error}") from None

    def _cancel_all(self, *, purge: bool) -> None:
        self._ask(
            lambda link: link.cancelAllJobs(self._queue, my_jobs=False, purge_jobs=purge),
        )

    def _wait_until_stopped(self) -> None:
        """Wait for the device: CUPS says "canceled" at once, while the device goes on."""
        deadline = time.monotonic() + STOP_S
        while not self._stopped():
            if time.monotonic() > deadline:
                raise DeviceError(Reason.NO_ANSWER, "the printer does not stop")
            time.sleep(STOP_POLL_S)

    def _stopped(self) -> bool:
        attributes = self._attributes()
        if attributes["printer-state"] == PRINTER_PROCESSING:
            return False
        uri = attributes["device-uri"]
        if not is_ipp(uri):
            return True
        try:
            return ask_printer(uri).jobs == 0
        except DeviceError as error:
            raise DeviceError(Reason.NO_ANSWER, f"stopped? {error.detail}") from error

    def _reasons(self, attributes: dict[str, Any]) -> set[Reason]:
        """Return the device's own reasons, CUPS's where it cannot be asked."""
        uri = attributes["device-uri"]
        if is_ipp(uri):
            return reasons_of(ask_printer(uri).reasons)
        return reasons_of(attributes["printer-state-reasons"])

    def _attributes(self) -> dict[str, Any]:
        wanted = [
            "printer-state",
            "printer-state-reasons",
            "printer-is-accepting-jobs",
            "queued-job-count",
            "device-uri",
        ]
        found: dict[str, Any] = self._ask(
            lambda link: link.getPrinterAttributes(self._queue, requested_attributes=wanted)
        )
        return found

    def _job(self, number: int) -> dict[str, Any] | None:
        wanted = ["job-state", "job-impressions-completed"]
        try:
            found: dict[str, Any] = self._connect().getJobAttributes(number, wanted)
        except self._cups.IPPError as error:
            if error.args and error.args[0] == self._cups.IPP_NOT_FOUND:
                return None
            raise self._translated(error) from None
        except RuntimeError as error:
            raise self._translated(error) from None
        return found

    def _connect(self) -> Any:
        if self._link is None:
            if self._server:
                self._cups.setServer(self._server)
            self._cups.setUser("kioskd")
            self._link = self._cups.Connection()
        return self._link

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        try:
            return question(self._connect())
        except (self._cups.IPPError, RuntimeError) as error:
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> DeviceError:
        if isinstance(error, self._cups.IPPError):
            code = error.args[0] if error.args else None
            if code == self._cups.IPP_NOT_FOUND:
                return DeviceAbsent(Reason.NOT_FOUND, f"there is no queue {self._queue}")
            if code in (self._cups.IPP_SERVICE_UNAVAILABLE, self._cups.IPP_INTERNAL_ERROR):
                self._link = None
                return DeviceError(Reason.OFFLINE, f"CUPS does not answer: {error}")
            return DeviceError(Reason.REJECTED, str(error))
        self._link = None  # the connection is of no more use
        return DeviceError(Reason.OFFLINE, f"CUPS cannot be reached: {error}")


def _answer(state: JobState, reasons: set[Reason], pages: int) -> dict[str, Any]:
    return {"state": state.value, "reasons": sorted(reasons), "pages": pages}
