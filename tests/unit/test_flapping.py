"""When a device that comes and goes is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kioskd.runtime.flapping import FLAP_LIMITS, FlapGuard


def flap(guard: FlapGuard, start: float, every: float = 2.0) -> float:
    """Lose the device until a rest begins; return when that was."""
    now = start
    while not guard.lost(now):
        now += every
        assert now < start + 60, "no rest began"
    return now


def test_five_losses_within_a_minute_are_flapping() -> None:
    guard = FlapGuard()
    assert [guard.lost(now) for now in (0.0, 15.0, 30.0, 45.0, 60.0)] == [False] * 4 + [True]
    assert guard.resting(60.0)
    assert guard.resting(119.9)
    assert not guard.resting(120.0)


def test_five_losses_in_more_than_a_minute_are_not() -> None:
    guard = FlapGuard()
    assert not any(guard.lost(16.0 * n) for n in range(100))


def test_each_rest_is_twice_as_long_up_to_ten_minutes() -> None:
    guard, now, rests = FlapGuard(), 0.0, []
    for _ in range(6):
        began = flap(guard, now)
        rests.append(guard.until - began)
        now = guard.until
    assert rests == [60, 120, 240, 480, 600, 600]


@pytest.mark.parametrize(("held", "rest"), [(599.0, 120), (600.0, 60)])
def test_ten_calm_minutes_are_forgiven(held: float, rest: float) -> None:
    guard = FlapGuard()
    flap(guard, 0.0)
    began = flap(guard, guard.until + held)
    assert guard.until - began == rest


@given(st.lists(st.floats(0.0, 300.0), max_size=200))
def test_a_rest_is_never_longer_than_ten_minutes_nor_without_five_losses(gaps: list[float]) -> None:
    guard, now, since = FlapGuard(), 0.0, 0
    for gap in gaps:
        now += gap
        if guard.resting(now):
            assert not guard.lost(now)
            continue
        since += 1
        if guard.lost(now):
            assert since >= FLAP_LIMITS.losses
            assert FLAP_LIMITS.rest_s - 1e-6 <= guard.until - now <= FLAP_LIMITS.longest_s + 1e-6
            since = 0
