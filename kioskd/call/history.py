"""The calls of this life of the daemon: figures only, nothing of who spoke. Pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from kioskd.call.quality import CallSummary
from kioskd.visit.words import EndReason

KEPT: Final = 20
STEPS: Final = (2.0, 2.5, 3.0, 3.5, 4.0, 4.25, 4.5)
"""Upper edges of the histogram of scores; 4.5 is the best there is."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call that is over. `began` is Unix time in seconds."""

    began: float
    service: str
    end: EndReason
    figures: CallSummary


@dataclass(slots=True)
class Scores:
    """How many calls had a median score up to each of STEPS, and what the scores add up to."""

    upto: dict[float, int] = field(default_factory=lambda: dict.fromkeys(STEPS, 0))
    count: int = 0
    sum: float = 0.0

    def add(self, score: float | None) -> None:
        """Take a call's score; None is a call of which none is known."""
        if score is None:
            return
        self.count += 1
        self.sum += score
        for step in STEPS:
            self.upto[step] += score <= step


@dataclass(slots=True)
class CallTotals:
    """All calls since the start; seconds."""

    ended: Counter[EndReason] = field(default_factory=Counter)
    talked_s: float = 0.0
    poor_s: float = 0.0
    reconnections: int = 0
    to_agent: Scores = field(default_factory=Scores)
    to_kiosk: Scores = field(default_factory=Scores)


class CallLog:
    """The last KEPT calls, newest first, and the totals of all."""

    def __init__(self) -> None:
        self.lately: deque[CallRecord] = deque(maxlen=KEPT)
        self.totals = CallTotals()

    def add(self, record: CallRecord) -> None:
        """Take a call that is over."""
        self.lately.appendleft(record)
        one, totals = record.figures, self.totals
        totals.ended[record.end] += 1
        totals.talked_s += one.duration_s
        totals.poor_s += one.poor_s
        totals.reconnections += one.reconnections
        totals.to_agent.add(one.to_agent.mos_median)
        totals.to_kiosk.add(one.to_kiosk.mos_median)
