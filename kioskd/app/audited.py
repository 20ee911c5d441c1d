"""What a step of the visit means to the audit log: a pure function, no clock, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from kioskd.audit import events as audit
from kioskd.audit.events import Asker, AuditEvent, PrintEnd, Purpose
from kioskd.errors import DocumentFault
from kioskd.visit import effects as do
from kioskd.visit import events as ev
from kioskd.visit.effects import Effect
from kioskd.visit.events import Event
from kioskd.visit.state import Print, Scan, Visit
from kioskd.visit.words import EndReason, PrintStage, ScanStage, Scene

Name = Callable[[str], str]
"""Makes a pseudonym of an id."""


class _OfVisit(TypedDict):
    visit: str
    service: str


class _OfCall(_OfVisit):
    agent: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the visit: where it was, what happened, where it is, what it wants done."""

    before: Visit
    event: Event
    after: Visit
    wanted: list[Effect]


def told(step: Step, name: Name) -> list[AuditEvent]:
    """Return what the audit log is told of a step, in order."""
    return [*_paper(step, name), *_call(step, name)]


def of_call(visit: Visit, name: Name) -> _OfCall:
    """Return who a call is between, in pseudonyms."""
    agent = "" if visit.agent is None else visit.agent.id
    return {**of_visit(visit, name), "agent": name(agent)}


def of_visit(visit: Visit, name: Name) -> _OfVisit:
    """Return what visit it is, as a pseudonym."""
    return {"visit": name(visit.call), "service": visit.service}


def _call(step: Step, name: Name) -> list[AuditEvent]:
    before, after = step.before, step.after
    told: list[AuditEvent] = []
    for effect in step.wanted:
        match effect:
            case do.JoinLine():
                if before.call != after.call or before.scene is Scene.CLOSED:
                    told.append(audit.VisitBegun(**of_visit(after, name)))
                told.append(audit.CallPlaced(**of_visit(after, name)))
            case do.RefuseClaim(_, agent, taken_by):
                kind = "gone" if taken_by is None else "taken"
                refused = audit.AgentRefused(
                    visit=name(after.call), service=after.service, agent=name(agent), kind=kind
                )
                told.append(refused)
            case do.StartLeg():
                told.append(audit.CallAnswered(**of_call(after, name)))
            case do.CloseLeg(_, _, reason):
                told.append(audit.CallEnded(**of_call(before, name), how=reason))
    if after.scene is Scene.TALKING and before.scene is not Scene.TALKING:
        told.append(audit.CallConnected(**of_call(after, name)))
    if after.scene is Scene.ENDED and before.scene is not Scene.ENDED:
        told.append(_ended(after, name))
    return told


def _ended(visit: Visit, name: Name) -> AuditEvent:
    return audit.VisitEnded(
        **of_visit(visit, name),
        how=visit.end_reason or EndReason.HANG_UP,
        pages_sent=visit.pages_sent,
        pages_printed=visit.pages_printed,
    )


def _paper(step: Step, name: Name) -> list[AuditEvent]:
    before, after = step.before, step.after
    if before.scene is not Scene.TALKING:
        return []
    who = of_call(before, name)
    return [
        *_scan(step, before.scan, after.scan, who),
        *_print(step, before.print, after.print, who),
    ]


