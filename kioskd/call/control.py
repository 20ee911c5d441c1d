"""What the kiosk and the agent say on the data channel `control`: JSON text messages.

Both sides send `heartbeat` every second. Unknown types are ignored and counted.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from kioskd.call.quality import MOST_BARS, Way
from kioskd.errors import DocumentFault, Reason
from kioskd.hal.device import DeviceKind, DeviceState
from kioskd.hal.scanner import ScanMode, ScanSource
from kioskd.runtime.others import FORGETFUL
from kioskd.visit.words import EndReason, PrintStage, ScanStage

Id = Annotated[str, Field(min_length=1, max_length=64)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)]


class _Control(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Heartbeat(_Control):
    """Both ways, each second. `at` is the sender's own clock in ms, sent back as `echo`."""

    type: Literal["heartbeat"] = "heartbeat"
    at: float
    echo: float | None = None


class Hello(_Control):
    """Kiosk to agent, first: who and where it is."""

    type: Literal["hello"] = "hello"
    kiosk: str
    name: str
    town: str
    service: str
    language: str


class DeviceReport(_Control):
    """One device's state, as in DeviceHealth."""

    kind: DeviceKind
    state: DeviceState
    reason: Reason | None = None


class Devices(_Control):
    """Kiosk to agent, at the start and at each change: what can be used."""

    type: Literal["devices"] = "devices"
    devices: list[DeviceReport]


class Media(_Control):
    """Both ways: whether one's own microphone and camera are on."""

    type: Literal["media"] = "media"
    audio: bool
    video: bool


class Hearing(_Control):
    """Agent to kiosk, each 2 s: what its browser heard and saw since the one before.

    `seconds` is how long that is, `concealed` the share of the sound that was made up,
    in runs of `gap_ms` on average;
    `buffer_ms` is how long sound waited, `frozen` the share of the time in which the picture stood
    still; `fps` and `height` are the picture's. Null where the browser has no figure.
    """

    type: Literal["hearing"] = "hearing"
    seconds: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)]
    concealed: Share
    gap_ms: Milliseconds | None = None
    buffer_ms: Milliseconds | None = None
    fps: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] | None = None
    frozen: Share | None = None
    height: Annotated[int, Field(ge=0, le=100_000)] | None = None


class Quality(_Control):
    """Kiosk to agent, at each change: how good the call is, by kioskd.call.quality.

    `bars` and `mos` are of the worse direction, null while nothing is known; in a `poor` call
    `direction` names it, null for both alike.
    """

    type: Literal["quality"] = "quality"
    bars: Annotated[int, Field(ge=0, le=MOST_BARS)] | None
    mos: float | None
    poor: bool
    direction: Way | None


class QueueGone(_Control):
    """Kiosk to agent, in a pause of the resident: a long queue on the way to the agent is gone.

    What the agent's browser plays later for it may be given up.
    """

    type: Literal["queue-gone"] = "queue-gone"


class ScanRequest(_Control):
    """Agent to kiosk: please scan. Only the resident's consent starts it."""

    type: Literal["scan-request"] = "scan-request"
    request: Id
    source: ScanSource = ScanSource.AUTO
    mode: ScanMode = ScanMode.COLOUR
    dpi: Literal[75, 100, 150, 200, 300] = 300


class ScanCancel(_Control):
    """Agent to kiosk: the paper is no longer wanted."""

    type: Literal["scan-cancel"] = "scan-cancel"
    request: Id


class ScanStatus(_Control):
    """Kiosk to agent: how far the scan is. `pages` counts whole pages; `done` is 0 to 1 of the
    page under way. The document itself comes over `documents-to-agent`.
    """

    type: Literal["scan-status"] = "scan-status"
    request: Id
    stage: ScanStage
    pages: int = 0
    done: float = 0.0
    reason: Reason | DocumentFault | None = None


class PrintStatus(_Control):
    """Kiosk to agent: where the document sent with id `document` is. `held` waits for paper or
    the like, `reasons` says for what.
    """

    type: Literal["print-status"] = "print-status"
    document: Id
    stage: PrintStage
    pages: int = 0
    printed: int = 0
    reasons: list[Reason | DocumentFault] = []


class PrintCancel(_Control):
    """Agent to kiosk: do not print that document."""

    type: Literal["print-cancel"] = "print-cancel"
    document: Id


class HangUp(_Control):
    """Both ways: the call is over."""

    type: Literal["hang-up"] = "hang-up"
    reason: EndReason = EndReason.HANG_UP


FromAgent = Heartbeat | Media | Hearing | ScanRequest | ScanCancel | PrintCancel | HangUp
ToAgent = (
    Heartbeat | Hello | Devices | Media | Quality | QueueGone | ScanStatus | PrintStatus | HangUp
)

_FROM_AGENT: TypeAdapter[FromAgent] = TypeAdapter(
    Annotated[FromAgent, Field(discriminator="type")], config=FORGETFUL
)


def parse_from_agent(text: str) -> FromAgent:
    """Read what an agent says. Raises ValueError (pydantic's) when it is none of ours."""
    return _FROM_AGENT.validate_json(text)
