"""What a call of kioskd must reach on each line: by itself, and beside Chromium in the same run."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bench.lines.lines import Line
from bench.lines.result import Call, Figures

Figure = Callable[[Figures], float | None]

PACKET_AND_CARD_MS: Final = 40.0
"""Mouth to ear beyond the line that is no buffer's fault: a packet and a card, 20 ms each."""
SENSE: Final = {"≤": operator.le, "≥": operator.ge}


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of kioskd and its limit; a figure that could not be had is not met."""

    line: str
    direction: str
    name: str
    value: float | None
    sense: str
    limit: float

    @property
    def met(self) -> bool:
        """Tell whether it is reached."""
        return self.value is not None and SENSE[self.sense](round(self.value, 2), self.limit)

    def __str__(self) -> str:
        value = "none" if self.value is None else f"{self.value:.2f}"
        return f"{self.line} {self.direction}: {self.name} {value} ({self.sense} {self.limit:.2f})"


_LOST: Final[Figure] = lambda one: one.lost_percent  # noqa: E731  # a table of figures
_LATE: Final[Figure] = lambda one: one.mouth_to_ear_p95_ms  # noqa: E731
_LIP: Final[Figure] = lambda one: one.lip_p95_ms  # noqa: E731
_FPS: Final[Figure] = lambda one: one.fps  # noqa: E731
_LONG: Final[Figure] = lambda one: one.long_freezes  # noqa: E731
_WIDTH: Final[Figure] = lambda one: one.size[0] if one.size else None  # noqa: E731

OWN: Final[Mapping[str, tuple[tuple[str, Figure, str, float], ...]]] = {
    "adsl512": (
        ("sound lost, %", _LOST, "≤", 0.2),
        ("mouth to ear p95, ms", _LATE, "≤", 250),
        ("freezes of more than 1 s", _LONG, "≤", 0),
    ),
    "adsl256": (
        ("sound lost, %", _LOST, "≤", 0.2),
        ("pictures a second", _FPS, "≥", 20),
        ("width", _WIDTH, "≥", 320),
    ),
}
"""The issue's figures. Those of all lines, of buffers and of changes are in `goals`."""

BESIDE: Final[tuple[tuple[str, Figure, str, Callable[[float], float]], ...]] = (
    ("mouth to ear p95, ms", _LATE, "≤", lambda theirs: theirs + 20),
    ("sound lost, %", _LOST, "≤", lambda theirs: theirs + 0.1),
    ("MOS", lambda one: one.mos, "≥", lambda theirs: theirs - 0.1),
    ("pictures a second", _FPS, "≥", lambda theirs: theirs * 0.9),
    ("frozen, s", lambda one: one.frozen_s, "≤", lambda theirs: theirs + 0.5),
)
"""At least as good as Chromium, within what two runs of one thing differ by."""


def goals(line: Line, kioskd: Call, chromium: Call) -> list[Goal]:
    """Return the goals of a line, with the figures that were measured."""
    found = []
    for direction in ("up", "down"):
        ours: Figures | None = getattr(kioskd, direction)
        theirs: Figures | None = getattr(chromium, direction)
        for name, figure, sense, limit in (*OWN.get(line.name, ()), *_everywhere(line)):
            value = None if ours is None else figure(ours)
            found.append(Goal(line.name, direction, name, value, sense, limit))
        found += _after_changes(line, direction, ours)
        if line.scan and direction == "up":
            found += _while_scanning(line, ours)
        found += _beside(line, direction, ours, theirs)
    return found


def _everywhere(line: Line) -> Iterator[tuple[str, Figure, str, float]]:
    yield "sound and picture apart p95, ms", _LIP, "≤", 100
    if not line.changes:
        beyond = line.round_trip_ms / 2 + PACKET_AND_CARD_MS
        yield "sound's buffers p95, ms", lambda one: _less(_LATE(one), beyond), "≤", 120


def _less(value: float | None, by: float) -> float | None:
    return None if value is None else value - by


def _after_changes(line: Line, direction: str, ours: Figures | None) -> Iterator[Goal]:
    recovered = {} if ours is None else {one.change: one for one in ours.recovered}
    for change in line.changes:
        one = recovered.get(change.name)
        for name, value, limit in (
            ("sound as usual, s", one.sound_s if one else None, 5.0),
            ("picture moves, s", one.picture_s if one else None, 5.0),
            ("queue 2 s later, ms", one.queue_ms if one else None, 300.0),
        ):
            yield Goal(line.name, direction, f"{change.name}: {name}", value, "≤", limit)


def _while_scanning(line: Line, ours: Figures | None) -> Iterator[Goal]:
    one = None if ours is None else ours.scanned
    more = None
    if one is not None and one.lost_before is not None and one.lost_during is not None:
        more = one.lost_during - one.lost_before
    used = None if one is None else one.used
    yield Goal(line.name, "up", "more sound lost while a scan is sent, %", more, "≤", 0.0)
    yield Goal(line.name, "up", "the scan's share of what media leave, %", used, "≥", 90.0)


def _beside(
    line: Line, direction: str, ours: Figures | None, theirs: Figures | None
) -> Iterator[Goal]:
    for name, figure, sense, limit in BESIDE:
        peer = None if theirs is None else figure(theirs)
        if peer is not None:  # what Chromium does not show cannot be compared
            value = None if ours is None else figure(ours)
            yield Goal(line.name, direction, f"beside Chromium: {name}", value, sense, limit(peer))
