"""When a device is left alone, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kioskd.runtime.flapping import FORGIVEN_S, LOSSES, PAUSE_S, WITHIN_S, Flapping


def lose(flapping: Flapping, start: float, every: float) -> list[bool]:
    return [flapping.lost(start + number * every) for number in range(LOSSES)]


def test_five_losses_in_a_minute_are_too_many() -> None:
    flapping = Flapping()
    assert lose(flapping, 0, 10) == [False] * (LOSSES - 1) + [True]
    assert flapping.left(40) == PAUSE_S[0]
    assert flapping.left(40 + PAUSE_S[0]) == 0


def test_five_losses_in_an_hour_are_a_bad_day() -> None:
    assert not any(lose(Flapping(), 0, WITHIN_S / 2))


def test_the_pause_doubles_while_it_goes_on_and_is_forgiven_later() -> None:
    flapping = Flapping()
    now, pauses = 0.0, []
    for _ in range(6):
        lose(flapping, now, 1)
        pauses.append(flapping.left(now + LOSSES - 1))
        now += LOSSES + pauses[-1]
    assert pauses == [60, 120, 240, 480, PAUSE_S[1], PAUSE_S[1]]
    now += FORGIVEN_S
    lose(flapping, now, 1)
    assert flapping.left(now + LOSSES - 1) == PAUSE_S[0]


@given(st.lists(st.floats(0, 1000), max_size=60))
def test_a_pause_is_never_longer_than_the_longest(gaps: list[float]) -> None:
    flapping, now = Flapping(), 0.0
    for gap in gaps:
        now += gap
        flapping.lost(now)
        assert 0 <= flapping.left(now) <= PAUSE_S[1]
