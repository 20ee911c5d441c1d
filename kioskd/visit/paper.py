"""Scanning and printing within a talk: nothing moves without the resident's press."""

from __future__ import annotations

from dataclasses import replace

from kioskd.errors import DocumentFault, Reason
from kioskd.hal.printer import JobState
from kioskd.visit import effects as do
from kioskd.visit import events as ev
from kioskd.visit.effects import Effect
from kioskd.visit.events import Event
from kioskd.visit.state import HELD_LIMIT_S, HIDDEN_LIMIT, Print, Scan, Visit
from kioskd.visit.words import PrintStage, ScanStage

Step = tuple[Visit, list[Effect]]


def on_scan_event(visit: Visit, event: Event) -> Step | None:
    """Handle what concerns a scan; None when `event` changes nothing."""
    scan = visit.scan
    if isinstance(event, ev.ScanAsked):
        if scan is not None and (not scan.stage.over or scan.request == event.request):
            # One paper at a time; the agent sees the first one's stage. On a new leg an agent
            # may ask again what was answered already.
            return None
        return _scan(visit, Scan(event.request, event.by_agent, event.settings))
    if scan is None:
        return None
    if isinstance(event, ev.ScanClose):
        return (replace(visit, scan=None), []) if scan.stage.over else None
    return _on_resident_scan(visit, scan, event) or _on_scanner(visit, scan, event)


def _on_resident_scan(visit: Visit, scan: Scan, event: Event) -> Step | None:
    match event, scan.stage:
        case ev.ScanStart(), stage if stage.awaits_press:
            started = replace(scan, stage=ScanStage.SCANNING, done=0.0, reason=None)
            return _scan(visit, started, do.StartScan(scan.settings, scan.last_page + 1))
        case ev.ScanDecline(), ScanStage.ASKING:
            return _scan(visit, replace(scan, stage=ScanStage.DECLINED, pages=()))
        case ev.ScanDecline(), ScanStage.SCANNING | ScanStage.PREVIEW | ScanStage.SENDING:
            return _cancelled(visit, scan)
        case ev.ScanWithdrawn(request), stage if request == scan.request and not stage.over:
            return _cancelled(visit, scan)
        case ev.ScanRemove(page), ScanStage.PREVIEW:
            kept = tuple(number for number in scan.pages if number != page)
            return _scan(visit, replace(scan, pages=kept))
        case ev.ScanHide(part), ScanStage.PREVIEW if part.page in scan.pages:
            if len(scan.hidden) >= HIDDEN_LIMIT:
                return None
            return _scan(visit, replace(scan, hidden=(*scan.hidden, part)))
        case ev.ScanShow(page), ScanStage.PREVIEW:
            hidden = tuple(part for part in scan.hidden if part.page != page)
            return _scan(visit, replace(scan, hidden=hidden))
        case ev.ScanSend(), ScanStage.PREVIEW if scan.pages:
            sending = replace(scan, stage=ScanStage.SENDING, done=0.0)
            return _scan(visit, sending, do.SendScan(scan.request, scan.pages, scan.hidden))
    return None


def _on_scanner(visit: Visit, scan: Scan, event: Event) -> Step | None:
    match event, scan.stage:
        case ev.ScanMoved(done, warming_up), ScanStage.SCANNING | ScanStage.SENDING:
            reason = Reason.WARMING_UP if warming_up else None
            return _scan(visit, replace(scan, done=done, reason=reason))
        case ev.PageScanned(page), ScanStage.SCANNING:
            grown = replace(scan, pages=(*scan.pages, page), last_page=page, done=0.0)
            return _scan(visit, grown)
        case ev.ScanFinished(reason), ScanStage.SCANNING:
            # Pages that are whole stay: the resident can send them, or go on.
            stage = ScanStage.PREVIEW if scan.pages else ScanStage.FAILED
            if not scan.pages and reason is None:
                reason = Reason.NO_PAPER
            return _scan(visit, replace(scan, stage=stage, reason=reason))
        case ev.ScanDelivered(None), ScanStage.SENDING:
            sent = replace(visit, pages_sent=visit.pages_sent + len(scan.pages))
            return _scan(sent, replace(scan, stage=ScanStage.SENT))
        case ev.ScanDelivered(DocumentFault() as fault), ScanStage.SENDING:
            # The pages stay in the preview: nothing is lost, Send can be pressed again.
            return _scan(visit, replace(scan, stage=ScanStage.PREVIEW, reason=fault))
    return None


