"""The brake on the far end's sending, against lines by calculation: queues go, and speech stays."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from kioskd.rate.brake import CLOCK, LEAST_BPS, Brake
from kioskd.rtp import TIMESTAMPS
from tests.unit.line_by_calculation import PACKET_BYTES, SPEECH_BYTES, Line

TOLD_S = 0.04
"""Until a limit holds at the far end."""
VOICE = 7
SPEECH_BPS = 8 * SPEECH_BYTES / 0.02


@dataclass
class Browser:
    """Sends `bps`, speech included, and never less than speech; heeds limits, if it does."""

    line: Line
    bps: Callable[[float], float]
    heeds: bool = True
    brake: Brake = field(default_factory=Brake)
    queues: list[tuple[float, float]] = field(default_factory=list)
    limits: list[tuple[float, float | None]] = field(default_factory=list)
    """When another limit was told."""

    def to(self, end: float) -> None:
        arrivals: list[tuple[float, int, int, int | None]] = []
        order = itertools.count()
        limit: float | None = None
        credit, first = 0.0, TIMESTAMPS - 5 * CLOCK
        for step in range(round(end / 0.005)):
            now = step * 0.005
            while arrivals and arrivals[0][0] <= now:
                at, _, size, timestamp = heapq.heappop(arrivals)
                self.brake.count(size, at)
                if timestamp is not None:
                    self.brake.hear(VOICE, timestamp, at)
                    if not self.limits or self.limits[-1][1] != self.brake.limit_bps:
                        self.limits.append((at, self.brake.limit_bps))
            if self.heeds:
                told = [limit for at, limit in self.limits if at < now - TOLD_S]
                limit = told[-1] if told else None
            bps = self.bps(now) if limit is None else min(limit, self.bps(now))
            credit = min(credit + max(0.0, bps - SPEECH_BPS) * 0.005 / 8, PACKET_BYTES)
            sent: list[tuple[int, int | None]] = []
            if step % 4 == 0:
                sent.append((SPEECH_BYTES, (first + round(now * CLOCK)) % TIMESTAMPS))
            if credit >= PACKET_BYTES:
                credit -= PACKET_BYTES
                sent.append((PACKET_BYTES, None))
            for size, timestamp in sent:
                if (due := self.line.carry(size, now)) is not None:
                    heapq.heappush(arrivals, (due, next(order), size, timestamp))
            self.queues.append((now, self.line.queued_s(now)))

    def longest_queue(self, begin: float, end: float) -> float:
        return max(queue for at, queue in self.queues if begin <= at < end)


def falling(now: float) -> float:
    return 900e3 if now < 10 else 256e3


def browsers_own(now: float) -> float:
    """What libwebrtc does: back to 85 % of what is carried, half a second later."""
    return 850e3 if now < 10.5 else 0.85 * 256e3


def test_a_queue_after_a_drop_is_emptied_at_once() -> None:
    alone = Browser(Line(falling), browsers_own, heeds=False)
    alone.to(16)
    held = Browser(Line(falling), browsers_own)
    held.to(16)
    assert alone.longest_queue(12, 13) > 0.5
    assert held.longest_queue(12, 16) < 0.15
    assert held.brake.limit_bps is None


def test_a_limit_leaves_speech_its_place() -> None:
    held = Browser(Line(falling), browsers_own)
    held.to(16)
    told = [limit for _, limit in held.limits if limit is not None]
    assert told
    assert min(told) >= LEAST_BPS


def test_an_even_line_is_left_alone() -> None:
    call = Browser(Line(lambda _: 512e3, jitter_s=0.06), lambda _: 480e3)
    call.to(30)
    assert [limit for _, limit in call.limits] == [None]


def test_a_way_closed_for_a_moment_is_no_queue() -> None:
    """As when a radio looks for another mast: nothing for 0.4 s, then all at once."""

    class Closed(Line):
        def carry(self, size: int, now: float) -> float | None:
            at = super().carry(size, now)
            return at if at is None or not 5 <= at < 5.4 else 5.4

    call = Browser(Closed(lambda _: 2e6), lambda _: 800e3)
    call.to(10)
    assert [limit for _, limit in call.limits] == [None]


def test_a_way_that_got_longer_is_left_alone_again() -> None:
    call = Browser(Line(lambda _: 2e6, base_s=lambda now: 0.2 * (now > 5)), lambda _: 800e3)
    call.to(10)
    held = [at for at, limit in call.limits if limit is not None]
    assert held
    (_, before), *_, (released, after) = call.limits
    assert (before, after) == (None, None)
    assert released - held[0] < 1.5


def test_nothing_is_held_back_by_a_voice_that_has_stopped() -> None:
    call = Browser(Line(falling), browsers_own)
    call.to(10.5)
    call.brake.tick(10.6)
    assert call.brake.limit_bps is not None
    call.brake.hear(VOICE, 0, 11.4)  # its clock went back: that tells nothing either
    call.brake.tick(11.7)
    assert call.brake.limit_bps is None


def test_another_source_begins_anew() -> None:
    call = Browser(Line(falling), browsers_own)
    call.to(10.5)
    assert call.brake.limit_bps is not None
    call.brake.hear(VOICE + 1, 0, 10.6)
    assert call.brake.limit_bps is None


def test_a_queue_that_grows_fast_is_not_waited_for() -> None:
    """By what all packets of 0.15 s waited it would be 10.35 s."""
    call = Browser(Line(falling), lambda _: 900e3)
    call.to(11)
    first = next(at for at, limit in call.limits if limit is not None)
    assert first <= 10.27


def test_a_key_picture_of_the_far_ends_is_no_line_that_got_narrow() -> None:
    """It waits by itself, for 0.1 s and a little: the brake goes by what stands, as before."""

    def burst(now: float) -> float:
        return 1.8e6 if 10 < now < 10.12 else 400e3 * (now < 10 or now > 11)

    call = Browser(Line(lambda _: 512e3), burst)
    call.to(12)
    assert call.longest_queue(10, 11) > 0.11
    assert [limit for _, limit in call.limits] == [None]


def test_speech_that_is_not_counted_does_no_harm() -> None:
    """Not every browser numbers the packets of its voice; then a gap is none of the line's."""
    brake = Brake()
    for step in range(100):
        brake.count(PACKET_BYTES, 0.02 * step)
        brake.hear(VOICE, round(0.02 * step * CLOCK), 0.02 * step)
    brake.hear(VOICE, 2 * CLOCK, 2.3)
    assert brake.limit_bps is None
