"""What each end of a call writes down: what it said and showed, what it heard and saw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.lines.card import Flags
from bench.lines.speech import Samples


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture that reached the eye: when, and what its strip says.

    `at` is in seconds of the wall clock, `painted_ms` in milliseconds modulo 2**32.
    """

    at: float
    number: int
    painted_ms: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Concealment:
    """How much of the sound played was made up or missing, as the end itself counts it.

    Samples since the beginning of the call, at `at` seconds of the wall clock.
    """

    at: float
    total: int
    concealed: int


@dataclass(frozen=True, slots=True)
class Recording:
    """One end of a call. Sample n of the speech it said was spoken at `said_from` + n / RATE,
    sample n of `heard` was heard at `heard_from` + n / RATE; `painted` gives the time of each
    picture it sent, in milliseconds modulo 2**32.
    """

    said_from: float
    heard_from: float
    heard: Samples
    real: Flags | None
    """False where a card had nothing to play; None where the end counts for itself."""
    shown: list[Shown]
    painted: dict[int, int]
    concealment: list[Concealment]
    """In order of time; empty where the end cannot tell."""
    documents: list[tuple[float, int]] = field(default_factory=list)
    """When documents came, and how many bytes."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What else the end has to say: its statistics, how even its clocks ran."""
