"""What left and when, until the far end tells what became of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kioskd.rate.feedback import NUMBERS, Feedback

KEPT_S: Final = 10.0
"""A packet that nobody told of for so long is forgotten."""
LATE_S: Final = 0.2
"""A packet that others have overtaken may still come for so long."""
_ROUND_S: Final = (1 << 24) * 0.064
"""The far end's times go round after so many seconds."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a packet: `sent_at` by our clock, `arrived_at` by the far end's.

    None: it has not come. `size` in bytes on the line, all headers included; `total` are the
    bytes of everything that had left by then, this packet and the documents' included.
    """

    sent_at: float
    arrived_at: float | None
    size: int
    total: int


class Sent:
    """Numbers the packets of all media; counts all that leaves."""

    def __init__(self) -> None:
        self.total = 0
        self.media = 0
        self._next = 0
        self._waiting: dict[int, tuple[float, int, int]] = {}
        self._missing: dict[int, float] = {}
        self._told_at = float("-inf")
        self._clock: float | None = None

    def number(self, size: int, now: float) -> int:
        """Note a packet of so many bytes that leaves now, and return its number."""
        number = self._next
        self._next = (number + 1) % NUMBERS
        self.total += size
        self.media += size
        self._waiting[number] = (now, size, self.total)
        oldest = next(iter(self._waiting))
        if now - self._waiting[oldest][0] > KEPT_S:
            del self._waiting[oldest]
        return number

    def other(self, size: int) -> None:
        """Note bytes that leave without a number."""
        self.total += size

    @property
    def unheard_at(self) -> float | None:
        """When the first packet left after the last one told of; None: there is none."""
        waiting = (sent_at for sent_at, _, _ in self._waiting.values())
        return next((sent_at for sent_at in waiting if sent_at > self._told_at), None)

    def match(self, feedback: Feedback, now: float) -> list[Report]:
        """Return what became of packets, each once: of the last ones told of, those that came.

        Those that did not are told as lost LATE_S later.
        """
        reports: list[Report] = []
        for place, arrival in enumerate(feedback.arrivals):
            number = (feedback.base + place) % NUMBERS
            if arrival is None:
                if number in self._waiting:
                    self._missing.setdefault(number, now)
                continue
            at = self._unrolled(arrival)
            self._missing.pop(number, None)
            if (waiting := self._waiting.pop(number, None)) is not None:
                reports.append(Report(waiting[0], at, *waiting[1:]))
                self._told_at = max(self._told_at, waiting[0])
        return [*self._lost(now), *reports]

    def _lost(self, now: float) -> list[Report]:
        given_up = [number for number, told in self._missing.items() if told <= now - LATE_S]
        lost: list[Report] = []
        for number in given_up:
            del self._missing[number]
            if (waiting := self._waiting.pop(number, None)) is not None:
                lost.append(Report(waiting[0], None, *waiting[1:]))
        return lost

    def _unrolled(self, arrival: float) -> float:
        if self._clock is not None:
            arrival += _ROUND_S * round((self._clock - arrival) / _ROUND_S)
        self._clock = arrival
        return arrival
