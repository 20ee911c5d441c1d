"""What can happen to a visit. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from kioskd.errors import DocumentFault, PeerFault, Reason
from kioskd.hal.printer import JobStatus
from kioskd.hal.scanner import ScanSettings
from kioskd.visit.state import HiddenPart, Media
from kioskd.visit.words import EndReason, LineQuality


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Choose:
    """The resident chose a service; `call` is a fresh id, `is_open` from its hours."""

    service: str
    call: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Back:
    """The resident leaves the closed or the ended page."""


@dataclass(frozen=True, slots=True)
class Speak:
    """The resident chose a language (BCP 47)."""

    language: str


@dataclass(frozen=True, slots=True)
class End:
    """Somebody hangs up, or the call cannot go on."""

    reason: EndReason = EndReason.HANG_UP


@dataclass(frozen=True, slots=True)
class HandsetReplaced:
    """The resident put the handset back: that hangs up a call, and leaves a line alone."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An agent wants a call; `organisation` vouches for it."""

    call: str
    agent: str
    name: str
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class PeerRefused:
    """Somebody who wanted a call, or has it, has not proved who that is."""

    call: str
    fault: PeerFault


@dataclass(frozen=True, slots=True)
class LegConnected:
    """Media and data channels stand."""


@dataclass(frozen=True, slots=True)
class LegFailed:
    """The leg could not be made, or the agent left before it stood."""


@dataclass(frozen=True, slots=True)
class LineChanged:
    """The line got better or worse; `bars` from 0 to 4, None where they are not measured."""

    quality: LineQuality
    bars: int | None = None


@dataclass(frozen=True, slots=True)
class OwnMedia:
    """The resident switched microphone or camera."""

    media: Media


@dataclass(frozen=True, slots=True)
class AgentMedia:
    """The agent switched microphone or camera."""

    media: Media


@dataclass(frozen=True, slots=True)
class ScanAsked:
    """The agent asks for a paper, or the resident offers one."""

    request: str
    settings: ScanSettings
    by_agent: bool


@dataclass(frozen=True, slots=True)
class ScanStart:
    """The resident agrees to scan, or wants one more page."""


@dataclass(frozen=True, slots=True)
class ScanDecline:
    """The resident does not want to scan, or to send."""


@dataclass(frozen=True, slots=True)
class ScanWithdrawn:
    """The agent no longer wants the paper."""

    request: str


@dataclass(frozen=True, slots=True)
class ScanRemove:
    """The resident leaves a page out."""

    page: int


@dataclass(frozen=True, slots=True)
class ScanHide:
    """The resident hides a part of a page."""

    part: HiddenPart


@dataclass(frozen=True, slots=True)
class ScanShow:
    """The resident hides nothing of a page any more."""

    page: int


@dataclass(frozen=True, slots=True)
class ScanSend:
    """The resident presses Send."""


@dataclass(frozen=True, slots=True)
class ScanClose:
    """The resident has read how the scan ended."""


@dataclass(frozen=True, slots=True)
class ScanMoved:
    """The page under way is `done` (0 to 1) scanned, or sent; or the scanner warms up first."""

    done: float
    warming_up: bool = False


@dataclass(frozen=True, slots=True)
class PageScanned:
    """A page is whole."""

    page: int


@dataclass(frozen=True, slots=True)
class ScanFinished:
    """The scanner has ended; `reason` where it could not go on."""

    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class ScanDelivered:
    """The agent has the document whole, `size` bytes; or, with `fault`, will not have it."""

    fault: DocumentFault | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class DocumentArrived:
    """A document of the agent, `size` bytes, is whole and has the right checksum."""

    document: str
    name: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Vetted:
    """The document is harmless and has `pages` pages to look at."""

    document: str
    pages: int


@dataclass(frozen=True, slots=True)
class VetFailed:
    """The document cannot be printed."""

    document: str
    fault: DocumentFault


@dataclass(frozen=True, slots=True)
class PrintAccept:
    """The resident wants it printed."""


@dataclass(frozen=True, slots=True)
class PrintDecline:
    """The resident does not want it printed, or no longer."""


@dataclass(frozen=True, slots=True)
class PrintWithdrawn:
    """The agent does not want it printed any more."""

    document: str


@dataclass(frozen=True, slots=True)
class PrintClose:
    """The resident has read how the print ended."""


@dataclass(frozen=True, slots=True)
class JobMoved:
    """The printer's job is somewhere else."""

    document: str
    status: JobStatus


@dataclass(frozen=True, slots=True)
class JobFailed:
    """The printer did not take the document or was lost."""

    document: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Wiped:
    """Nothing of the visit is left."""


Event = (
    Tick
    | Choose
    | Back
    | Speak
    | End
    | HandsetReplaced
    | Claimed
    | PeerRefused
    | LegConnected
    | LegFailed
    | LineChanged
    | OwnMedia
    | AgentMedia
    | ScanAsked
    | ScanStart
    | ScanDecline
    | ScanWithdrawn
    | ScanRemove
    | ScanHide
    | ScanShow
    | ScanSend
    | ScanClose
    | ScanMoved
    | PageScanned
    | ScanFinished
    | ScanDelivered
    | DocumentArrived
    | Vetted
    | VetFailed
    | PrintAccept
    | PrintDecline
    | PrintWithdrawn
    | PrintClose
    | JobMoved
    | JobFailed
    | Wiped
)
