"""The daemon's hand on the audit log: names in pseudonyms, and no flood by a stranger."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from kioskd import __version__
from kioskd.app.audited import Name, Step, of_call, told
from kioskd.audit import events as audit
from kioskd.audit.chain import canonical
from kioskd.audit.events import AuditEvent
from kioskd.audit.log import AuditLog, Bounds
from kioskd.audit.pseudonyms import KEY_BYTES, Pseudonyms, load_or_make
from kioskd.audit.writer import AuditWriter
from kioskd.control.api import AuditStatus
from kioskd.errors import DocumentFault, Reason
from kioskd.hal.device import DeviceKind
from kioskd.logging import of_visit
from kioskd.settings import Settings
from kioskd.visit.state import Visit, sensors_allowed

log = structlog.get_logger(__name__)

REFUSALS_EVERY_S: Final = 10.0
"""One event tells of all refusals of a kind in this time."""
ASKED_AT_MOST: Final = 500
"""Events that an agent can cause by asking, in one visit; what is more is counted."""
CONSENT_S: Final = 1.0
"""How long Send and Print wait for their consent to be on the disk; a disk that takes longer
is told of by the doctor and does not hold up the resident."""
_ASKED: Final = (
    audit.ConsentAsked,
    audit.RequestWithdrawn,
    audit.DocumentReceived,
    audit.DocumentRefused,
)


def folder_of(settings: Settings) -> Path:
    """Return where the log is."""
    return settings.state.folder / "audit"


def log_of(settings: Settings) -> AuditLog:
    """Return the log, not open."""
    bounds = Bounds(settings.audit.file_mb << 20, settings.audit.retention_days)
    return AuditLog(folder_of(settings), bounds)


class Auditing:
    """Tells the audit log what happens. Made at once; `start` and `stop` frame its life."""

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder_of(settings)
        self._settings = settings
        self._now = now
        self._writer = AuditWriter(log_of(settings))
        self._name: Name = Pseudonyms(secrets.token_bytes(KEY_BYTES)).of
        self._visit = Visit()
        self._refused_at: dict[str, float] = {}
        self._refused: Counter[str] = Counter()
        self._asked = 0

    def start(self) -> None:
        """Begin, by telling that the daemon started, and whether its settings are others."""
        self._name = load_or_make(self._folder).of
        last = self._writer.last_start()
        started = audit.DaemonStarted(
            version=__version__,
            settings=_digest(self._settings),
            keys=_digest_of_files(_key_files(self._settings)),
        )
        self._writer.start()
        self._writer.put(started)
        if last is not None and last.settings != started.settings:
            self._changed("settings", last.settings, started.settings)
        if last is not None and last.keys != started.keys:
            self._changed("keys", last.keys, started.keys)

    def _changed(self, what: str, before: str, after: str) -> None:
        fields = {"what": what, "before": before, "after": after}
        self._writer.put(audit.ConfigurationChanged.model_validate(fields))

    def stop(self) -> None:
        """Tell that the daemon stops, and write what waits. Blocks for 2 s at the most."""
        self._count_refusals()
        self._writer.put(audit.DaemonStopped())
        self._writer.stop()

    def status(self) -> AuditStatus:
        """Return where the log stands: its head is what an operator anchors elsewhere."""
        head = self._writer.head
        return AuditStatus(
            seq=head.seq, head=head.hash, failing=self._writer.failing, lost=self._writer.lost
        )

    def step(self, step: Step) -> None:
        """Tell what a step of the visit means."""
        self._visit = step.after
        if step.after.call != step.before.call:
            self._asked = 0
            of_visit(self._name(step.after.call))
        try:
            self._put(told(step, self._name))
        except ValidationError as error:  # a fault of ours, which must not cost the visit
            log.warning("audit.not_told", what=error.title, faults=error.error_count())
            self._writer.put(audit.EventsLost(count=1))

    def refused(self, kind: str, *, service: str = "", agent: str = "") -> None:
        """Tell that somebody did not get a call; `kind` is a word without a space."""
        visit = self._name(self._visit.call)
        refusal = audit.AgentRefused(
            visit=visit, service=service, agent=self._name(agent), kind=kind
        )
        self._put([refusal])

    def document_refused(self, fault: DocumentFault) -> None:
        """Tell that a document of the agent was not taken."""
        if self._visit.service:
            who = of_call(self._visit, self._name)
            self._put([audit.DocumentRefused(**who, fault=fault)])

    def wiped(self, failure: Reason | None) -> None:
        """Tell how a wipe went."""
        visit = self._name(self._visit.call)
        if failure is None:
            self._put([audit.WipeDone(visit=visit)])
        else:
            self._put([audit.WipeFailed(visit=visit, reason=failure)])

    def sensor(self, kind: DeviceKind, *, open_: bool) -> None:
        """Tell that camera or microphone was opened or closed."""
        event = audit.SensorOpened if open_ else audit.SensorClosed
        visit = self._name(self._visit.call) if sensors_allowed(self._visit) else ""
        self._put([event(visit=visit, device=kind)])

    def note(self, event: AuditEvent) -> None:
        """Tell of something that is no step of a visit."""
        self._put([event])

    async def consent_written(self) -> None:
        """Wait for what was told so far to be on the disk, for CONSENT_S at the most."""
        if not await self._writer.written(CONSENT_S):
            log.warning("audit.consent_not_written", failing=self._writer.failing)

    def _put(self, events: Iterable[AuditEvent]) -> None:
        for event in events:
            if isinstance(event, audit.AgentRefused):
                self._put_refusal(event)
            elif isinstance(event, _ASKED):
                self._asked += 1
                if self._asked <= ASKED_AT_MOST:
                    self._writer.put(event)
            elif isinstance(event, audit.VisitEnded):
                self._count_refusals()
                if self._asked > ASKED_AT_MOST:
                    self._writer.put(audit.EventsLost(count=self._asked - ASKED_AT_MOST))
                self._asked = 0
                self._writer.put(event)
            else:
                self._writer.put(event)

    def _put_refusal(self, event: audit.AgentRefused) -> None:
        now = self._now()
        if now - self._refused_at.get(event.kind, float("-inf")) < REFUSALS_EVERY_S:
            self._refused[event.kind] += 1
            return
        self._refused_at[event.kind] = now
        count = 1 + self._refused.pop(event.kind, 0)
        self._writer.put(event.model_copy(update={"count": count}))

    def _count_refusals(self) -> None:
        for kind, count in self._refused.items():
            self._writer.put(audit.AgentRefused(kind=kind, count=count))
        self._refused.clear()


def _key_files(settings: Settings) -> list[Path | None]:
    """Return where it stands who is trusted and what certifies the kiosk; no private key."""
    broker, identity = settings.broker, settings.identity
    trusted = [file for one in identity.organisations for file in (one.keys, one.revoked)]
    return [broker.ca, broker.certificate, identity.credential, *trusted]


def _digest(settings: Settings) -> str:
    """Return a digest of the settings; passwords are not in it, not even hashed."""
    return hashlib.sha256(canonical({"settings": settings.model_dump_json()})).hexdigest()


def _digest_of_files(files: Iterable[Path | None]) -> str:
    digest = hashlib.sha256()
    for file in files:
        if file is None:
            continue
        try:
            content = file.read_bytes()
        except OSError:
            content = b""
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()
