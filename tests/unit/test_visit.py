"""The visit, from any sequence of events: nothing without consent, nothing left open."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kioskd.errors import DocumentFault, PeerFault, Reason
from kioskd.hal.printer import JobState, JobStatus
from kioskd.hal.scanner import ScanSettings
from kioskd.visit import effects as do
from kioskd.visit import events as ev
from kioskd.visit.effects import Effect
from kioskd.visit.events import Event
from kioskd.visit.machine import step
from kioskd.visit.state import (
    HELD_LIMIT_S,
    HiddenPart,
    Media,
    Visit,
    deadline,
    may_receive,
    sensors_allowed,
)
from kioskd.visit.words import EndReason, LineQuality, PrintStage, ScanStage, Scene

CALLS = st.sampled_from(["call-1", "call-2", "call-3"])
AGENTS = st.sampled_from(["lea", "paul"])
DOCUMENTS = st.sampled_from(["doc-1", "doc-2"])
REASONS = st.sampled_from([Reason.PAPER_OUT, Reason.PAPER_JAM, Reason.CRASHED])
FAULTS = st.sampled_from([DocumentFault.BROKEN, DocumentFault.TIMEOUT])
JOBS = st.builds(
    JobStatus, st.sampled_from(JobState), st.frozensets(REASONS, max_size=1), st.integers(0, 3)
)

PARTS = st.builds(HiddenPart, st.integers(1, 3), *[st.floats(0, 1)] * 4)

EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(ev.Tick),
    st.builds(ev.Choose, st.sampled_from(["caf", "cpam"]), CALLS, st.booleans()),
    st.builds(ev.Back),
    st.builds(ev.Speak, st.sampled_from(["fr", "en"])),
    st.builds(ev.End, st.sampled_from(EndReason)),
    st.builds(ev.HandsetReplaced),
    st.builds(ev.Claimed, CALLS, AGENTS, st.just("Léa")),
    st.builds(ev.PeerRefused, CALLS, st.sampled_from(PeerFault)),
    st.builds(ev.LegConnected),
    st.builds(ev.LegFailed),
    st.builds(ev.LineChanged, st.sampled_from(LineQuality)),
    st.builds(ev.OwnMedia, st.builds(Media, st.booleans(), st.booleans())),
    st.builds(ev.ScanAsked, st.just("r"), st.just(ScanSettings()), st.booleans()),
    st.builds(ev.ScanStart),
    st.builds(ev.ScanDecline),
    st.builds(ev.ScanWithdrawn, st.just("r")),
    st.builds(ev.ScanRemove, st.integers(1, 3)),
    st.builds(ev.ScanHide, PARTS),
    st.builds(ev.ScanShow, st.integers(1, 3)),
    st.builds(ev.ScanSend),
    st.builds(ev.ScanClose),
    st.builds(ev.ScanMoved, st.floats(0, 1)),
    st.builds(ev.PageScanned, st.integers(1, 3)),
    st.builds(ev.ScanFinished, st.none() | REASONS),
    st.builds(ev.ScanDelivered, st.none() | FAULTS),
    st.builds(ev.DocumentArrived, DOCUMENTS, st.just("lettre.pdf")),
    st.builds(ev.Vetted, DOCUMENTS, st.integers(1, 3)),
    st.builds(ev.VetFailed, DOCUMENTS, FAULTS),
    st.builds(ev.PrintAccept),
    st.builds(ev.PrintDecline),
    st.builds(ev.PrintWithdrawn, DOCUMENTS),
    st.builds(ev.PrintClose),
    st.builds(ev.JobMoved, DOCUMENTS, JOBS),
    st.builds(ev.JobFailed, DOCUMENTS, REASONS),
    st.builds(ev.Wiped),
)


@dataclass
class World:
    """What the effects have brought about, kept the way the real hands would."""

    sensors: bool = False
    leg: str | None = None
    in_line: str | None = None
    scanning: bool = False
    sending: bool = False
    printing: str | None = None
    wiping: bool = False
    pressed: list[type] = field(default_factory=list)
    hidden: list[HiddenPart] = field(default_factory=list)
    """What the resident has hidden of the pages that lie before them."""

    def carry(self, effect: Effect) -> None:
        match effect:
            case do.OpenSensors():
                self.sensors = True
            case do.CloseSensors():
                self.sensors = False
            case do.StartLeg(_, agent):
                assert self.leg is None, "two agents in one call"
                self.leg = agent
            case do.CloseLeg(_, agent, _):
                assert self.leg == agent
                self.leg = None
            case do.JoinLine(service, _):
                self.in_line = service
            case do.LeaveLine():
                self.in_line = None
            case do.StartScan():
                assert ev.ScanStart in self.pressed[-1:], "a scan nobody agreed to"
                self.scanning = True
            case do.SendScan(_, pages, hidden):
                assert ev.ScanSend in self.pressed[-1:], "sent without a press on Send"
                assert pages
                assert list(hidden) == self.hidden, "seen by the agent though it was hidden"
                self.sending = True
            case do.StartPrint(document):
                assert ev.PrintAccept in self.pressed[-1:], "printed without consent"
                self.printing = document
            case do.StopScan():
                self.scanning = self.sending = False
            case do.StopPrint():
                self.printing = None
            case do.Wipe():
                self.wiping = True
            case _:
                pass

    def note_hidden(self, visit: Visit, event: Event) -> None:
        """Keep what a resident who presses now expects to be hidden."""
        scan = visit.scan
        if scan is None or isinstance(event, ev.ScanAsked):
            self.hidden = []
        elif scan.stage is ScanStage.PREVIEW:
            match event:
                case ev.ScanHide(part) if part.page in scan.pages:
                    self.hidden.append(part)
                case ev.ScanShow(page):
                    self.hidden = [part for part in self.hidden if part.page != page]

    def check(self, visit: Visit) -> None:
        assert self.sensors == sensors_allowed(visit)
        assert (self.leg is not None) == sensors_allowed(visit)
        assert (self.in_line is not None) == (visit.scene is Scene.WAITING)
        if visit.scene is not Scene.TALKING:
            assert may_receive(visit) is not None
            assert not self.sending
            assert self.printing is None
        if visit.scene is Scene.CHOOSING:
            assert visit.wiped
        if visit.scene is not Scene.CHOOSING:
            assert deadline(visit) is not None, "a scene without a way out"


def run(events: list[Event]) -> tuple[Visit, World]:
    visit, world, now = Visit(), World(), 0.0
    for event in events:
        now += 1.0
        world.pressed.append(type(event))
        world.note_hidden(visit, event)
        visit, wanted = step(visit, event, now)
        for effect in wanted:
            world.carry(effect)
        if visit.scan is None or visit.scan.stage is not ScanStage.SCANNING:
            world.scanning = False
        if visit.scan is None or visit.scan.stage is not ScanStage.SENDING:
            world.sending = False
        if visit.print is None or not visit.print.stage.at_printer:
            world.printing = None
        world.check(visit)
    return visit, world


@settings(max_examples=400, deadline=None)
@given(st.lists(EVENTS, max_size=60))
def test_whatever_happens_nothing_runs_without_consent(events: list[Event]) -> None:
    run(events)


TALK: list[Event] = [
    ev.Choose("caf", "call-1", is_open=True),
    ev.Claimed("call-1", "lea", "Léa"),
    ev.LegConnected(),
]


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_from_a_talk_hang_up_then_wipe_leads_back(events: list[Event]) -> None:
    visit, world = run([*TALK, *events, ev.End(), ev.Wiped(), ev.Back()])
    assert visit.scene in (Scene.CHOOSING, Scene.CLOSED)
    assert visit.scan is None
    assert visit.print is None
    assert world.wiping


def test_a_press_on_back_before_the_wipe_is_kept_until_it_is_done() -> None:
    visit, _ = run([*TALK, ev.End(), ev.Back()])
    assert visit.scene is Scene.ENDED, "not before the wipe"
    after, wanted = step(visit, ev.Wiped(), 9.0)
    assert (after.scene, wanted) == (Scene.CHOOSING, [])


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_time_alone_ends_every_visit(events: list[Event]) -> None:
    visit, _ = run(events)
    now = 1000.0
    for _ in range(6):
        due = deadline(visit)
        if due is None:
            break
        now = max(now, due) + 1
        visit, wanted = step(visit, ev.Tick(), now)
        if do.Wipe() in wanted:
            visit, _ = step(visit, ev.Wiped(), now)
    assert visit.scene is Scene.CHOOSING


def test_second_agent_is_told_who_has_the_call() -> None:
    visit, _ = run(TALK)
    after, wanted = step(visit, ev.Claimed("call-1", "paul", "Paul"), 9.0)
    assert after == visit
    assert wanted == [do.RefuseClaim("call-1", "paul", "Léa")]


def test_a_claim_delivered_twice_changes_nothing() -> None:
    visit, _ = run(TALK)
    assert step(visit, ev.Claimed("call-1", "lea", "Léa"), 9.0) == (visit, [])


def test_an_agent_who_does_not_answer_loses_the_call_but_not_the_resident_the_place() -> None:
    visit, _ = run(TALK[:2])
    after, wanted = step(visit, ev.Tick(), 60.0)
    assert after.scene is Scene.WAITING
    assert after.waiting_since == visit.waiting_since
    assert do.CloseLeg("call-1", "lea", EndReason.NO_ANSWER) in wanted
    assert do.JoinLine("caf", "call-1") in wanted


def test_who_is_not_verified_costs_the_resident_no_place_and_nothing_opens() -> None:
    visit, _ = run(TALK[:1])
    refused, wanted = step(visit, ev.PeerRefused("call-1", PeerFault.CLOCK), 9.0)
    assert wanted == []
    assert refused.scene is Scene.WAITING
    assert refused.refused is PeerFault.CLOCK
    claimed, _ = step(refused, TALK[1], 10.0)
    assert claimed.refused is None


def test_an_answer_that_is_not_verified_leads_back_to_the_line() -> None:
    visit, _ = run(TALK[:2])
    after, wanted = step(visit, ev.PeerRefused("call-1", PeerFault.MISMATCH), 9.0)
    assert after.scene is Scene.WAITING
    assert after.waiting_since == visit.waiting_since
    close = do.CloseLeg("call-1", "lea", EndReason.NOT_VERIFIED, PeerFault.MISMATCH)
    assert wanted == [do.CloseSensors(), close, do.JoinLine("caf", "call-1")]


def test_nothing_said_of_another_call_or_during_the_talk_ends_it() -> None:
    visit, _ = run(TALK)
    for call in ("call-1", "call-2"):
        after, wanted = step(visit, ev.PeerRefused(call, PeerFault.MISMATCH), 9.0)
        assert after == visit
        assert wanted == []


def test_what_was_declined_is_not_asked_again_by_the_same_request() -> None:
    asked = ev.ScanAsked("r", ScanSettings(), by_agent=True)
    visit, _ = run([*TALK, asked, ev.ScanDecline()])
    assert visit.scan is not None
    assert visit.scan.stage is ScanStage.DECLINED
    assert step(visit, asked, 9.0) == (visit, [])  # said again on a new leg
    other, _ = step(visit, ev.ScanAsked("s", ScanSettings(), by_agent=True), 9.0)
    assert other.scan is not None
    assert other.scan.stage is ScanStage.ASKING


def test_a_jam_keeps_the_pages_before_it() -> None:
    visit, _ = run(
        [
            *TALK,
            ev.ScanAsked("r", ScanSettings(), by_agent=True),
            ev.ScanStart(),
            ev.PageScanned(1),
            ev.PageScanned(2),
            ev.ScanFinished(Reason.PAPER_JAM),
        ]
    )
    assert visit.scan is not None
    assert visit.scan.stage is ScanStage.PREVIEW
    assert visit.scan.pages == (1, 2)
    assert visit.scan.reason is Reason.PAPER_JAM


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        (JobState.PROCESSING, PrintStage.PRINTING),
        (JobState.STOPPED, PrintStage.HELD),
        (JobState.COMPLETED, PrintStage.PRINTED),
        (JobState.ABORTED, PrintStage.FAILED),
        (JobState.CANCELED, PrintStage.CANCELLED),
    ],
)
def test_the_job_moves_the_print(state: JobState, stage: PrintStage) -> None:
    visit, _ = run(
        [
            *TALK,
            ev.DocumentArrived("doc-1", "lettre.pdf"),
            ev.Vetted("doc-1", 2),
            ev.PrintAccept(),
            ev.JobMoved("doc-1", JobStatus(state)),
        ]
    )
    assert visit.print is not None
    assert visit.print.stage is stage
    assert visit.pages_printed == (2 if stage is PrintStage.PRINTED else 0)


def test_a_closed_service_places_no_call() -> None:
    visit, world = run([ev.Choose("caf", "call-1", is_open=False)])
    assert visit.scene is Scene.CLOSED
    assert world.in_line is None


def test_putting_the_handset_back_ends_a_call_and_nothing_else() -> None:
    choose, claim = ev.Choose("caf", "call-1", True), ev.Claimed("call-1", "lea", "Léa")
    cases: list[tuple[list[Event], Scene]] = [
        ([], Scene.CHOOSING),
        ([choose], Scene.WAITING),
        ([choose, claim], Scene.ENDED),
        ([choose, claim, ev.LegConnected()], Scene.ENDED),
        ([choose, claim, ev.LegConnected(), ev.End()], Scene.ENDED),
    ]
    for before, scene in cases:
        visit, _ = run([*before, ev.HandsetReplaced()])
        assert visit.scene is scene


def held_print() -> Visit:
    """A visit whose printer began to wait for paper at 100 s."""
    visit, _ = run(
        [
            *TALK,
            ev.DocumentArrived("doc-1", "lettre.pdf"),
            ev.Vetted("doc-1", 3),
            ev.PrintAccept(),
        ]
    )
    paper_out = JobStatus(JobState.STOPPED, frozenset({Reason.PAPER_OUT}), 1)
    visit, _ = step(visit, ev.JobMoved("doc-1", paper_out), 100.0)
    return step(visit, ev.JobMoved("doc-1", paper_out), 101.0)[0]


def test_a_printer_that_nobody_helps_is_given_up() -> None:
    visit = held_print()
    assert deadline(visit) == 100.0 + HELD_LIMIT_S
    assert step(visit, ev.Tick(), 99.0 + HELD_LIMIT_S) == (visit, [])
    visit, wanted = step(visit, ev.Tick(), 100.0 + HELD_LIMIT_S)
    assert do.StopPrint() in wanted
    assert visit.print is not None
    assert visit.print.stage is PrintStage.FAILED
    assert visit.print.reasons == (Reason.PAPER_OUT,)
    assert visit.print.printed == 1
    assert visit.scene is Scene.TALKING


def test_a_printer_that_was_helped_has_all_its_time_again() -> None:
    visit, _ = step(held_print(), ev.JobMoved("doc-1", JobStatus(JobState.PROCESSING)), 150.0)
    assert visit.print is not None
    assert visit.print.held_since is None
    jam = JobStatus(JobState.STOPPED, frozenset({Reason.PAPER_JAM}))
    visit, _ = step(visit, ev.JobMoved("doc-1", jam), 200.0)
    assert deadline(visit) == 200.0 + HELD_LIMIT_S
