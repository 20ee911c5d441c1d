"""What a panel's line may carry, and what a person can do with buttons. Without a clock.

`now` is in seconds of any clock that never goes back.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from kioskd.hal.panel import PanelEvent

CALM_S: Final = 2.0
"""How long what was too much is told, and kept out, after its end."""
EVENTS_PER_S: Final = 20
"""Nobody presses faster; more is a panel gone wrong."""
PAUSE_S: Final = 1.0
IN_A_ROW: Final = 25
"""Nobody presses one button more often than that without a pause of PAUSE_S: it is stuck."""
REMEMBERED: Final = 16
"""Sequence numbers that are known again; the reference firmware has one event on its way."""


class Flood:
    """Tells whether more than `limit` a second come."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._since = float("-inf")
        self._count = 0
        self._until = float("-inf")

    def add(self, count: int, now: float) -> bool:
        """Count; returns whether it is too much in this second."""
        if now - self._since >= 1.0:
            self._since, self._count = now, 0
        self._count += count
        too_much = self._count > self._limit
        if too_much:
            self._until = now + CALM_S
        return too_much

    def over(self, now: float) -> bool:
        """Tell whether it is too much, or was a moment ago."""
        return now < self._until


class Presses:
    """Takes the events that a person has made, once each."""

    def __init__(self) -> None:
        self.dropped = 0
        """How many were too many."""
        self._known: deque[int] = deque(maxlen=REMEMBERED)
        self._flood = Flood(EVENTS_PER_S)
        self._rows: dict[PanelEvent, tuple[float, int]] = {}
        self._stuck: dict[PanelEvent, float] = {}

    def count_anew(self) -> None:
        """Forget the sequence numbers: the panel has restarted."""
        self._known.clear()

    def take(self, sequence: int, event: PanelEvent, now: float) -> bool:
        """Tell whether an event is to be handed on.

        One whose sequence number is known is a repetition: numbers may come out of order,
        and begin again at any number.
        """
        if sequence in self._known:
            return False
        self._known.append(sequence)
        at, row = self._rows.get(event, (now, 0))
        row = row + 1 if now - at < PAUSE_S else 1
        self._rows[event] = now, row
        self._flood.add(1, now)
        if row > IN_A_ROW:
            self._stuck[event] = now + CALM_S
        if row > IN_A_ROW or self._flood.over(now):
            self.dropped += 1
            return False
        return True

    def trouble(self, now: float) -> str | None:
        """Return what is wrong, in English, or None."""
        if self._flood.over(now):
            return f"too many events: {self.dropped} dropped"
        stuck = [event.value for event, until in self._stuck.items() if now < until]
        if stuck:
            return f"stuck: {', '.join(stuck)}; {self.dropped} dropped"
        return None
