"""pycups with its errors translated, and the one operation that it lacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from drivers.printer import ipp
from drivers.printer.ipp_device import USER
from kioskd.errors import DeviceAbsent, DeviceError, Reason

PRINTER_STOPPED: Final = 5  # printer-state, RFC 8011, 5.4.11
QUEUE_S: Final = 12.0
"""How long cupsd may take to ask a printer what it can do: 0.1 s here, seconds for a slow one."""
POLL_S: Final = 0.05
_WANTED: Final = [
    "printer-state",
    "printer-state-reasons",
    "printer-is-accepting-jobs",
    "device-uri",
    "sides-default",
    "print-color-mode-default",
]


class CupsLink:
    """One connection to one cupsd, made again after it broke. Of one thread only."""

    def __init__(self, server: str) -> None:
        import cups

        self._cups = cups
        self._server = server
        self._link: Any = None

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Call `question` with pycups's connection. Raises DeviceError."""
        try:
            return question(self._connect())
        except (self._cups.IPPError, RuntimeError) as error:
            raise self._translated(error) from None

    def queue(self, name: str) -> dict[str, Any]:
        """Return what CUPS says of a queue. Raises DeviceAbsent when there is none."""
        found: dict[str, Any] = self.ask(
            lambda link: link.getPrinterAttributes(name, requested_attributes=_WANTED)
        )
        return found

    def job(self, number: int) -> dict[str, Any] | None:
        """Return what CUPS says of a job; None when it knows none of that number.

        After a restart cupsd may keep an empty shell of a job whose queue is gone.
        """
        wanted = ["job-state", "job-state-reasons", "job-impressions-completed"]
        try:
            found: dict[str, Any] = self.ask(lambda link: link.getJobAttributes(number, wanted))
        except DeviceAbsent:
            return None
        return found if "job-state-reasons" in found else None

    def add_temporary_queue(self, name: str, device_uri: str) -> None:
        """Make a queue that cupsd forgets, with its jobs and their files, when it ends.

        It also goes by itself some minutes after its last job. Returns when it can print.
        Raises DeviceError.
        """
        wish: ipp.Wish = {"requesting-user-name": USER}
        printer: ipp.Wish = {"printer-name": name, "device-uri": device_uri}
        self._connect()
        body = ipp.request(
            f"ipp://localhost/printers/{name}", ipp.CREATE_LOCAL_PRINTER, wish, printer
        )
        answer = ipp.ask_server(self._cups.getServer(), self._cups.getPort(), body)
        if answer.status >= ipp.SUCCESS_BELOW:
            raise DeviceError(Reason.REJECTED, f"CUPS makes no queue: {answer.status:#06x}")
        deadline = time.monotonic() + QUEUE_S
        while self.queue(name)["printer-state"] == PRINTER_STOPPED:
            if time.monotonic() > deadline:
                raise DeviceError(Reason.NO_ANSWER, "CUPS does not learn what the printer can do")
            time.sleep(POLL_S)

    def _connect(self) -> Any:
        if self._link is None:
            if self._server:
                self._cups.setServer(self._server)
            self._cups.setUser(USER)
            self._link = self._cups.Connection()
        return self._link

    def _translated(self, error: Exception) -> DeviceError:
        if isinstance(error, self._cups.IPPError):
            code = error.args[0] if error.args else None
            if code == self._cups.IPP_NOT_FOUND:
                return DeviceAbsent(Reason.NOT_FOUND, str(error))
            if code in (self._cups.IPP_SERVICE_UNAVAILABLE, self._cups.IPP_INTERNAL_ERROR):
                self._link = None
                return DeviceError(Reason.OFFLINE, f"CUPS does not answer: {error}")
            return DeviceError(Reason.REJECTED, str(error))
        self._link = None  # the connection is of no more use
        return DeviceError(Reason.OFFLINE, f"CUPS cannot be reached: {error}")