def _cancelled(visit: Visit, scan: Scan) -> Step:
    over = replace(scan, stage=ScanStage.CANCELLED, pages=(), done=0.0)
    return _scan(visit, over, do.StopScan())


def _scan(visit: Visit, scan: Scan, *wanted: Effect) -> Step:
    return replace(visit, scan=scan), [*wanted, do.TellScan()]


def on_print_event(visit: Visit, event: Event, now: float) -> Step | None:
    """Handle what concerns the agent's document; None when `event` changes nothing.

    `now` is monotonic, in seconds.
    """
    job = visit.print
    if isinstance(event, ev.DocumentArrived):
        if job is not None and not job.stage.over:
            return None  # the transfer refused it already (may_receive)
        return _print(visit, Print(event.document, event.name), do.Vet(event.document))
    if job is None:
        return None
    if isinstance(event, ev.PrintClose):
        return (replace(visit, print=None), []) if job.stage.over else None
    if getattr(event, "document", job.document) != job.document:
        return None  # news of a document that is no longer at hand
    return _on_resident_print(visit, job, event) or _on_printer(visit, job, event, now)


def _on_resident_print(visit: Visit, job: Print, event: Event) -> Step | None:
    match event, job.stage:
        case ev.PrintAccept(), PrintStage.ASKING:
            return _print(
                visit, replace(job, stage=PrintStage.PRINTING), do.StartPrint(job.document)
            )
        case ev.PrintDecline(), PrintStage.ASKING:
            return _print(visit, replace(job, stage=PrintStage.DECLINED), do.StopPrint())
        case ev.PrintDecline() | ev.PrintWithdrawn(), stage if not stage.over:
            cancelled = replace(job, stage=PrintStage.CANCELLED, held_since=None)
            return _print(visit, cancelled, do.StopPrint())
    return None


def _on_printer(visit: Visit, job: Print, event: Event, now: float) -> Step | None:
    match event, job.stage:
        case ev.Vetted(_, pages), PrintStage.CHECKING:
            return _print(visit, replace(job, stage=PrintStage.ASKING, pages=pages))
        case ev.VetFailed(_, fault), PrintStage.CHECKING:
            return _print(visit, replace(job, stage=PrintStage.FAILED, reasons=(fault,)))
        case ev.JobFailed(_, reason), stage if stage.at_printer:
            failed = replace(job, stage=PrintStage.FAILED, reasons=(reason,), held_since=None)
            return _print(visit, failed)
        case ev.JobMoved(_, status), stage if stage.at_printer:
            reasons = tuple(sorted(status.reasons))
            moved = replace(job, printed=status.pages_printed, reasons=reasons)
            return _on_job(visit, moved, status.state, now)
        case ev.Tick(), PrintStage.HELD if (
            job.held_since is not None and now - job.held_since >= HELD_LIMIT_S
        ):
            given_up = replace(job, stage=PrintStage.FAILED, held_since=None)
            return _print(visit, given_up, do.StopPrint())
    return None


def _on_job(visit: Visit, job: Print, state: JobState, now: float) -> Step:
    since = now if job.held_since is None else job.held_since
    job = replace(job, held_since=since if state is JobState.STOPPED else None)
    match state:
        case JobState.COMPLETED:
            done = replace(visit, pages_printed=visit.pages_printed + job.pages)
            return _print(done, replace(job, stage=PrintStage.PRINTED, printed=job.pages))
        case JobState.CANCELED:
            return _print(visit, replace(job, stage=PrintStage.CANCELLED))
        case JobState.ABORTED:
            return _print(visit, replace(job, stage=PrintStage.FAILED))
        case JobState.STOPPED:
            return _print(visit, replace(job, stage=PrintStage.HELD))
    return _print(visit, replace(job, stage=PrintStage.PRINTING))


def _print(visit: Visit, job: Print, *wanted: Effect) -> Step:
    if visit.print == job and not wanted:
        return visit, []
    return replace(visit, print=job), [*wanted, do.TellPrint()]