def _scan(step: Step, old: Scan | None, new: Scan | None, who: _OfCall) -> list[AuditEvent]:
    if new is None:
        sending = old is not None and old.stage is ScanStage.SENDING
        fault = DocumentFault.CANCELLED
        return [audit.DocumentNotSent(**who, fault=fault)] if sending else []
    if isinstance(step.event, ev.ScanAsked) and new is not old:
        by = Asker.AGENT if new.by_agent else Asker.RESIDENT
        return [audit.ConsentAsked(**who, purpose=Purpose.SCAN, by=by)]
    told = _presses(step, who)
    was = None if old is None else old.stage
    if new.stage is was:
        return told
    match new.stage:
        case ScanStage.DECLINED:
            told.append(audit.ConsentDeclined(**who, purpose=Purpose.SCAN))
        case ScanStage.CANCELLED if isinstance(step.event, ev.ScanWithdrawn):
            told.append(audit.RequestWithdrawn(**who, purpose=Purpose.SCAN))
        case ScanStage.CANCELLED:
            purpose = Purpose.SCAN if was is ScanStage.SCANNING else Purpose.SEND
            told.append(audit.ConsentDeclined(**who, purpose=purpose))
    if was is ScanStage.SENDING:
        told.append(_sending_over(step.event, new, who))
    if new.stage is ScanStage.PREVIEW:
        by, pages = Asker.AGENT if new.by_agent else Asker.RESIDENT, len(new.pages)
        told.append(audit.ConsentAsked(**who, purpose=Purpose.SEND, by=by, pages=pages))
    return told


def _presses(step: Step, who: _OfCall) -> list[AuditEvent]:
    """Return the resident's yes to what leaves the kiosk or moves a paper."""
    told: list[AuditEvent] = []
    for effect in step.wanted:
        match effect:
            case do.StartScan():
                told.append(audit.ConsentGiven(**who, purpose=Purpose.SCAN))
            case do.SendScan(_, pages):
                told.append(audit.ConsentGiven(**who, purpose=Purpose.SEND, pages=len(pages)))
    return told


def _sending_over(event: Event, scan: Scan, who: _OfCall) -> AuditEvent:
    match event:
        case ev.ScanDelivered(None, size):
            return audit.DocumentSent(**who, pages=len(scan.pages), size=size)
        case ev.ScanDelivered(DocumentFault() as fault):
            return audit.DocumentNotSent(**who, fault=fault)
    return audit.DocumentNotSent(**who, fault=DocumentFault.CANCELLED)


def _print(step: Step, old: Print | None, new: Print | None, who: _OfCall) -> list[AuditEvent]:
    if new is None:
        ended = old is not None and old.stage.at_printer
        return [_printed(old, PrintEnd.CANCELLED, who)] if ended and old is not None else []
    if isinstance(step.event, ev.DocumentArrived) and new is not old:
        return [audit.DocumentReceived(**who, size=step.event.size)]
    if old is None or new.stage is old.stage:
        return []
    told: list[AuditEvent] = []
    match new.stage:
        case PrintStage.ASKING:
            asked = audit.ConsentAsked(
                **who, purpose=Purpose.PRINT, by=Asker.AGENT, pages=new.pages
            )
            told.append(asked)
        case PrintStage.PRINTING if old.stage is PrintStage.ASKING:
            told.append(audit.ConsentGiven(**who, purpose=Purpose.PRINT, pages=new.pages))
        case PrintStage.DECLINED:
            told.append(audit.ConsentDeclined(**who, purpose=Purpose.PRINT))
        case PrintStage.CANCELLED if isinstance(step.event, ev.PrintDecline):
            told.append(audit.ConsentDeclined(**who, purpose=Purpose.PRINT))
        case PrintStage.CANCELLED if isinstance(step.event, ev.PrintWithdrawn):
            told.append(audit.RequestWithdrawn(**who, purpose=Purpose.PRINT))
        case PrintStage.FAILED if isinstance(step.event, ev.VetFailed):
            told.append(audit.DocumentRefused(**who, fault=step.event.fault))
    if old.stage.at_printer and new.stage in _PRINT_ENDS:
        told.append(_printed(new, _PRINT_ENDS[new.stage], who))
    return told


_PRINT_ENDS = {
    PrintStage.PRINTED: PrintEnd.PRINTED,
    PrintStage.CANCELLED: PrintEnd.CANCELLED,
    PrintStage.FAILED: PrintEnd.FAILED,
}


def _printed(job: Print, how: PrintEnd, who: _OfCall) -> AuditEvent:
    return audit.PagesPrinted(**who, how=how, pages=job.printed)
