"""What a visit wants done. Data only; `kioskd.app` carries it out.

Every effect may be repeated without harm, and those that stop something do nothing when
there is nothing to stop.
"""

from __future__ import annotations

from dataclasses import dataclass

from kioskd.hal.scanner import ScanSettings
from kioskd.visit.state import HiddenPart
from kioskd.visit.words import EndReason


@dataclass(frozen=True, slots=True)
class JoinLine:
    """Put the call into the waiting line of its service."""

    service: str
    call: str


@dataclass(frozen=True, slots=True)
class LeaveLine:
    """Take the call out of the waiting line."""

    service: str


@dataclass(frozen=True, slots=True)
class RefuseClaim:
    """Tell an agent that the call is taken (`taken_by` a name) or gone (None)."""

    call: str
    agent: str
    taken_by: str | None


@dataclass(frozen=True, slots=True)
class StartLeg:
    """Offer a leg to the agent who won."""

    call: str
    agent: str


@dataclass(frozen=True, slots=True)
class CloseLeg:
    """Say goodbye with `reason` and close the leg."""

    call: str
    agent: str
    reason: EndReason


@dataclass(frozen=True, slots=True)
class OpenSensors:
    """Open camera and microphone."""


@dataclass(frozen=True, slots=True)
class CloseSensors:
    """Close camera and microphone."""


@dataclass(frozen=True, slots=True)
class StartScan:
    """Scan; the first page gets number `first_page`."""

    settings: ScanSettings
    first_page: int


@dataclass(frozen=True, slots=True)
class StopScan:
    """Stop scanning and sending."""


@dataclass(frozen=True, slots=True)
class SendScan:
    """Send these pages, as one document, to the agent; what is hidden is black in it."""

    request: str
    pages: tuple[int, ...]
    hidden: tuple[HiddenPart, ...] = ()


@dataclass(frozen=True, slots=True)
class Vet:
    """Check the agent's document and make pictures of its pages."""

    document: str


@dataclass(frozen=True, slots=True)
class StartPrint:
    """Print the vetted document."""

    document: str


@dataclass(frozen=True, slots=True)
class StopPrint:
    """Stop vetting and printing; no more paper comes out."""


@dataclass(frozen=True, slots=True)
class TellScan:
    """Tell the agent where the scan is."""


@dataclass(frozen=True, slots=True)
class TellPrint:
    """Tell the agent where the document is."""


@dataclass(frozen=True, slots=True)
class TellMedia:
    """Tell the agent whether the resident's microphone and camera are on."""


@dataclass(frozen=True, slots=True)
class Wipe:
    """Remove all that is left of the visit, then report Wiped."""


Effect = (
    JoinLine
    | LeaveLine
    | RefuseClaim
    | StartLeg
    | CloseLeg
    | OpenSensors
    | CloseSensors
    | StartScan
    | StopScan
    | SendScan
    | Vet
    | StartPrint
    | StopPrint
    | TellScan
    | TellPrint
    | TellMedia
    | Wipe
)
