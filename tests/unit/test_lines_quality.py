"""The speech's score against known degradations. It needs the extra `bench`."""

from __future__ import annotations

import numpy as np
import pytest

from bench.lines.quality import SILENCE, score
from bench.lines.speech import RATE, Samples, round_from, speech

pytest.importorskip("pesq")
CHUNK = RATE // 50


def _said() -> Samples:
    return round_from(speech(), 0, 8 * RATE)


def _with_losses(share: float) -> Samples:
    heard = _said()
    chance = np.random.default_rng(1)
    for start in range(0, len(heard), CHUNK):
        if chance.random() < share:
            heard[start : start + CHUNK] = 0
    return heard


def test_what_is_heard_as_said_scores_best() -> None:
    (best,) = score([(_said(), _said())])
    assert best > 4.5


def test_the_more_is_lost_the_worse_it_scores() -> None:
    scores = score([(_said(), _with_losses(share)) for share in (0.0, 0.01, 0.05, 0.2)])
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[-1] > 1.5


def test_silence_scores_worst() -> None:
    assert score([(_said(), np.zeros(8 * RATE, np.int16))]) == [SILENCE]


def test_a_small_error_of_alignment_is_forgiven() -> None:
    (shifted,) = score([(_said(), round_from(speech(), -6, 8 * RATE))])
    assert shifted > 4.3
