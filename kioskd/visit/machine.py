"""`(visit, event, now) → (visit, effects)`: the flow of a visit.

    choosing → closed → choosing
    choosing → waiting ⇄ connecting → talking → ended → choosing

End works in every scene but choosing; ended is left only after the wipe: a press on Back before
it is kept until then. An event that makes no sense where the visit is changes nothing: late news
are normal.
"""

from __future__ import annotations

from dataclasses import replace

from kioskd.visit import effects as do
from kioskd.visit import events as ev
from kioskd.visit.effects import Effect
from kioskd.visit.events import Event
from kioskd.visit.paper import on_print_event, on_scan_event
from kioskd.visit.state import TIME_LIMITS, WIPE_RETRY_S, Agent, Visit
from kioskd.visit.words import EndReason, Scene

Step = tuple[Visit, list[Effect]]


def step(visit: Visit, event: Event, now: float) -> Step:
    """Return the visit after `event`, and what is to be done. `now` is monotonic, in seconds."""
    match event:
        case ev.Tick():
            return _on_tick(visit, now)
        case ev.Speak(language):
            return replace(visit, language=language), []
        case ev.Claimed():
            return _on_claim(visit, event, now)
        case ev.PeerRefused():
            return _on_refused(visit, event, now)
        case ev.End(reason):
            return _on_end(visit, reason, now)
        case ev.HandsetReplaced():
            if visit.scene not in (Scene.CONNECTING, Scene.TALKING):
                return visit, []
            return _end(visit, EndReason.HANG_UP, now)
        case ev.Choose() | ev.Back() | ev.Wiped():
            return _outside_call(visit, event, now)
        case ev.LegConnected() | ev.LegFailed():
            return _on_leg(visit, event, now)
        case ev.LineChanged() | ev.OwnMedia() | ev.AgentMedia():
            return _on_media(visit, event)
    if visit.scene is not Scene.TALKING:
        return visit, []
    return on_print_event(visit, event, now) or on_scan_event(visit, event) or (visit, [])


def _outside_call(visit: Visit, event: ev.Choose | ev.Back | ev.Wiped, now: float) -> Step:
    match event:
        case ev.Choose(service, call, is_open) if visit.scene in (Scene.CHOOSING, Scene.CLOSED):
            fresh = Visit(language=visit.language, service=service, entered=now)
            if not is_open:
                return replace(fresh, scene=Scene.CLOSED), []
            waiting = replace(fresh, scene=Scene.WAITING, call=call, waiting_since=now, wiped=False)
            return waiting, [do.JoinLine(service, call)]
        case ev.Back() if visit.scene is Scene.CLOSED:
            return Visit(entered=now), []
        case ev.Back() if visit.scene is Scene.ENDED and visit.wiped:
            return Visit(entered=now), []
        case ev.Back() if visit.scene is Scene.ENDED:
            return replace(visit, leaving=True), []
        case ev.Wiped() if visit.scene is Scene.ENDED and visit.leaving:
            return Visit(entered=now), []
        case ev.Wiped() if visit.scene is Scene.ENDED:
            return replace(visit, wiped=True), []
    return visit, []


def _on_claim(visit: Visit, event: ev.Claimed, now: float) -> Step:
    if event.call != visit.call or visit.scene in (Scene.CHOOSING, Scene.CLOSED, Scene.ENDED):
        return visit, [do.RefuseClaim(event.call, event.agent, None)]
    if visit.agent is not None:
        if visit.agent.id == event.agent:  # its claim was delivered twice
            return visit, []
        return visit, [do.RefuseClaim(event.call, event.agent, visit.agent.name)]
    claimed = replace(
        visit,
        scene=Scene.CONNECTING,
        entered=now,
        refused=None,
        agent=Agent(event.agent, event.name, event.organisation),
    )
    return claimed, [
        do.LeaveLine(visit.service),
        do.OpenSensors(),
        do.StartLeg(visit.call, event.agent),
    ]


def _on_refused(visit: Visit, event: ev.PeerRefused, now: float) -> Step:
    if event.call != visit.call:
        return visit, []
    told = replace(visit, refused=event.fault)
    match visit.scene:
        case Scene.WAITING:
            return told, []
        case Scene.CONNECTING:
            return _back_to_line(told, EndReason.NOT_VERIFIED, now)
    return visit, []


def _on_leg(visit: Visit, event: ev.LegConnected | ev.LegFailed, now: float) -> Step:
    match event, visit.scene:
        case ev.LegConnected(), Scene.CONNECTING:
            return replace(visit, scene=Scene.TALKING, entered=now, talking_since=now), []
        case ev.LegFailed(), Scene.CONNECTING:
            return _back_to_line(visit, EndReason.FAILED, now)
        case ev.LegFailed(), Scene.TALKING:
            return _end(visit, EndReason.LOST, now)
    return visit, []


def _back_to_line(visit: Visit, reason: EndReason, now: float) -> Step:
    assert visit.agent is not None
    waiting = replace(visit, scene=Scene.WAITING, entered=now, agent=None)
    return waiting, [
        do.CloseSensors(),
        do.CloseLeg(visit.call, visit.agent.id, reason, visit.refused),
        do.JoinLine(visit.service, visit.call),
    ]


def _on_media(visit: Visit, event: ev.LineChanged | ev.OwnMedia | ev.AgentMedia) -> Step:
    if visit.scene not in (Scene.CONNECTING, Scene.TALKING):
        return visit, []
    match event:
        case ev.LineChanged(quality, bars):
            return replace(visit, line=quality, bars=bars), []
        case ev.OwnMedia(media):
            return replace(visit, own_media=media), [do.TellMedia()]
        case ev.AgentMedia(media):
            return replace(visit, agent_media=media), []


def _on_tick(visit: Visit, now: float) -> Step:
    limit = TIME_LIMITS.get(visit.scene)
    if visit.scene is Scene.ENDED and not visit.wiped:
        if now - visit.entered < WIPE_RETRY_S:
            return visit, []
        return replace(visit, entered=now), [do.Wipe()]
    if limit is None or now - visit.entered < limit:
        talking = visit.scene is Scene.TALKING
        return (on_print_event(visit, ev.Tick(), now) if talking else None) or (visit, [])
    match visit.scene:
        case Scene.CONNECTING:
            return _back_to_line(visit, EndReason.NO_ANSWER, now)
        case Scene.WAITING | Scene.TALKING:
            return _end(visit, EndReason.TIME_LIMIT, now)
    return Visit(entered=now), []


def _on_end(visit: Visit, reason: EndReason, now: float) -> Step:
    match visit.scene:
        case Scene.CHOOSING | Scene.ENDED:
            return visit, []
        case Scene.CLOSED:
            return Visit(entered=now), []
    return _end(visit, reason, now)


def _end(visit: Visit, reason: EndReason, now: float) -> Step:
    talked = 0.0 if visit.talking_since is None else now - visit.talking_since
    ended = Visit(
        scene=Scene.ENDED,
        entered=now,
        language=visit.language,
        service=visit.service,
        call=visit.call,
        pages_sent=visit.pages_sent,
        pages_printed=visit.pages_printed,
        talked_s=talked,
        end_reason=reason,
        wiped=False,
    )
    wanted: list[Effect] = [do.CloseSensors(), do.StopScan(), do.StopPrint()]
    if visit.agent is None:
        wanted.append(do.LeaveLine(visit.service))
    else:
        wanted.append(do.CloseLeg(visit.call, visit.agent.id, reason))
    return ended, [*wanted, do.Wipe()]
