"""How full the line's queue is and how fast it empties, from packets that came. Pure.

A packet's way takes at least `base`; what it takes longer it stood in a queue, ours mostly.
The clocks of both ends need not agree: only differences count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kioskd.rate.sent import Report

STANDING_S: Final = 0.15
"""The shortest way of so long a time is taken: what all packets wait is a queue, what a few
wait is jitter."""
CARRIED_S: Final = 0.3
LOST_S: Final = 1.0
LEAST_SPAN_S: Final = 0.08
BASE_S: Final = 10.0
"""The shortest way of the last 10 to 20 s counts: clocks drift, and ways change."""
KEPT_S: Final = 1.0
STUCK_S: Final = 1.0
"""Longer than what the sender does takes to be seen, over a satellite too."""


class Queue:
    """What reports tell of the line.

    `standing_s`: how long all that arrived last had stood in the queue; `latest_s`: how long the
    very last packet had, jitter included. `carried_bps`: what the line
    has carried of late, headers included, None while nobody knows. `lost`: the share of packets
    that did not come in the last second.
    """

    def __init__(self) -> None:
        self.standing_s = 0.0
        self.latest_s = 0.0
        self.carried_bps: float | None = None
        self.lost = 0.0
        self._base = float("inf")
        self._next_base = float("inf")
        self._base_at = float("-inf")
        self._reports: list[Report] = []

    def hear(self, reports: Sequence[Report]) -> None:
        """Take reports, at least one."""
        newest = max(one.sent_at for one in [*self._reports[-1:], *reports])
        kept = [one for one in [*self._reports, *reports] if one.sent_at >= newest - KEPT_S]
        self._reports = sorted(kept, key=lambda one: one.total)
        ways = [
            (one.arrived_at, one.arrived_at - one.sent_at)
            for one in self._reports
            if one.arrived_at is not None
        ]
        self.lost = 1 - len(ways) / len(self._reports)
        if not ways:
            return
        last = max(at for at, _ in ways)
        shortest = min(way for at, way in ways if at > last - STANDING_S)
        self._note_base(shortest, newest)
        self.standing_s = shortest - self._base
        self.latest_s = max(ways)[1] - self._base
        self.carried_bps = self._carried(last)

    def take_as_empty(self) -> None:
        """What stands in the queue is none of ours: the way has become longer."""
        self._base = self._next_base = self._base + self.standing_s
        self.standing_s = 0.0

    def _note_base(self, way: float, now: float) -> None:
        if now - self._base_at > BASE_S:
            self._base, self._next_base = self._next_base, float("inf")
            self._base_at = now
        self._next_base = min(self._next_base, way)
        self._base = min(self._base, self._next_base)

    def _carried(self, last: float) -> float | None:
        """All that left between two packets that came lay between them on the line."""
        some = [r for r in self._reports if r.arrived_at is None or r.arrived_at > last - CARRIED_S]
        came = [r for r in some if r.arrived_at is not None]
        first, end = came[0], came[-1]
        assert first.arrived_at is not None
        assert end.arrived_at is not None
        span = end.arrived_at - first.arrived_at
        if span < LEAST_SPAN_S:
            return self.carried_bps
        inside = [r for r in some if first.total < r.total < end.total]
        lost = sum(r.size for r in inside if r.arrived_at is None)
        return 8 * (end.total - first.total - lost) / span


class Movement:
    """Whether a queue's length changes: one that does not, though little is sent, is none of ours.

    Changes of up to `least_s` are none.
    """

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._last_s = 0.0
        self._moved_at = float("-inf")

    def begin(self, standing_s: float, now: float) -> None:
        """Look from now on."""
        self._last_s, self._moved_at = standing_s, now

    def stuck(self, standing_s: float, now: float) -> bool:
        """Tell whether the queue, now so long, has been so for STUCK_S."""
        if abs(standing_s - self._last_s) > self._least_s:
            self.begin(standing_s, now)
        return now - self._moved_at > STUCK_S
