"""One direction of the relay, without sockets and without a clock: packets in, packets due.

The fate of the n-th packet (lost or not) depends on the seed and the shapes alone, never on
when it comes; what the queue drops depends on time too.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass
from typing import Final

from bench.lines.shape import Shape

HEADERS: Final = 28
"""Bytes of IPv4 (20) and UDP (8) around a payload (RFC 791, RFC 768)."""


@dataclass(slots=True)
class Counts:
    """Packets and bytes (headers included) since the beginning."""

    offered: int = 0
    offered_bytes: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    dropped_queue: int = 0
    dropped_loss: int = 0


@dataclass(frozen=True, slots=True)
class _Packet:
    payload: bytes
    bits: int
    lost: bool
    jitter: float


class Path:
    """Takes packets with `offer` and gives them back with `due` when the far end gets them.

    Times are in seconds of one clock that never goes back.
    """

    def __init__(self, shape: Shape, seed: int) -> None:
        self.counts = Counts()
        self._shape = shape
        self._losses = random.Random(f"loss {seed}")
        self._jitters = random.Random(f"jitter {seed}")
        self._bad = False
        self._queue: deque[_Packet] = deque()
        self._queued_bits = 0
        self._head_left = 0.0
        self._at = float("-inf")
        self._flying: list[tuple[float, int, _Packet]] = []
        self._flown = 0
        self._last_due = float("-inf")

    def change(self, shape: Shape, now: float) -> None:
        """Go on with another shape; what waits in the queue drains at the new rate."""
        self._drain(now)
        self._shape = shape
        self._drain(now)

    def offer(self, payload: bytes, now: float) -> None:
        """Take a packet that the near end sent."""
        self._drain(now)
        packet = _Packet(
            payload, (len(payload) + HEADERS) * 8, self._is_lost(), self._jitters.random()
        )
        self.counts.offered += 1
        self.counts.offered_bytes += packet.bits // 8
        if self._shape.rate_bps is None:
            self._launch(packet, now)
        elif self._is_full():
            self.counts.dropped_queue += 1
        else:
            if not self._queue:
                self._head_left = packet.bits
            self._queue.append(packet)
            self._queued_bits += packet.bits

    def due(self, now: float) -> list[tuple[float, bytes]]:
        """Return what the far end has got by now: when it was due, and the payload."""
        self._drain(now)
        arrived = []
        while self._flying and self._flying[0][0] <= now:
            at, _, packet = heapq.heappop(self._flying)
            self.counts.delivered += 1
            self.counts.delivered_bytes += packet.bits // 8
            arrived.append((at, packet.payload))
        return arrived

    def next_at(self) -> float | None:
        """Return when `due` is to be asked again; None when nothing is on its way."""
        times = []
        if self._flying:
            times.append(self._flying[0][0])
        if self._queue and self._shape.rate_bps is not None:
            times.append(self._at + self._head_left / self._shape.rate_bps)
        return min(times) if times else None

    @property
    def queue_s(self) -> float:
        """How long a packet that comes now would wait for its turn, in seconds."""
        if self._shape.rate_bps is None or not self._queue:
            return 0.0
        return (self._queued_bits - self._queue[0].bits + self._head_left) / self._shape.rate_bps

    def _is_full(self) -> bool:
        limit = self._shape.queue_bytes
        too_many = limit is not None and self._queued_bits > limit * 8
        return too_many or self.queue_s > self._shape.queue_ms / 1000

    def _is_lost(self) -> bool:
        # Always two numbers a packet, so that its fate hangs on its place alone.
        chance, turn = self._losses.random(), self._losses.random()
        burst = self._shape.burst
        if burst is None:
            return chance < self._shape.loss
        self._bad = turn >= burst.end if self._bad else turn < burst.begin
        kept = (1 - self._shape.loss) * (1 - (burst.loss if self._bad else 0))
        return chance < 1 - kept

    def _drain(self, now: float) -> None:
        if not self._queue:
            self._at = now
            return
        rate = self._shape.rate_bps
        while self._queue:
            finished = self._at if rate is None else self._at + self._head_left / rate
            if finished > now:
                assert rate is not None
                self._head_left -= (now - self._at) * rate
                break
            packet = self._queue.popleft()
            self._queued_bits -= packet.bits
            self._launch(packet, finished)
            self._at = finished
            self._head_left = self._queue[0].bits if self._queue else 0.0
        self._at = now

    def _launch(self, packet: _Packet, now: float) -> None:
        if packet.lost:
            self.counts.dropped_loss += 1
            return
        at = now + (self._shape.delay_ms + packet.jitter * self._shape.jitter_ms) / 1000
        if not self._shape.reorder:
            at = max(at, self._last_due)
        self._last_due = max(at, self._last_due)
        self._flown += 1
        heapq.heappush(self._flying, (at, self._flown, packet))
