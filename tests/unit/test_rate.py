"""The rate control against lines by calculation: it uses them and keeps their queues short."""

from __future__ import annotations

import itertools
import random

import pytest

from kioskd.rate.control import ASSUMED_BPS, LEAST_BPS, LONG_S
from kioskd.rate.known import START_BPS
from kioskd.rate.patience import RECENT, Patience
from tests.unit.line_by_calculation import PACKET_BYTES, Line, Run


def steady(bps: float, **more: object) -> Run:
    return Run(Line(lambda _: bps, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("kbit", [128, 256, 512, 1000, 5000])
def test_a_steady_line_is_used_and_its_queue_is_short(kbit: int) -> None:
    run = steady(kbit * 1000)
    run.to(40)
    used = run.rate_between(10, 40) / (kbit * 1000)
    assert used >= 0.9
    # A packet of a picture is there at once, whatever the line: 75 ms on the thinnest.
    assert run.longest_queue(5, 40) <= 0.08 + 8 * PACKET_BYTES / (kbit * 1000)


def test_a_drop_is_followed_at_once() -> None:
    run = Run(Line(lambda now: 1e6 if now < 15 else 256e3))
    run.to(30)
    assert run.rate_between(10, 15) >= 0.88e6
    assert run.longest_queue(17, 30) <= 0.3
    assert run.rate_between(20, 30) >= 0.85 * 256e3


@pytest.mark.parametrize("most_s", [1.0, 1.8])
def test_a_drop_of_both_ways_is_followed_before_it_is_told(most_s: float) -> None:
    """What the far end tells waits for seconds in the queue of its own packets."""

    def back_s(now: float) -> float:
        return 0.03 + max(0.0, min(most_s, 2.7 * (now - 15), 18 - now))

    run = Run(Line(lambda now: 1e6 if now < 15 else 256e3, back_s=back_s), every_s=0.05)
    run.to(30)
    assert run.rate_between(10, 15) >= 0.88e6
    assert run.longest_queue(15, 17) <= 1.0
    assert run.longest_queue(17, 30) <= 0.3
    assert run.rate_between(20, 30) >= 0.85 * 256e3


def test_a_long_queue_is_told_of_once_it_is_gone() -> None:
    run = Run(Line(lambda now: 1e6 if now < 15 else 256e3))
    run.to(15)
    assert run.controller.queues_gone == 0
    run.to(15.5)
    assert run.line.queued_s(run.now) > LONG_S
    assert run.controller.queues_gone == 0
    run.to(30)
    assert run.controller.queues_gone == 1


def test_a_warning_comes_before_what_is_told_is_late() -> None:
    def back_s(now: float) -> float:
        return 0.03 + max(0.0, min(1.0, 2.7 * (now - 15), 18 - now))

    longest = {}
    for warned in (False, True):
        run = Run(Line(lambda now: 1e6 if now < 15 else 256e3, back_s=back_s), every_s=0.05)
        run.to(15.1)
        if warned:
            run.controller.warn(run.now)
        run.to(30)
        longest[warned] = run.longest_queue(15, 17)
        assert run.longest_queue(17, 30) <= 0.3
    assert longest[True] <= 0.7 * longest[False]


def test_a_warning_for_nothing_costs_a_moment() -> None:
    run = steady(1e6)
    run.to(15)
    before = run.controller.bps
    run.controller.warn(run.now)
    assert run.controller.bps < 0.4 * before
    run.to(15.5)
    assert run.controller.bps >= 0.95 * before
    run.controller.warn(run.now)  # the next is not believed, for a while
    assert run.controller.bps >= 0.95 * before
    run.to(26)
    run.controller.warn(run.now)
    assert run.controller.bps < 0.4 * before


def test_a_queue_of_the_far_ends_beginning_warns_of_nothing() -> None:
    run = steady(1e6)
    run.to(1)
    before = run.controller.bps
    run.controller.warn(run.now)
    assert run.controller.bps == before


def test_a_silence_is_over_when_the_queue_that_made_it_is_gone() -> None:
    """Also while what is told is still late, for its own queue's sake."""

    def back_s(now: float) -> float:
        return 0.03 + (max(0.0, min(0.6, 2.7 * (now - 15))) if now < 20 else 0.0)

    run = Run(Line(lambda now: 1e6 if now < 15 else 256e3, back_s=back_s), every_s=0.05)
    run.to(15.1)
    run.controller.warn(run.now)
    run.to(18)
    assert not run.controller.emptying
    run.to(20)
    assert run.rate_between(17.5, 20) >= 0.7 * 256e3


def test_a_warning_that_is_followed_by_silence_is_one() -> None:
    run = Run(Line(lambda _: 1e6, back_s=lambda now: 5.0 if 15 < now < 16 else 0.02))
    run.to(15)
    before = run.controller.bps
    run.controller.warn(run.now)
    run.to(16)
    assert run.controller.bps < 0.2 * before


def test_a_drop_of_the_other_way_is_soon_over() -> None:
    def back_s(now: float) -> float:
        return 0.03 + max(0.0, min(1.0, 2.7 * (now - 15), 18 - now))

    run = Run(Line(lambda _: 1e6, back_s=back_s), every_s=0.05)
    run.to(30)
    assert run.rate_between(15, 18) >= 50e3
    assert run.rate_between(19, 30) >= 0.8e6


def test_a_capacity_that_is_met_again_and_again_is_tried_less_often() -> None:
    """Each trial is a queue, and a jitter buffer remembers it."""

    def trials(queue_s: float) -> int:
        full = [queue > queue_s for at, queue in run.queues if 30 <= at < 90]
        return sum(now and not before for before, now in itertools.pairwise(full))

    run = steady(512e3)
    run.to(90)
    assert trials(0.02) >= 1
    assert trials(0.04) <= 6
    assert run.rate_between(30, 90) >= 0.88 * 512e3


def test_a_capacity_that_is_another_is_soon_tried_for_more() -> None:
    """However often the one before was met again."""
    run = Run(Line(lambda now: 512e3 if 60 <= now < 64 else 1e6))
    run.to(75)
    assert run.rate_between(69, 75) >= 0.8e6


def test_what_is_free_again_is_used_again() -> None:
    """Sooner or later by when it was tried last, so that one moment alone says little."""

    def used(wide_at: int) -> float:
        run = Run(Line(lambda now: 256e3 if now < wide_at else 1e6))
        run.to(wide_at + 25)
        return run.rate_between(wide_at + 10, wide_at + 25)

    rates = [used(wide_at) for wide_at in (13, 15, 17, 19, 21)]
    assert sum(rates) / len(rates) >= 0.9e6
    assert min(rates) >= 0.8e6


@pytest.mark.parametrize("loss", [0.02, 0.05])
def test_even_loss_slows_nobody_down(loss: float) -> None:
    run = steady(512e3, loss=lambda _: loss)
    run.to(40)
    assert run.rate_between(10, 40) >= 0.85 * 512e3 * (1 - loss)


def test_a_second_with_more_loss_than_usual_slows_nobody_down() -> None:
    """Speech and a small picture: few packets, of which many are lost now and then."""
    run = Run(Line(lambda _: 5e6, loss=lambda now: 0.2 if now % 10 < 0.8 else 0.03))
    run.use = 0.3
    run.to(60)
    assert min(rate for at, rate in run.rates if at > 5) >= ASSUMED_BPS


def test_jitter_is_no_queue() -> None:
    run = steady(2e6, jitter_s=0.06)
    run.to(30)
    assert run.rate_between(10, 30) >= 0.85 * 2e6


def test_a_line_without_a_queue_is_not_overrun() -> None:
    run = steady(400e3, queue_s=0.03)
    run.to(40)
    asked = sum(rate for at, rate in run.rates if at > 10) / sum(at > 10 for at, _ in run.rates)
    assert 0.75 * 400e3 <= asked <= 1.1 * 400e3


def test_a_hole_is_not_filled() -> None:
    run = Run(Line(lambda now: 0.0 if 10 <= now < 13 else 800e3))
    run.to(25)
    in_hole = [rate for at, rate in run.rates if 12.5 < at < 13]
    assert max(in_hole) <= 0.2 * 800e3
    assert run.rate_between(15, 25) >= 0.8 * 800e3
    assert run.longest_queue(13, 25) <= 0.25


@pytest.mark.parametrize(("kbit", "seconds", "again"), [(100, 4, 300e3), (256, 0.5, 850e3)])
def test_a_queue_that_leaves_fast_tells_of_a_line_that_is_wide_again(
    kbit: int, seconds: float, again: float
) -> None:
    wide_at = 15 + seconds
    run = Run(Line(lambda now: kbit * 1e3 if 15 <= now < wide_at else 1e6))
    run.to(30)
    assert next(at for at, rate in run.rates if at > wide_at and rate > again) < wide_at + 3
    assert run.longest_queue(wide_at + 0.5, 30) <= 0.1


def test_a_way_that_gets_longer_is_no_queue() -> None:
    run = Run(Line(lambda _: 1e6, base_s=lambda now: 0.0 if now < 10 else 0.15))
    run.to(40)
    assert run.rate_between(18, 40) >= 0.8e6
    assert run.controller.queues_gone == 0


def test_what_is_not_tried_is_not_believed() -> None:
    run = steady(10e6)
    run.use = 0.1
    run.to(30)
    assert run.controller.bps <= 2 * ASSUMED_BPS


def test_who_sends_little_is_heard_well_all_the_same() -> None:
    run = steady(10e6)
    run.use = 0.1
    run.to(4)
    assert run.controller.bps >= ASSUMED_BPS > START_BPS


def test_there_is_always_a_little() -> None:
    run = steady(20e3)
    run.to(20)
    assert min(rate for _, rate in run.rates) >= LEAST_BPS


def test_satellite() -> None:
    run = steady(1e6, delay_s=0.3, back_s=lambda _: 0.3)
    run.to(60)
    assert run.rate_between(20, 60) >= 0.8e6
    assert run.longest_queue(20, 60) <= 0.5


def test_patience_that_was_tried_is_soon_what_it_was() -> None:
    patience, chance = Patience(), random.Random(7)
    ages = [chance.uniform(0.1, 0.2) for _ in range(200)]
    for age in ages:
        patience.learn(age)
    usual = patience.seconds
    assert 0.2 < usual < 0.4
    for age in (0.5, 1.0, 2.0, 2.0, 1.5, 1.0, 0.5):
        patience.learn(age)
    assert patience.seconds > 1.5 * usual
    for age in ages[:RECENT]:
        patience.learn(age)
    assert patience.seconds <= 1.3 * usual


def test_who_was_late_himself_blames_nobody() -> None:
    run = steady(1e6)
    run.to(10)
    before = run.controller.bps
    run.controller.tick(12, 10)
    assert run.controller.bps == before
    run.controller.tick(12.1, 10)
    assert run.controller.bps < before / 2


def test_who_says_nothing_is_not_unheard() -> None:
    run = steady(1e6)
    run.to(10)
    before = run.controller.bps
    run.controller.tick(20, None)
    assert run.controller.bps == before
