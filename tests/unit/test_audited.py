"""What the audit log is told of a visit: nothing is sent or printed without its consent before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from kioskd.app.audited import Step, told
from kioskd.app.auditing import ASKED_AT_MOST, Auditing
from kioskd.audit import events as audit
from kioskd.audit.catalogue import MARK, catalogue
from kioskd.audit.events import CATALOGUE, AuditEvent, PrintEnd, Purpose
from kioskd.audit.verify import files_of, lines_of, verify
from kioskd.cli import app as kioskctl
from kioskd.errors import DocumentFault, Reason
from kioskd.hal.device import DeviceKind
from kioskd.hal.printer import JobState, JobStatus
from kioskd.hal.scanner import ScanSettings
from kioskd.settings import Settings, read_toml, validate
from kioskd.visit import effects as do
from kioskd.visit import events as ev
from kioskd.visit.effects import Effect
from kioskd.visit.events import Event
from kioskd.visit.machine import step
from kioskd.visit.state import Visit
from kioskd.visit.words import EndReason
from tests.unit.test_visit import EVENTS, TALK

ROOT = Path(__file__).parents[2]


def name(identifier: str) -> str:
    """A pseudonym that can be told apart in a test."""
    return identifier.encode().hex()[:16].ljust(16, "0") if identifier else ""


def play(events: list[Event]) -> list[tuple[list[Effect], list[AuditEvent]]]:
    """Return, for each event, what was wanted and what the log was told."""
    visit, now, steps = Visit(), 0.0, []
    for event in events:
        now += 1.0
        after, wanted = step(visit, event, now)
        steps.append((wanted, told(Step(visit, event, after, wanted), name)))
        visit = after
    return steps


class Ledger:
    """Reads the log as an auditor does, and finds what lacks its consent."""

    def __init__(self) -> None:
        self.begin("")

    def begin(self, visit: str) -> None:
        self.open: dict[Purpose, int | None] = dict.fromkeys(Purpose)
        self.asked: set[Purpose] = set()
        self.visit = visit
        self.in_call = False

    def read(self, event: AuditEvent) -> None:
        match event:
            case audit.VisitBegun(visit=visit):
                self.begin(visit)
            case audit.CallAnswered():
                assert not self.in_call, "two agents in one call"
                self.in_call = True
            case audit.CallEnded():
                assert self.in_call
                self.in_call = False
                self.open = dict.fromkeys(Purpose)
                self.asked.clear()
            case audit.ConsentAsked(purpose=purpose):
                assert self.in_call
                self.asked.add(purpose)
            case audit.ConsentGiven(purpose=purpose, pages=pages):
                assert self.in_call
                assert purpose in self.asked, "a yes to what was never asked"
                self.open[purpose] = pages
            case audit.DocumentSent(pages=pages):
                assert self.open[Purpose.SEND] == pages, "sent without its consent"
                self.open[Purpose.SEND] = None
            case audit.PagesPrinted(pages=pages, how=how):
                agreed = self.open[Purpose.PRINT]
                assert agreed is not None, "printed without its consent"
                assert how is not PrintEnd.PRINTED or pages == agreed
                self.open[Purpose.PRINT] = None
            case audit.VisitEnded():
                assert not self.in_call
                assert event.visit == self.visit


@settings(max_examples=300, deadline=None)
@given(st.booleans(), st.lists(EVENTS, max_size=60))
def test_each_send_and_each_print_has_its_consent_before_it(
    talking: bool, events: list[Event]
) -> None:
    ledger = Ledger()
    for wanted, log in play([*TALK, *events] if talking else events):
        for event in log:
            ledger.read(event)
        for effect in wanted:  # what the log says before the effect is carried out
            match effect:
                case do.SendScan(_, pages):
                    assert ledger.open[Purpose.SEND] == len(pages)
                case do.StartPrint():
                    assert ledger.open[Purpose.PRINT] is not None
                case do.OpenSensors():
                    assert ledger.in_call


PAPER: list[Event] = [
    *TALK,
    ev.ScanAsked("r", ScanSettings(), by_agent=True),
    ev.ScanStart(),
    ev.PageScanned(1),
    ev.PageScanned(2),
    ev.ScanFinished(),
    ev.ScanRemove(1),
    ev.ScanSend(),
    ev.ScanDelivered(size=1234),
    ev.ScanClose(),
    ev.DocumentArrived("doc-1", "avis-imposition-Martin.pdf", 999),
    ev.Vetted("doc-1", 3),
    ev.PrintAccept(),
    ev.JobMoved("doc-1", JobStatus(JobState.COMPLETED)),
    ev.PrintClose(),
    ev.End(),
    ev.Wiped(),
]


def types(events: list[Event]) -> list[str]:
    return [one.type for _, log in play(events) for one in log]


def test_a_whole_visit() -> None:
    log = [one for _, told in play(PAPER) for one in told]
    assert [one.type for one in log] == [
        "visit-begun",
        "call-placed",
        "call-answered",
        "call-connected",
        "consent-asked",
        "consent-given",
        "consent-asked",
        "consent-given",
        "document-sent",
        "document-received",
        "consent-asked",
        "consent-given",
        "pages-printed",
        "call-ended",
        "visit-ended",
    ]
    sent = next(one for one in log if isinstance(one, audit.DocumentSent))
    assert (sent.pages, sent.size, sent.service) == (1, 1234, "caf")
    printed = next(one for one in log if isinstance(one, audit.PagesPrinted))
    assert (printed.pages, printed.how) == (3, PrintEnd.PRINTED)
    ended = next(one for one in log if isinstance(one, audit.VisitEnded))
    assert (ended.pages_sent, ended.pages_printed, ended.how) == (1, 3, EndReason.HANG_UP)
    text = " ".join(one.model_dump_json() for one in log)
    for secret in ("Léa", "Martin", "imposition", "lea", "call-1", "doc-1"):
        assert secret not in text, secret


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([*PAPER[:4], ev.ScanDecline()], ["consent-asked", "consent-declined"]),
        ([*PAPER[:4], ev.ScanWithdrawn("r")], ["consent-asked", "request-withdrawn"]),
        ([*PAPER[:8], ev.ScanDecline()], ["consent-given", "consent-asked", "consent-declined"]),
        ([*PAPER[:10], ev.End()], ["document-not-sent", "call-ended", "visit-ended"]),
        (
            [*PAPER[:10], ev.ScanDelivered(DocumentFault.TIMEOUT)],
            ["consent-given", "document-not-sent", "consent-asked"],
        ),
        ([*PAPER[:10], ev.ScanDecline()], ["consent-declined", "document-not-sent"]),
        ([*PAPER[:13], ev.VetFailed("doc-1", DocumentFault.BROKEN)], ["document-refused"]),
        ([*PAPER[:14], ev.PrintDecline()], ["consent-asked", "consent-declined"]),
        ([*PAPER[:15], ev.PrintDecline()], ["consent-declined", "pages-printed"]),
        ([*PAPER[:15], ev.PrintWithdrawn("doc-1")], ["request-withdrawn", "pages-printed"]),
        ([*PAPER[:15], ev.JobFailed("doc-1", Reason.PAPER_JAM)], ["pages-printed"]),
        ([*PAPER[:15], ev.End()], ["pages-printed", "call-ended", "visit-ended"]),
        ([*TALK, ev.Claimed("call-1", "paul", "Paul")], ["agent-refused"]),
        ([*TALK[:2], ev.LegFailed()], ["call-ended", "call-placed"]),
        ([ev.Choose("caf", "c", is_open=False)], []),
    ],
)
def test_how_it_can_end(events: list[Event], expected: list[str]) -> None:
    assert types(events)[-len(expected) :] == expected if expected else types(events) == []


# -- the daemon's hand ----------------------------------------------------------------


def made(tmp_path: Path, **more: object) -> Settings:
    raw = read_toml(ROOT / "config" / "demo.toml")
    raw["services"] = read_toml(ROOT / "config" / raw.pop("services_file"))["services"]
    raw["broker"] = {"host": "127.0.0.1", "tls": False}
    raw["state"] = {"folder": str(tmp_path)}
    return validate({**raw, **more})


def written(tmp_path: Path) -> list[AuditEvent]:
    return [line.event for file in files_of(tmp_path / "audit") for _, line in lines_of(file)]


def test_a_life_of_the_daemon(tmp_path: Path) -> None:
    one = Auditing(made(tmp_path))
    one.start()
    visit = Visit()
    for event in PAPER:
        after, wanted = step(visit, event, 1.0)
        one.step(Step(visit, event, after, wanted))
        visit = after
    one.sensor(DeviceKind.CAMERA, open_=False)
    one.wiped(Reason.NO_ANSWER)
    one.stop()
    again = Auditing(made(tmp_path, broker={"host": "127.0.0.2", "tls": False}))
    again.start()
    again.stop()
    log = written(tmp_path)
    assert [one.type for one in log[:2]] == ["log-begun", "daemon-started"]
    changed = [one for one in log if isinstance(one, audit.ConfigurationChanged)]
    assert [one.what for one in changed] == ["settings"]
    assert [one.type for one in log].count("daemon-stopped") == 2
    verdict = verify(tmp_path / "audit", anchor=again.status().head)
    assert verdict.faults == []
    assert verdict.events == len(log) == again.status().seq


def test_other_trusted_keys_and_another_credential_are_told_of(tmp_path: Path) -> None:
    credential, keys = tmp_path / "identity.jwt", tmp_path / "caf.json"
    organisation = {"name": "CAF", "issuer": "https://caf", "keys": str(keys), "services": ["caf"]}
    identity = {
        "unsigned": True,
        "credential": str(credential),
        "organisations": [organisation],
    }
    for one in (credential, keys):
        one.write_text("first")
    for other in (None, None, credential, keys):
        if other is not None:
            other.write_text("second")
        auditing = Auditing(made(tmp_path, identity=identity))
        auditing.start()
        auditing.stop()
    told = [one.type for one in written(tmp_path) if one.type != "daemon-stopped"]
    start = ["daemon-started"]
    assert told == [
        "log-begun",
        *start * 3,
        "configuration-changed",
        *start,
        "configuration-changed",
    ]


def test_strangers_cannot_fill_the_log(tmp_path: Path) -> None:
    now = 0.0
    one = Auditing(made(tmp_path), now=lambda: now)
    one.start()
    for number in range(5000):
        now += 0.01
        one.refused("bad-signature", service="caf", agent=f"agent-{number}")
    visit = Visit()
    flood: list[Event] = []
    for number in range(1000):
        request = f"r{number}"
        asked_to_scan = ev.ScanAsked(request, ScanSettings(), by_agent=True)
        flood += [asked_to_scan, ev.ScanWithdrawn(request)]
    for event in [*TALK, *flood, ev.End()]:
        after, wanted = step(visit, event, 1.0)
        one.step(Step(visit, event, after, wanted))
        visit = after
    one.stop()
    log = written(tmp_path)
    refusals = [one for one in log if isinstance(one, audit.AgentRefused)]
    assert len(refusals) < 10
    assert sum(one.count for one in refusals) == 5000, "they are counted all the same"
    asked = [one for one in log if one.type in ("consent-asked", "request-withdrawn")]
    assert len(asked) == ASKED_AT_MOST
    assert [one.count for one in log if isinstance(one, audit.EventsLost)] == [2000 - ASKED_AT_MOST]
    assert log[-2].type == "visit-ended", "what the resident did is never left out"


def test_a_fault_of_ours_does_not_cost_the_visit(tmp_path: Path) -> None:
    one = Auditing(made(tmp_path))
    one.start()
    event = ev.Choose("a service with spaces", "call-1", is_open=True)
    after, wanted = step(Visit(), event, 1.0)
    one.step(Step(Visit(), event, after, wanted))
    one.stop()
    assert any(isinstance(one, audit.EventsLost) for one in written(tmp_path))


# -- kioskctl and the document ------------------------------------------------------------


def test_kioskctl_shows_verifies_and_finds(tmp_path: Path) -> None:
    one = Auditing(made(tmp_path))
    one.start()
    one.refused("taken", service="caf", agent="agent-7")
    head = one.status
    one.stop()
    folder, run = str(tmp_path / "audit"), CliRunner()
    good = run.invoke(kioskctl, ["audit", "verify", folder, "--anchor", head().head, "--json"])
    assert (good.exit_code, json.loads(good.output)["faults"]) == (0, [])
    shown = run.invoke(kioskctl, ["audit", "show", folder])
    assert "agent-refused" in shown.output
    found = run.invoke(kioskctl, ["audit", "pseudonym", "agent-7", "--folder", folder])
    assert f"agent={found.output.strip()}" in shown.output
    (file,) = files_of(tmp_path / "audit")
    file.write_bytes(file.read_bytes().replace(b"taken", b"token"))
    bad = run.invoke(kioskctl, ["audit", "verify", folder])
    assert bad.exit_code == 2
    assert f"{file.name}:3: was changed" in bad.output
    assert run.invoke(kioskctl, ["audit", "verify", str(tmp_path / "none")]).exit_code == 4


def test_the_document_is_what_the_code_says() -> None:
    """Renew it: kioskctl audit catalogue, below the mark in docs/audit.md."""
    text = (ROOT / "docs" / "audit.md").read_text("utf-8")
    assert MARK + text.partition(MARK)[2] == catalogue()
    assert len(CATALOGUE) == catalogue().count("\n| `")
