"""A voice pauses where it is quieter than it was, and somebody who waits for that is told."""

from __future__ import annotations

import numpy as np
import pytest

from kioskd.sound.pause import CHUNK_S, PAUSE_S, WITHIN_S, Pauses

SAMPLES = 960


def loud(peak: int) -> bytes:
    return (peak * np.sin(np.arange(SAMPLES) / 20)).astype("<i2").tobytes()


def hear(pauses: Pauses, peak: int, seconds: float) -> None:
    for _ in range(round(seconds / CHUNK_S)):
        pauses.hear(loud(peak))


@pytest.mark.parametrize("noise", [0, 500])
def test_a_pause_is_quiet_beside_what_was_said(noise: int) -> None:
    pauses = Pauses()
    paused = []
    for peak, seconds in (
        (8000, 1),
        (noise, PAUSE_S - CHUNK_S),
        (noise, CHUNK_S),
        (4000, CHUNK_S),
    ):
        hear(pauses, peak, seconds)
        paused.append(pauses.paused)
    assert paused == [False, False, True, False]


def test_silence_is_a_pause_whatever_was_before() -> None:
    pauses = Pauses()
    hear(pauses, 50, 5)
    assert pauses.paused


def test_the_loudest_sample_there_is_is_loud() -> None:
    pauses = Pauses()
    pauses.hear(np.full(SAMPLES, -32768, "<i2").tobytes())
    hear(pauses, 6000, PAUSE_S)
    assert pauses.paused


def test_who_waits_for_a_pause_is_told_once() -> None:
    pauses = Pauses()
    told: list[str] = []
    hear(pauses, 8000, 1)
    pauses.at_next(lambda: told.append("first"))
    pauses.at_next(lambda: told.append("second"))
    hear(pauses, 8000, 0.5)
    assert told == []
    hear(pauses, 100, 2)
    assert told == ["first"]


def test_nobody_waits_for_long() -> None:
    pauses = Pauses()
    told: list[str] = []
    hear(pauses, 8000, 1)
    pauses.at_next(lambda: told.append("first"))
    hear(pauses, 8000, WITHIN_S - CHUNK_S)
    assert told == []
    hear(pauses, 8000, CHUNK_S)
    assert told == ["first"]
