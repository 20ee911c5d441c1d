"""The packets that wait for their time, by the time of their sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kioskd import rtp
from kioskd.hal.microphone import SAMPLE_RATE
from kioskd.sound import opus
from kioskd.sound.delay import DelayEstimator
from kioskd.sound.red import Block

MOST_PACKETS: Final = 400
"""More than a second of the shortest; what nobody plays any more is not kept."""
STRAY_S: Final = 5.0
"""A packet so far from where it is awaited is none of the stream's, or begins another one."""
STRAYS: Final = 5
"""So many in a row begin another one."""
_REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True)
class Waiting:
    """A packet's sound from `start` on; `redundant` when it came in a later packet."""

    start: int
    samples: int
    payload: bytes
    redundant: bool

    @property
    def end(self) -> int:
        """The sample after its last."""
        return self.start + self.samples


@dataclass(slots=True)
class Arrivals:
    """What came in, in packets."""

    received: int = 0
    late: int = 0
    """Too late to be played."""
    malformed: int = 0
    """Not to be decoded, or with a timestamp that belongs nowhere."""


class PacketStore:
    """Orders packets, drops what is late, twice there or senseless, and measures delay.

    Timestamps go on beyond the 32 bits of RTP here, so that none wraps.
    """

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        self.estimator = DelayEstimator()
        self.played_to: int | None = None
        """Where the sound not yet decoded begins; None before the first is played."""
        self.generation = 0
        """Counts the streams: another one has nothing to do with what was played before."""
        self._waiting: dict[int, Waiting] = {}
        self._known: dict[int, None] = {}
        self._newest: int | None = None
        self._end = 0
        self._strays = 0
        self.source: int | None = None
        """The SSRC of the stream."""

    @property
    def end(self) -> int:
        """Where the newest sound ends."""
        return self._end

    def put(self, source: int, timestamp: int, blocks: Sequence[Block], at: float) -> None:
        """Take a packet's blocks, its own last; `at` is the second of its arrival."""
        self.arrivals.received += 1
        if source != self.source:
            self._begin(source, timestamp)
        start = timestamp
        if self._newest is not None:
            start = rtp.unwrapped(timestamp, self._newest, rtp.TIMESTAMPS)
        if self._is_stray(start, at):
            self._strays += 1
            if self._strays < STRAYS:
                self.arrivals.malformed += 1
                return
            self._begin(source, timestamp)
            start = timestamp
        self._strays = 0
        for block in blocks:
            self._put(start - block.offset, block.payload, block.offset > 0, at)
        self._newest = max(start, self._newest or start)

    def earliest(self) -> Waiting | None:
        """Return the first packet that is not yet played."""
        if self.played_to is not None:
            for start in [start for start in self._waiting if start < self.played_to]:
                del self._waiting[start]
        return self._waiting[min(self._waiting)] if self._waiting else None

    def take(self, waiting: Waiting) -> None:
        """Remove a packet that is being played."""
        self._waiting.pop(waiting.start, None)

    def _put(self, start: int, payload: bytes, redundant: bool, at: float) -> None:
        known = start in self._known
        if redundant and known:
            return
        try:
            samples, recovery = opus.duration(payload), opus.has_recovery(payload)
        except ValueError:
            self.arrivals.malformed += 1
            return
        if not known:
            self._note(start, at)
        if recovery and start - samples not in self._known:
            self._note(start - samples, at)  # can be played from now on too
        if self.played_to is not None and start < self.played_to:
            self.arrivals.late += not known and not redundant
            return
        there = self._waiting.get(start)
        if there is None or there.redundant:
            self._waiting[start] = Waiting(start, samples, payload, redundant)
            self._end = max(self._end, start + samples)
        if len(self._waiting) > MOST_PACKETS:
            del self._waiting[min(self._waiting)]

    def _note(self, start: int, at: float) -> None:
        self._known[start] = None
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        self.estimator.add(start / SAMPLE_RATE, at)

    def _is_stray(self, start: int, at: float) -> bool:
        base = self.estimator.base
        return base is not None and abs(at - start / SAMPLE_RATE - base) > STRAY_S

    def _begin(self, source: int, timestamp: int) -> None:
        self.source, self._newest, self._end = source, timestamp, timestamp
        self._waiting.clear()
        self._known.clear()
        self._strays = 0
        self.estimator = DelayEstimator()
        self.played_to = None
        self.generation += 1
