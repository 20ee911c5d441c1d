"""A trial: one real use of a part of the kiosk, with marks and with something to look at.

What the daemon sends while `kioskctl test` waits, one JSON object a line: `Progress` any number
of times, then an `Outcome` or an `Ended`. It names what was measured and says nothing in words:
those stand in `kioskd/diagnostics/words/`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from kioskd.hal.trial import Trial


class Result(StrEnum):
    """How a trial, or a part of one, came out. What nobody has tried has not passed."""

    PASSED = "passed"
    DEGRADED = "degraded"
    FAILED = "failed"
    NOT_TRIED = "not-tried"


class Look(StrEnum):
    """What is looked at in a trial. Each has its words, with the same values in every language."""

    PICTURE = "picture"
    RATE = "rate"
    LIGHT = "light"
    SHARPNESS = "sharpness"
    LIFE = "life"
    SOUND = "sound"
    NOISE = "noise"
    CLIPPING = "clipping"
    PLAYED = "played"
    HEARD = "heard"
    LOUDNESS = "loudness"
    DELAY = "delay"
    PAGE = "page"
    CONTRAST = "contrast"
    CODE = "code"
    LIKENESS = "likeness"
    TAKEN = "taken"
    PRINTED = "printed"
    CALL_LAMP = "call-lamp"
    CAMERA_LAMP = "camera-lamp"
    LAMP_SEEN = "lamp-seen"
    BUTTONS = "buttons"
    BROKER = "broker"
    SERVERS = "servers"
    STUN = "stun"
    RELAY = "relay"
    SET_UP = "set-up"
    PICTURE_OUT = "picture-out"
    PICTURE_BACK = "picture-back"
    SOUND_OUT = "sound-out"
    SOUND_BACK = "sound-back"
    LOSS = "loss"
    DEVICE = "device"


class Untried(StrEnum):
    """Why a part, or all of a trial, was not tried."""

    NOT_CONFIGURED = "not-configured"
    NO_MICROPHONE = "no-microphone"
    NO_CAMERA = "no-camera"
    NOT_IN_VIEW = "not-in-view"
    NOBODY_PRESSED = "nobody-pressed"
    NO_PROOF_PAGE = "no-proof-page"
    NO_SERVERS = "no-servers"


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Value: TypeAlias = str | int | float


class Part(_Sent):
    """One thing that was looked at: `points` of `of`; with `untried` there are none."""

    look: Look
    result: Result
    points: int
    of: int
    values: dict[str, Value] = {}
    untried: Untried | None = None


class Exhibit(_Sent):
    """A file to look at or to hear, in base 64: it goes over the socket and stays nowhere else."""

    name: str
    data: str


class Curve(_Sent):
    """Values for a graph, over `seconds` from `start_s`."""

    name: Literal["levels", "correlation"]
    values: list[float]
    start_s: float
    seconds: float


class Where(_Sent):
    """Which kiosk it is: its id, its name and its town."""

    kiosk: str
    name: str
    town: str


class Outcome(_Sent):
    """What came of a trial. `finding` is the id of what is wrong, `detail` what was seen of it.

    `score` is 0 to 100, the share of the points of what was tried: below 50 where it has failed;
    None where nothing was tried. NOT_TRIED with a score: what was tried is well, and proves
    nothing without the rest. `code` is what the printed page bears.
    """

    type: Literal["outcome"] = "outcome"
    trial: Trial
    where: Where | None = None
    result: Result
    score: int | None
    finding: str | None = None
    detail: str = ""
    device: str = ""
    parts: list[Part]
    took_s: float
    code: str | None = None
    curves: list[Curve] = []
    exhibits: list[Exhibit] = []


class Progress(_Sent):
    """How far a trial is: `done` from 0.0 to 1.0."""

    type: Literal["progress"] = "progress"
    done: float
    look: Look | None = None


class Why(StrEnum):
    """Why there is no outcome."""

    RESIDENT_THERE = "resident-there"
    RESIDENT_CAME = "resident-came"
    TEST_RUNS = "test-runs"


class Ended(_Sent):
    """The trial was refused or dropped, for the kiosk is a resident's or another technician's."""

    type: Literal["ended"] = "ended"
    why: Why


class Options(_Sent):
    """How to try. `expect` is the code that must be on the scanner, "" for none in particular;
    `buttons_s` how long somebody at the panel has to press its buttons, 0 for nobody is there.
    """

    expect: Annotated[str, Field(pattern=r"^[A-Z0-9]{0,12}$")] = ""
    buttons_s: Annotated[float, Field(ge=0, le=60)] = 0


Told: TypeAlias = Annotated[Progress | Outcome | Ended, Field(discriminator="type")]
TOLD: Final[TypeAdapter[Progress | Outcome | Ended]] = TypeAdapter(Told)
