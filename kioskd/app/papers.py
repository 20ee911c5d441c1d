"""The papers of a visit: scanned, sent, received, looked at and printed, and then forgotten."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from kioskd.app import telling
from kioskd.app.auditing import Auditing
from kioskd.app.devices import Devices
from kioskd.app.printing import Printing
from kioskd.app.scanning import Scanning
from kioskd.app.transfers import Transfers
from kioskd.call import control
from kioskd.documents.spool import Spool
from kioskd.errors import DeviceAbsent, DeviceError, DocumentError, Reason
from kioskd.runtime.tasks import TaskOwner
from kioskd.visit import effects as do
from kioskd.visit import events as ev
from kioskd.visit.effects import Effect
from kioskd.visit.events import Event
from kioskd.visit.state import Visit

log = structlog.get_logger(__name__)


class Papers:
    """Carries out what the visit wants done with papers; what becomes of it is posted.

    Nothing is sent or printed before the consent to it is in the audit log. `on_change` is
    called when the screen has something new to show; `say` tells the agent.
    """

    def __init__(
        self,
        devices: Devices,
        spool: Spool,
        audit: Auditing,
        tasks: TaskOwner,
        *,
        post: Callable[[Event], None],
        visit: Callable[[], Visit],
        say: Callable[[control.ToAgent], None],
        on_change: Callable[[], None],
    ) -> None:
        self._devices = devices
        self._spool = spool
        self._audit = audit
        self._tasks = tasks
        self._post = post
        self._visit = visit
        self._say = say
        self._scanning = Scanning(devices, spool, post, on_change)
        self._printing = Printing(devices, spool, post)
        self.transfers = Transfers(spool, post=post, visit=visit, on_refused=audit.document_refused)

    @property
    def button_heard(self) -> bool:
        """True when the scanner's own button has told us that it works."""
        return self._scanning.button_heard

    def follow(self) -> None:
        """Listen to the scanner's button while it means something."""
        scan = self._visit().scan
        self._scanning.follow(scan.stage if scan else None)

    def carry(self, effect: Effect) -> None:
        """Begin what an effect on a paper wants; the others are not ours."""
        visit = self._visit()
        match effect:
            case do.StartScan(settings, first_page):
                self._tasks.start("scan", self._scanning.scan(settings, first_page))
            case do.StopScan():
                self._tasks.cancel("scan", "send")
            case do.SendScan() as wanted:
                self._tasks.start("send", self._send(wanted))
            case do.Vet(document):
                source = self.transfers.take(document)
                self._tasks.start("print", self._printing.vet(document, source))
            case do.StartPrint(document):
                self._tasks.start("print", self._print(document))
            case do.StopPrint():
                self._tasks.cancel("print")
            case do.TellScan():
                if visit.scan is not None:
                    self._say(telling.scan(visit.scan))
            case do.TellPrint():
                if visit.print is not None:
                    self._say(telling.job(visit.print))

    def picture(self, document: str, number: int) -> bytes | None:
        """Return the JPEG of a page that the screen may show now. For a thread: it may draw."""
        visit = self._visit()
        match document:
            case "scan" if visit.scan is not None and number in visit.scan.pages:
                return self._scanning.page(number, visit.scan.hidden)
            case "print" if visit.print is not None:
                return self._printing.page(number)
        return None

    async def wipe(self) -> None:
        """Forget all papers, here, in the spool and at the printer; the audit log is told."""
        self.transfers.forget()
        self._scanning.forget()
        self._printing.forget()
        self._spool.wipe()
        failure: Reason | None = None
        try:
            await self._devices.printer.device.purge()
        except DeviceAbsent:
            pass  # nothing can come out of a printer that is not there
        except DeviceError as error:
            failure = error.reason
            log.warning("wipe.printer", reason=error.reason, detail=error.detail)
        self._audit.wiped(failure)

    async def _send(self, wanted: do.SendScan) -> None:
        try:
            document = await self._scanning.assemble(wanted.pages, wanted.hidden)
            await self._audit.consent_written()
            await self.transfers.send(wanted.request, document, len(wanted.pages))
        except DocumentError as error:
            log.warning("scan.not_sent", fault=error.fault, detail=error.detail)
            self._post(ev.ScanDelivered(error.fault))
        else:
            self._post(ev.ScanDelivered(size=len(document)))

    async def _print(self, document: str) -> None:
        await self._audit.consent_written()
        await self._printing.print(document)
