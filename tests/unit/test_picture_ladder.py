"""What a rate is good for: sizes, frame rates, and that neither flaps."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kioskd.picture.ladder import (
    FIRST_UP_S,
    LEAST_BPS,
    MARGIN,
    MOST_UP_S,
    SIGN_FPS,
    UP_S,
    Ladder,
    Profile,
    Rung,
    sizes,
)
from kioskd.picture.pacing import (
    KEY_INTERVAL_S,
    MOST_WAIT_S,
    RESEND_SHARE,
    KeyFrames,
    Pacer,
    Thinner,
    payload_bytes,
)

START_BPS = 110_000
RATES = st.floats(0, 5e6)
SIDES = st.integers(48, 960).map(lambda side: 2 * side)


@given(SIDES, SIDES)
def test_sizes_keep_the_proportions(width: int, height: int) -> None:
    found = sizes(width, height)
    assert found[0] == (width, height)
    assert all(one > two for one, two in itertools.pairwise(w * h for w, h in found))
    for w, h in found:
        assert w % 2 == h % 2 == 0
        # Rounded to even, each side is off by one at the most.
        assert abs(w * height - h * width) <= width + height


@given(RATES, RATES, st.sampled_from(Profile))
def test_more_is_never_less(one: float, two: float, profile: Profile) -> None:
    low, high = (
        Ladder(profile).choose(bps, 1280, 720, 0.0) for bps in (min(one, two), max(one, two))
    )
    assert low.width <= high.width
    assert low.fps <= high.fps


@given(RATES)
def test_the_size_falls_before_the_frame_rate(bps: float) -> None:
    rung = Ladder().choose(bps, 640, 480, 0.0)
    assert rung.fps >= 24 or (rung.width, rung.height) == sizes(640, 480)[-1]


def test_a_picture_that_stands_still_for_a_moment_keeps_its_size() -> None:
    ladder = Ladder()
    before = ladder.choose(START_BPS, 640, 480, 0.0)
    assert ladder.choose(0.0, 640, 480, 1.0) == Rung(before.width, before.height, 0)
    assert ladder.choose(START_BPS, 640, 480, 2.0) == before


def test_the_first_size_is_soon_given_up_for_a_larger_one() -> None:
    ladder = Ladder()
    assert ladder.choose(START_BPS, 640, 480, 0.0) == Rung(320, 240, 24)
    assert ladder.choose(800_000, 640, 480, 1.0).width == 320
    assert ladder.choose(800_000, 640, 480, 1.0 + FIRST_UP_S).width == 640


@given(RATES)
def test_hands_are_read_at_every_rate_that_has_a_picture(bps: float) -> None:
    rung = Ladder(Profile.SIGN_LANGUAGE).choose(bps, 640, 480, 0.0)
    assert rung.fps >= SIGN_FPS or bps < LEAST_BPS
    assert rung.width <= Ladder().choose(bps, 640, 480, 0.0).width


def test_what_lines_carry() -> None:
    def at(bps: float) -> Rung:
        return Ladder().choose(bps, 640, 480, 0.0)

    assert at(300_000) == Rung(480, 360, 30)
    assert at(150_000) == Rung(320, 240, 30)  # what 256 kbit/s leave
    assert at(1_000_000) == Rung(640, 480, 30)
    assert at(LEAST_BPS - 1).fps == 0


def test_a_fall_is_followed_at_once_and_a_rise_when_it_lasts() -> None:
    ladder = Ladder()
    assert ladder.choose(800_000, 640, 480, 0.0).width == 640
    assert ladder.choose(150_000, 640, 480, 0.1).width == 320
    assert ladder.choose(800_000, 640, 480, 1.0).width == 320
    assert ladder.choose(800_000, 640, 480, 0.9 + UP_S).width == 320
    assert ladder.choose(800_000, 640, 480, 1.0 + UP_S).width == 640


def test_a_little_less_is_borne_a_while() -> None:
    ladder = Ladder()
    need = ladder.need(640, 480)
    ladder.choose(need, 640, 480, 0.0)
    for tenth in range(100):
        assert ladder.choose(need / MARGIN + 1, 640, 480, tenth / 10).width == 640
    assert ladder.choose(need * 0.8, 640, 480, 10.0).width == 640
    assert ladder.choose(need, 640, 480, 10.5).width == 640
    assert ladder.choose(need * 0.8, 640, 480, 11.0).width == 640
    assert ladder.choose(need * 0.8, 640, 480, 12.0).width == 480


@given(st.lists(RATES, min_size=1, max_size=300), st.sampled_from(Profile))
def test_it_never_flaps(rates: list[float], profile: Profile) -> None:
    ladder = Ladder(profile)
    widths = [ladder.choose(bps, 640, 480, 0.1 * n).width for n, bps in enumerate(rates)]
    grown = [n for n, (one, two) in enumerate(itertools.pairwise(widths)) if two > one]
    assert all(later - sooner >= UP_S * 10 - 1 for sooner, later in itertools.pairwise(grown))


def test_a_size_that_does_not_last_is_tried_less_and_less() -> None:
    ladder, changes, before = Ladder(), [], 0
    ladder.choose(150_000, 640, 480, 0.0)
    for tenth in range(6000):
        # The line has room for the larger size until that is taken.
        bps = 150_000 if before == 640 else 800_000
        width = ladder.choose(bps, 640, 480, tenth / 10).width
        if width == 640 != before:
            changes.append(tenth / 10)
        before = width
    waits = [two - one for one, two in itertools.pairwise(changes)]
    assert all(two > one - 0.2 for one, two in itertools.pairwise(waits))
    assert waits[0] < 10
    assert waits[-1] == pytest.approx(MOST_UP_S, abs=1)


def test_another_camera_begins_anew() -> None:
    ladder = Ladder()
    assert ladder.choose(600_000, 640, 480, 0.0).width == 640
    assert ladder.choose(600_000, 1280, 720, 0.1) == Rung(960, 540, 30)


def test_a_pause_ends_when_there_is_clearly_room() -> None:
    ladder = Ladder()
    fps = [ladder.choose(bps, 640, 480, 0.0).fps for bps in (20e3, 11e3, 13e3, 17e3, 19e3, 13e3)]
    assert [one > 0 for one in fps] == [True, False, False, False, True, True]


@given(st.integers(1, 60), st.integers(1, 60), st.floats(-0.2, 0.2))
def test_pictures_are_left_out_evenly(fps: int, source: int, jitter: float) -> None:
    thinner = Thinner()
    seconds = 20
    times = [(n + jitter * (-1) ** n) / source for n in range(seconds * source)]
    taken = [at for at in times if thinner.takes(fps, at)]
    assert len(taken) == pytest.approx(min(fps, source) * seconds, rel=0.07, abs=2)
    assert not thinner.takes(0, seconds + 1.0)


def test_the_first_picture_after_a_gap_is_taken_and_no_burst_follows() -> None:
    thinner = Thinner()
    assert [thinner.takes(10, at) for at in (0.0, 5.0, 5.03, 5.1)] == [True, True, False, True]


@given(st.lists(st.integers(50, 1300), min_size=1, max_size=50), st.floats(20e3, 2e6))
def test_packets_leave_at_a_multiple_of_the_rate(packets: list[int], bps: float) -> None:
    pacer, now = Pacer(bps), 0.0
    for size in packets:
        pacer.sent(size, now)
        wait = pacer.wait_s(now)
        assert 0 < wait <= MOST_WAIT_S
        now += wait
    assert pacer.wait_s(now) == pytest.approx(0, abs=1e-9)


def test_a_key_picture_makes_no_queue_before_the_line() -> None:
    """On a line that carries a picture's rate and a quarter more."""
    bps, now, queued, worst = 400_000, 0.0, 0.0, 0.0
    pacer = Pacer(bps)
    for size in [1200] * 7:  # of 30 pictures a second five
        queued += (size + 28) * 8 / (1.25 * bps)
        worst = max(worst, queued)
        pacer.sent(size, now)
        wait = pacer.wait_s(now)
        now, queued = now + wait, max(0.0, queued - wait)
    assert worst <= 0.06
    assert now <= 0.15


