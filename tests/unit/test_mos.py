"""The E-model: figures that the recommendations print, and that the score moves the right way."""

from __future__ import annotations

import pytest

from kioskd.call.mos import (
    BEST,
    MANY_DISSATISFIED,
    NEARLY_ALL_DISSATISFIED,
    PERFECT,
    SATISFIED,
    SOME_DISSATISFIED,
    WORST,
    Codec,
    Heard,
    burst_ratio,
    delay_impairment,
    equipment_impairment,
    mos,
    opus,
    rating,
    score,
)

EVS_24 = Codec(7.2, 11.4)
"""G.113 (09/2024), table V.1: EVS at 24.4 kbit/s."""


@pytest.mark.parametrize(
    ("of_hundred", "expected"),
    [
        (90, 4.34),
        (80, SATISFIED),
        (70, SOME_DISSATISFIED),
        (60, MANY_DISSATISFIED),
        (50, NEARLY_ALL_DISSATISFIED),
    ],
)
def test_r_becomes_the_score_of_g109s_table(of_hundred: float, expected: float) -> None:
    assert score(1.48 * of_hundred) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("impairment", "expected"),
    [(8, 4.42), (1, 4.49), (10, 4.39), (13, 4.34), (26, 4.02), (41, 3.51)],
)
def test_the_wide_band_model_says_the_same_of_its_own_scale(
    impairment: float, expected: float
) -> None:
    """AMR-WB's rates (G.113, table IV.1) on the scale of 129 of G.107.1: the curve is one."""
    assert score((129 - impairment) * 148 / 129) == pytest.approx(expected, abs=0.005)


def test_the_scale_ends() -> None:
    assert score(PERFECT) == score(200) == BEST
    assert score(0) == score(-50) == WORST
    assert all(WORST <= score(r) <= BEST for r in range(149))


@pytest.mark.parametrize(
    ("delay_s", "expected"), [(0.0, 0), (0.1, 0), (0.2, 3.04), (0.4, 24.07), (0.8, 40.83)]
)
def test_delay_costs_what_g107s_curve_says(delay_s: float, expected: float) -> None:
    """Idd for R of 100, by hand: X = 1, 2, 3."""
    assert delay_impairment(delay_s) / 1.48 == pytest.approx(expected, abs=0.01)


def test_half_of_what_is_left_goes_at_the_robustness() -> None:
    lost = equipment_impairment(Heard(EVS_24.robustness / 100, 0), EVS_24)
    assert lost == pytest.approx((EVS_24.impairment + 132) / 2)
    assert equipment_impairment(Heard(0, 0), EVS_24) == EVS_24.impairment


def test_runs_of_loss_are_worse_up_to_a_bound() -> None:
    scores = [mos(Heard(0.03, 0.1, burst), EVS_24) for burst in (0.2, 1.0, 1.5, 2.0, 9.0)]
    assert scores[0] == scores[1] > scores[2] > scores[3] == scores[4]
    assert burst_ratio(1 / (1 - 0.1), 0.1) == pytest.approx(1)
    assert burst_ratio(2.5, 0) == 2.5


def test_opus_is_as_the_paper_measured_it() -> None:
    assert opus(40_000) == Codec(10.7, 9.8)
    assert opus(28_000) == Codec(18.5, 10.6)
    assert opus(25_000).impairment == pytest.approx(20.2, abs=1)  # between the rates
    assert opus(31_000).impairment == pytest.approx(16.8, abs=1)
    assert opus(6_000) == opus(14_000)
    assert opus(510_000) == opus(40_000)
    costs = [opus(rate).impairment for rate in range(14_000, 40_001, 1000)]
    assert costs == sorted(costs, reverse=True)


def test_more_loss_and_more_delay_are_never_better() -> None:
    codec = opus(32_000)
    by_loss = [rating(Heard(n / 100, 0.15), codec) for n in range(101)]
    by_delay = [rating(Heard(0.01, n / 100), codec) for n in range(200)]
    assert by_loss == sorted(by_loss, reverse=True)
    assert by_delay == sorted(by_delay, reverse=True)


def test_nonsense_stays_within_the_scale() -> None:
    for concealed in (-1.0, 7.0):
        assert WORST <= mos(Heard(concealed, -5.0, -3.0), opus(0)) <= BEST
