"""A line, a sender that uses what it may, and a far end that tells, in calculated time."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from kioskd.rate import feedback
from kioskd.rate.control import Controller
from kioskd.rate.sent import Sent

SPEECH_BYTES = 120
PACKET_BYTES = 1200
STEP_S = 0.005
FAR_CLOCK_S = 4321.0


@dataclass
class Line:
    """One way of a line: `rate` is in bits per second at a time; the queue drops at its tail."""

    rate: Callable[[float], float]
    delay_s: float = 0.02
    queue_s: float = 2.0
    jitter_s: float = 0.0
    loss: Callable[[float], float] = lambda _: 0.0
    back_s: Callable[[float], float] = lambda _: 0.02
    """How long what the far end tells at a time is on its way."""
    base_s: Callable[[float], float] = lambda _: 0.0
    seed: int = 7
    free_at: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def carry(self, size: int, now: float) -> float | None:
        """Return when a packet arrives, None if it is lost."""
        rate = self.rate(now)
        if rate <= 0 or self._random.random() < self.loss(now):
            return None
        if self.free_at - now > self.queue_s:
            return None
        self.free_at = self._sent_by(8 * size, max(self.free_at, now))
        return (
            self.free_at + self.delay_s + self.base_s(now) + self._random.random() * self.jitter_s
        )

    def _sent_by(self, bits: float, at: float) -> float:
        """Return when so many bits have left, from `at` on: a queue leaves as the rate is then."""
        while (rate := self.rate(at)) * STEP_S < bits:
            bits -= rate * STEP_S
            at += STEP_S
        return at + bits / rate

    def queued_s(self, now: float) -> float:
        return max(0.0, self.free_at - now)


@dataclass
class Run:
    """A call's sending over a line. After `to(t)` the lists tell how it went."""

    line: Line
    controller: Controller = field(default_factory=Controller)
    use: float = 1.0
    """Of what may be sent so much is."""
    every_s: float = 0.1
    sent: Sent = field(default_factory=Sent)
    now: float = 0.0
    rates: list[tuple[float, float]] = field(default_factory=list)
    queues: list[tuple[float, float]] = field(default_factory=list)
    carried: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._far = feedback.Arrivals()
        self._credit = 0.0
        self._recent: list[tuple[float, int]] = []
        for work in (self._speak, self._fill, self._tell, self._look):
            self._at(0.0, work)

    def to(self, end: float) -> None:
        while self._events and self._events[0][0] <= end:
            self.now, _, work = heapq.heappop(self._events)
            work()

    def rate_between(self, begin: float, end: float) -> float:
        """What was carried, in bits per second."""
        return 8 * sum(size for at, size in self.carried if begin <= at < end) / (end - begin)

    def longest_queue(self, begin: float, end: float) -> float:
        return max(queued for at, queued in self.queues if begin <= at < end)

    def _at(self, when: float, work: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), work))

    def _send(self, size: int) -> None:
        number = self.sent.number(size, self.now)
        self._recent.append((self.now, size))
        arrival = self.line.carry(size, self.now)
        if arrival is not None:
            self._at(arrival, lambda: self._arrive(number, size))

    def _arrive(self, number: int, size: int) -> None:
        self.carried.append((self.now, size))
        self._far.note(number, self.now + FAR_CLOCK_S)

    def _speak(self) -> None:
        self._send(SPEECH_BYTES)
        self._credit -= SPEECH_BYTES
        self._at(self.now + 0.02, self._speak)

    def _fill(self) -> None:
        self._credit = min(self._credit + self.use * self.controller.bps * 0.005 / 8, 5000)
        while self._credit >= PACKET_BYTES:
            self._send(PACKET_BYTES)
            self._credit -= PACKET_BYTES
        self._at(self.now + 0.005, self._fill)

    def _tell(self) -> None:
        fcis = self._far.take()
        self._at(self.now + self.line.back_s(self.now), lambda: self._hear(fcis))
        self._at(self.now + self.every_s, self._tell)

    def _hear(self, fcis: list[bytes]) -> None:
        if self.line.rate(self.now) <= 0:
            return
        self._recent = [(at, size) for at, size in self._recent if at > self.now - 0.5]
        sending = 16 * sum(size for _, size in self._recent)
        for fci in fcis:
            reports = self.sent.match(feedback.parse(fci), self.now)
            self.controller.hear(reports, sending, self.now)

    def _look(self) -> None:
        self.controller.tick(self.now, self.sent.unheard_at)
        self.rates.append((self.now, self.controller.bps))
        self.queues.append((self.now, self.line.queued_s(self.now)))
        self._at(self.now + 0.05, self._look)
