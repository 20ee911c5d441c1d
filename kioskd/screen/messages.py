"""What the daemon and the screen's page say to each other over the page's WebSocket.

Daemon to page: a `View` as JSON text, whole, at each change; a `Key` as JSON text for each
button pressed at the panel, after the view that was there; and binary frames. Page to
daemon: an action as JSON text. A binary frame is 1 byte kind, 1 byte flags, 8 bytes
big-endian timestamp in microseconds, then the data:

    kind 1   the agent's picture: one VP8 frame as it came, flag 1 = key frame
    kind 2   the resident's own picture: one JPEG
    kind 3   how loud the voices are, at most 10 a second in a call: 1 byte the resident's,
             1 byte the agent's; 0 is -60 dBFS and below, 255 full scale

The pictures of pages are fetched from `pages/{document}/{number}.jpg`, beside the page.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from kioskd.call.control import DeviceReport
from kioskd.errors import DocumentFault, PeerFault, Reason
from kioskd.hal.trial import Trial
from kioskd.runtime.others import FORGETFUL
from kioskd.visit.words import EndReason, LineQuality, PrintStage, ScanStage, Scene

REMOTE_PICTURE: Final = 1
OWN_PICTURE: Final = 2
LEVELS: Final = 3
KEY_FRAME: Final = 1
_HEADER: Final = struct.Struct(">BBQ")


def picture(kind: int, flags: int, timestamp_us: int, data: bytes) -> bytes:
    """Pack a binary frame."""
    return _HEADER.pack(kind, flags, timestamp_us & (2**64 - 1)) + data


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServiceView(_Model):
    """A service's button. `opens` is when it opens next, "HH:MM" today or with a weekday
    (0 = Monday) before it, as in "2 09:00"; null when open or not known.
    """

    id: str
    name: str
    description: dict[str, str]
    colour: str
    icon: str
    open: bool
    opens: str | None


class PagePicture(_Model):
    """A page to look at; `hidden` is how many parts of it the resident has hidden."""

    number: int
    url: str
    hidden: int = 0


class ScanView(_Model):
    """The scan under way; `requested_by_agent` is False when the resident began it.

    `button`: the scanner's own button, too, scans the next page now.
    """

    stage: ScanStage
    requested_by_agent: bool
    pages: list[PagePicture]
    done: float
    reason: Reason | DocumentFault | None
    button: bool = False


class PrintView(_Model):
    """The agent's document. `pages` may be looked at from stage `asking` on."""

    stage: PrintStage
    name: str
    pages: list[PagePicture]
    printed: int
    reasons: list[Reason | DocumentFault]


class EndView(_Model):
    """What happened in the visit that is over."""

    reason: EndReason
    seconds: int
    pages_sent: int
    pages_printed: int


class View(_Model):
    """All that the page shows. `waited_s` and `call_s` are at the time of sending; `testing` is
    what a technician tries, from afar perhaps.

    `organisation` vouches for the agent; null where nobody is verified. `refused`: why an
    agent who wanted this call did not get it. `bars`: how good the line is in a call, null
    while nobody knows. `maintenance`: nothing can be chosen.
    """

    type: Literal["view"] = "view"
    scene: Scene
    kiosk: str
    language: str
    online: bool
    services: list[ServiceView]
    service: str | None = None
    place: int | None = None
    waited_s: float = 0
    agent: str | None = None
    organisation: str | None = None
    refused: PeerFault | None = None
    agent_media: dict[Literal["audio", "video"], bool] = {"audio": True, "video": True}
    call_s: float = 0
    line: LineQuality = LineQuality.GOOD
    bars: Annotated[int, Field(ge=0, le=4)] | None = None
    microphone_on: bool = False
    camera_on: bool = False
    volume: float = 0.7
    testing: Trial | None = None
    maintenance: bool = False
    devices: list[DeviceReport] = []
    scan: ScanView | None = None
    print: PrintView | None = None
    end: EndView | None = None


class Key(_Model):
    """A button of the panel: move the focus, or press what has it. The page knows what that is."""

    type: Literal["key"] = "key"
    key: Literal["next", "previous", "press"]


class Choose(_Model):
    """The resident wants a service. On the closed page: go back to the choice with `back`."""

    action: Literal["choose"]
    service: Annotated[str, Field(max_length=64)]


class Plain(_Model):
    """An action without a parameter. `scan-offer`: the resident wants to show a paper;
    `scan-start`: yes to the scan, or again after a failure; `scan-more`: another page;
    `back`: from the closed or the ended page to the choice; `keyframe`: the page's decoder
    needs a key frame of the agent's picture; `drawn`: each second, what the page drew is on the
    screen (`kioskd/screen/orders.py`).
    """

    action: Literal[
        "hang-up",
        "back",
        "scan-offer",
        "scan-start",
        "scan-more",
        "scan-decline",
        "scan-send",
        "print-accept",
        "print-decline",
        "print-close",
        "scan-close",
        "keyframe",
        "drawn",
    ]


class SetLanguage(_Model):
    """The resident wants the page in another language (BCP 47)."""

    action: Literal["language"]
    language: Annotated[str, Field(max_length=35)]


class RemovePage(_Model):
    """The resident leaves a page of the scan out."""

    action: Literal["scan-remove"]
    page: int


Fraction = Annotated[float, Field(ge=0, le=1)]


class Area(_Model):
    """A part of a page: fractions of its width and height, from its upper left corner."""

    x: Fraction
    y: Fraction
    width: Fraction
    height: Fraction


class HidePart(_Model):
    """The resident hides a part of a page of the scan."""

    action: Literal["scan-hide"]
    page: int
    area: Area


class ShowPage(_Model):
    """The resident hides nothing of a page of the scan any more."""

    action: Literal["scan-show"]
    page: int


class SetMedia(_Model):
    """The resident switches the own microphone or camera on or off."""

    action: Literal["media"]
    audio: bool
    video: bool


class SetVolume(_Model):
    """The resident wants it louder or quieter; 0 to 1."""

    action: Literal["volume"]
    volume: Annotated[float, Field(ge=0, le=1)]


Action = Choose | Plain | SetLanguage | RemovePage | HidePart | ShowPage | SetMedia | SetVolume
_ACTION: TypeAdapter[Action] = TypeAdapter(
    Annotated[Action, Field(discriminator="action")], config=FORGETFUL
)


def parse_action(text: str) -> Action:
    """Read an action. Raises ValueError (pydantic's) when it is none of ours."""
    return _ACTION.validate_json(text)
