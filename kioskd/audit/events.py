"""The catalogue of the audit log: one frozen model for each type of event.

No field can hold content, a name, a file's name or a free text: what is not a number is a word
of a closed list, an id of the configuration, a pseudonym or a digest.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from kioskd.errors import DocumentFault, Reason
from kioskd.hal.device import DeviceKind
from kioskd.hal.trial import Trial
from kioskd.visit.words import EndReason

Count: TypeAlias = Annotated[int, Field(ge=0)]
Pseudonym: TypeAlias = Annotated[str, Field(pattern=r"^([0-9a-f]{16})?$")]
Digest: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Word: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
"""An id that the operator gave (a service, a version) or a word of ours; no space, so no text."""


class Purpose(StrEnum):
    """What a consent is for."""

    SCAN = "scan"
    SEND = "send"
    PRINT = "print"


class Asker(StrEnum):
    """Who began it."""

    AGENT = "agent"
    RESIDENT = "resident"


class PrintEnd(StrEnum):
    """How a print ended."""

    PRINTED = "printed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class LogCut(StrEnum):
    """Why a file of the log begins."""

    FIRST = "first"
    SIZE = "size"
    DAY = "day"
    DAMAGE = "damage"


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _OfVisit(_Event):
    visit: Pseudonym = ""
    service: Word


class _OfCall(_OfVisit):
    agent: Pseudonym = ""


class DaemonStarted(_Event):
    """The daemon started. `settings` and `keys` are digests, of the settings without passwords
    and of the certificates, the kiosk's credential and the trusted keys that they name.
    """

    type: Literal["daemon-started"] = "daemon-started"
    version: Word
    settings: Digest
    keys: Digest


class DaemonStopped(_Event):
    """The daemon was told to stop, and stopped."""

    type: Literal["daemon-stopped"] = "daemon-stopped"


class ConfigurationChanged(_Event):
    """Settings or certificates are others than at the start before."""

    type: Literal["configuration-changed"] = "configuration-changed"
    what: Literal["settings", "keys"]
    before: Digest
    after: Digest


class VisitBegun(_OfVisit):
    """A resident pressed the button of a service that is open."""

    type: Literal["visit-begun"] = "visit-begun"


class VisitEnded(_OfVisit):
    """The visit is over; what follows is its wipe."""

    type: Literal["visit-ended"] = "visit-ended"
    how: EndReason
    pages_sent: Count
    pages_printed: Count


class CallPlaced(_OfVisit):
    """The call entered the waiting line of its service."""

    type: Literal["call-placed"] = "call-placed"


class CallAnswered(_OfCall):
    """An agent took the call; from here on camera and microphone may open."""

    type: Literal["call-answered"] = "call-answered"


class CallConnected(_OfCall):
    """Picture, sound and the channels of documents stand."""

    type: Literal["call-connected"] = "call-connected"


class CallEnded(_OfCall):
    """The call with this agent is over."""

    type: Literal["call-ended"] = "call-ended"
    how: EndReason


class AgentRefused(_Event):
    """Somebody who wanted a call did not get it. Refusals of one kind that come fast are counted
    into one event: `count` tells how many it stands for.
    """

    type: Literal["agent-refused"] = "agent-refused"
    visit: Pseudonym = ""
    service: Word | Literal[""] = ""
    agent: Pseudonym = ""
    kind: Word
    count: Annotated[int, Field(ge=1)] = 1


class ConsentAsked(_OfCall):
    """The resident is asked on the screen. `pages` is 0 where it is not known yet."""

    type: Literal["consent-asked"] = "consent-asked"
    purpose: Purpose
    by: Asker
    pages: Count = 0


class ConsentGiven(_OfCall):
    """The resident pressed yes: scan, send these pages, print these pages."""

    type: Literal["consent-given"] = "consent-given"
    purpose: Purpose
    pages: Count = 0


class ConsentDeclined(_OfCall):
    """The resident pressed no, before or after having pressed yes."""

    type: Literal["consent-declined"] = "consent-declined"
    purpose: Purpose


class RequestWithdrawn(_OfCall):
    """The agent took a request back."""

    type: Literal["request-withdrawn"] = "request-withdrawn"
    purpose: Purpose


class DocumentSent(_OfCall):
    """The agent has the resident's pages, whole."""

    type: Literal["document-sent"] = "document-sent"
    pages: Count
    size: Count


class DocumentNotSent(_OfCall):
    """The resident's pages did not reach the agent whole; a part may have."""

    type: Literal["document-not-sent"] = "document-not-sent"
    fault: DocumentFault


