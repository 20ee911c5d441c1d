"""What the kiosk and the agent say on the data channel `control`: JSON text messages.

Both sides send `heartbeat` every second. Unknown types are ignored and counted.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from kioskd.errors import DocumentFault, Reason
from kioskd.hal.device import DeviceKind, DeviceState
from kioskd.hal.scanner import ScanMode, ScanSource
from kioskd.runtime.others import FORGETFUL
from kioskd.visit.words import EndReason, PrintStage, ScanStage

Id = Annotated[str, Field(min_length=1, max_length=64)]


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


FromAgent = Heartbeat | Media | ScanRequest | ScanCancel | PrintCancel | HangUp
ToAgent = Heartbeat | Hello | Devices | Media | ScanStatus | PrintStatus | HangUp

_FROM_AGENT: TypeAdapter[FromAgent] = TypeAdapter(
    Annotated[FromAgent, Field(discriminator="type")], config=FORGETFUL
)


def parse_from_agent(text: str) -> FromAgent:
    """Read what an agent says. Raises ValueError (pydantic's) when it is none of ours."""
    return _FROM_AGENT.validate_json(text)
