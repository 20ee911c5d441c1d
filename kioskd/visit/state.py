"""The state of a visit, immutable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from kioskd.errors import DocumentFault, PeerFault, Reason
from kioskd.hal.scanner import ScanSettings
from kioskd.visit.words import EndReason, LineQuality, PrintStage, ScanStage, Scene

HIDDEN_LIMIT: Final = 100
"""Parts of a scan that can be hidden."""


@dataclass(frozen=True, slots=True)
class HiddenPart:
    """A part of a page that nobody but the resident sees.

    Left, top, width and height are fractions of the page as the scanner gave it, from 0 to 1.
    """

    page: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Scan:
    """A paper on its way to the agent. `pages` are the page numbers kept, in order."""

    request: str
    by_agent: bool
    settings: ScanSettings
    stage: ScanStage = ScanStage.ASKING
    pages: tuple[int, ...] = ()
    last_page: int = 0
    done: float = 0.0
    reason: Reason | DocumentFault | None = None
    hidden: tuple[HiddenPart, ...] = ()


@dataclass(frozen=True, slots=True)
class Print:
    """A document of the agent on its way to the printer. `name` is the agent's.

    `held_since`, on the monotonic clock, is when the printer began to wait for somebody.
    """

    document: str
    name: str
    stage: PrintStage = PrintStage.CHECKING
    pages: int = 0
    printed: int = 0
    reasons: tuple[Reason | DocumentFault, ...] = ()
    held_since: float | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent who has the call; `organisation` is the one that vouches, empty for none."""

    id: str
    name: str
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class Media:
    """Whose microphone and camera are on."""

    audio: bool = True
    video: bool = True


@dataclass(frozen=True, slots=True)
class Visit:
    """All there is to know of the visit at the kiosk.

    `entered` and `started` are seconds of the monotonic clock: when this scene began, and
    when the call did. `waiting_since` is kept over a claim that led to nothing, so that
    the resident does not lose the place in the line. `bars`, from 0 to 4, say how good the line
    is, None while nobody knows. `refused` is why the last who wanted the call did not get it,
    where that agent could not prove who it is. `leaving`: the resident has pressed Back before
    the visit was wiped.
    """

    scene: Scene = Scene.CHOOSING
    entered: float = 0.0
    language: str = "fr"
    service: str = ""
    call: str = ""
    waiting_since: float = 0.0
    talking_since: float | None = None
    agent: Agent | None = None
    refused: PeerFault | None = None
    own_media: Media = field(default_factory=Media)
    agent_media: Media = field(default_factory=Media)
    line: LineQuality = LineQuality.GOOD
    bars: int | None = None
    scan: Scan | None = None
    print: Print | None = None
    pages_sent: int = 0
    pages_printed: int = 0
    talked_s: float = 0.0
    end_reason: EndReason | None = None
    wiped: bool = True
    leaving: bool = False


TIME_LIMITS: Final[dict[Scene, float]] = {
    Scene.CLOSED: 20.0,
    Scene.WAITING: 45 * 60.0,
    Scene.CONNECTING: 10.0,
    Scene.TALKING: 2 * 3600.0,
    Scene.ENDED: 45.0,
}
"""Seconds after which a scene is left by itself; CHOOSING has no need to."""
HELD_LIMIT_S: Final = 5 * 60.0
"""How long a printer may wait for paper or the like: time to fetch somebody from the reception."""
WIPE_RETRY_S: Final = 5.0
"""How long a wipe may take before it is asked for again."""


def deadline(visit: Visit) -> float | None:
    """Return when, on the monotonic clock, a Tick is due; None where none is."""
    if visit.scene is Scene.ENDED and not visit.wiped:
        return visit.entered + WIPE_RETRY_S
    limit = TIME_LIMITS.get(visit.scene)
    if limit is None:
        return None
    if visit.print is None or visit.print.held_since is None:
        return visit.entered + limit
    return min(visit.entered + limit, visit.print.held_since + HELD_LIMIT_S)


def may_receive(visit: Visit) -> DocumentFault | None:
    """Tell whether the agent may send a document now; the fault to refuse it with, or None."""
    if visit.scene is not Scene.TALKING:
        return DocumentFault.NOT_NOW
    if visit.print is not None and not visit.print.stage.over:
        return DocumentFault.BUSY
    return None


def sensors_allowed(visit: Visit) -> bool:
    """Tell whether camera and microphone may be open: only with an agent in a call."""
    return visit.scene in (Scene.CONNECTING, Scene.TALKING)