class DocumentReceived(_OfCall):
    """A document of the agent is here, whole; it has not been opened yet."""

    type: Literal["document-received"] = "document-received"
    size: Count


class DocumentRefused(_OfCall):
    """A document of the agent was not taken, or found unfit to print."""

    type: Literal["document-refused"] = "document-refused"
    fault: DocumentFault


class PagesPrinted(_OfCall):
    """A print ended; `pages` is how many the printer tells of."""

    type: Literal["pages-printed"] = "pages-printed"
    how: PrintEnd
    pages: Count


class WipeDone(_Event):
    """Nothing of the visit is left: files, memory, the printer's queue. `visit` is empty for the
    wipe at the daemon's start.
    """

    type: Literal["wipe-done"] = "wipe-done"
    visit: Pseudonym = ""


class WipeFailed(_Event):
    """The printer did not confirm that its queue is empty; the documents are wiped."""

    type: Literal["wipe-failed"] = "wipe-failed"
    visit: Pseudonym = ""
    reason: Reason


class PurgeDone(_Event):
    """After the daemon's end: no document is left, and none waits to be printed."""

    type: Literal["purge-done"] = "purge-done"


class PurgeFailed(_Event):
    """After the daemon's end: no document is left, but the printer did not confirm that its queue
    is empty.
    """

    type: Literal["purge-failed"] = "purge-failed"
    reason: Reason


class SensorOpened(_Event):
    """Camera or microphone was opened; `visit` is empty in a technician's test."""

    type: Literal["sensor-opened"] = "sensor-opened"
    visit: Pseudonym = ""
    device: DeviceKind


class SensorClosed(_Event):
    """Camera or microphone was closed."""

    type: Literal["sensor-closed"] = "sensor-closed"
    visit: Pseudonym = ""
    device: DeviceKind


class TestBegun(_Event):
    """A technician's test began; the screen tells that it runs."""

    __test__ = False  # not a class of tests, whatever its name says to pytest

    type: Literal["test-begun"] = "test-begun"
    device: Trial


class TestEnded(_Event):
    """A technician's test is over; one that a resident ended has not passed."""

    __test__ = False

    type: Literal["test-ended"] = "test-ended"
    device: Trial
    passed: bool


class MaintenanceBegun(_Event):
    """A technician has taken the kiosk out of service, or the daemon started in it: no calls."""

    type: Literal["maintenance-begun"] = "maintenance-begun"


class MaintenanceEnded(_Event):
    """The kiosk is back in service."""

    type: Literal["maintenance-ended"] = "maintenance-ended"


class LogBegun(_Event):
    """The first line of every file; its `prev` is the last hash of the file before."""

    type: Literal["log-begun"] = "log-begun"
    why: LogCut


class LogRecovered(_Event):
    """The line before this one is torn: the machine stopped, or the disk filled, while it was
    written. It stays as it is; its length and SHA-256 stand here.
    """

    type: Literal["log-recovered"] = "log-recovered"
    torn_bytes: Count
    torn_sha256: Digest


class LogDamaged(_Event):
    """What the log held when the daemon opened it does not verify; `line` is the first such."""

    type: Literal["log-damaged"] = "log-damaged"
    file: Word
    line: Count


class LogExpired(_Event):
    """Files older than the retention were removed, the last of which ended with this hash."""

    type: Literal["log-expired"] = "log-expired"
    files: Count
    last_hash: Digest


class EventsLost(_Event):
    """So many events could not be written, and were more than the memory set aside for them."""

    type: Literal["events-lost"] = "events-lost"
    count: Annotated[int, Field(ge=1)]


AuditEvent = (
    DaemonStarted
    | DaemonStopped
    | ConfigurationChanged
    | VisitBegun
    | VisitEnded
    | CallPlaced
    | CallAnswered
    | CallConnected
    | CallEnded
    | AgentRefused
    | ConsentAsked
    | ConsentGiven
    | ConsentDeclined
    | RequestWithdrawn
    | DocumentSent
    | DocumentNotSent
    | DocumentReceived
    | DocumentRefused
    | PagesPrinted
    | WipeDone
    | WipeFailed
    | PurgeDone
    | PurgeFailed
    | SensorOpened
    | SensorClosed
    | TestBegun
    | TestEnded
    | MaintenanceBegun
    | MaintenanceEnded
    | LogBegun
    | LogRecovered
    | LogDamaged
    | LogExpired
    | EventsLost
)
CATALOGUE: Final[tuple[type[AuditEvent], ...]] = get_args(AuditEvent)
ANY_EVENT: Final[TypeAdapter[AuditEvent]] = TypeAdapter(
    Annotated[AuditEvent, Field(discriminator="type")]
)