def test_what_is_sent_once_more_takes_half_the_rate_at_most() -> None:
    pacer, resent = Pacer(300_000), 0
    for hundredth in range(1000):
        for _ in range(20):
            if pacer.resend(1200, hundredth / 100):
                resent += 1228 * 8
    # The first second's is there at once.
    assert resent <= 11 * RESEND_SHARE * 300_000
    assert resent >= 5 * RESEND_SHARE * 300_000
    assert pacer.resent_bps(10.0) == pytest.approx(RESEND_SHARE * 300_000, rel=0.15)
    assert pacer.resent_bps(20.0) < 100


def test_a_storm_of_requests_costs_one_key_frame_a_second() -> None:
    keys, sent = KeyFrames(), []
    for picture in range(300):
        now = picture / 30
        for _ in range(10):
            keys.ask()
        if keys.due(now):
            sent.append(now)
            keys.sent(now)
    assert 9 <= len(sent) <= 10
    assert all(two - one >= KEY_INTERVAL_S - 1e-9 for one, two in itertools.pairwise(sent))


def test_a_request_waits_and_is_answered_once() -> None:
    keys = KeyFrames()
    assert not keys.due(0.0)
    keys.sent(0.0)  # a change of size
    keys.ask()
    assert not keys.due(0.5)
    assert keys.due(1.0)
    keys.sent(1.0)
    assert not keys.due(3.0)


@pytest.mark.parametrize(
    ("bps", "size"),
    [(20_000, 500), (200_000, 750), (320_000, 1200), (5_000_000, 1200)],
)
def test_packets_are_smaller_where_speech_would_wait_for_them(bps: float, size: int) -> None:
    assert payload_bytes(bps) == size
