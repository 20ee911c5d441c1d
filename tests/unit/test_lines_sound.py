"""The bench's measures of sound, each against a known input."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from bench.lines.card import CHUNK, CHUNK_S, LATENCY_S, Heard, missing, play
from bench.lines.sound import Moment, Talk, segments
from bench.lines.speech import RATE, Samples, round_from, speech

T0 = 1_700_000_000.0
"""Some second of the wall clock: what is measured must not hang on its size."""


def _heard(seconds: float, delay_s: float = 0.1) -> Samples:
    return round_from(speech(), -round(delay_s * RATE), round(seconds * RATE))


def _delays(moments: list[Moment]) -> list[float]:
    return [one.delay for one in moments if one.delay is not None]


def _missing(heard: Heard, start: float, end: float) -> float:
    return missing(heard.real, heard.begin, start, end)


def _chunks(samples: Samples, begin: float) -> list[tuple[float, bytes]]:
    return [
        (begin + number * CHUNK_S, samples[number * CHUNK : (number + 1) * CHUNK].tobytes())
        for number in range(len(samples) // CHUNK)
    ]


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.25, 1.2, 2.9])
def test_a_delay_put_in_is_measured(delay: float) -> None:
    moments = Talk(T0, T0, _heard(8, delay)).moments(speech(), T0 + 3, T0 + 8)
    assert len(moments) > 30
    assert _delays(moments) == pytest.approx([delay] * len(moments), abs=0.002)


def test_a_delay_is_measured_in_noise_and_at_another_level() -> None:
    noise = np.random.default_rng(1).normal(0, 300, 8 * RATE)
    quiet = (_heard(8, 0.1) * 0.5 + noise).astype(np.int16)
    moments = Talk(T0, T0, quiet).moments(speech(), T0 + 1, T0 + 8)
    assert _delays(moments) == pytest.approx([0.1] * len(moments), abs=0.002)


def test_a_delay_that_grows_is_followed() -> None:
    half = 4 * RATE
    heard = np.concatenate([_heard(8, 0.1)[:half], _heard(8, 0.4)[half:]])
    moments = Talk(T0, T0, heard).moments(speech(), T0 + 1, T0 + 8)
    early = [one.delay for one in moments if one.at < T0 + 3.7]
    late = [one.delay for one in moments if one.at > T0 + 4.3]
    assert early == pytest.approx([0.1] * len(early), abs=0.002)
    assert late == pytest.approx([0.4] * len(late), abs=0.002)


def test_silence_where_speech_was_due_matches_nothing() -> None:
    heard = _heard(8)
    heard[3 * RATE : 5 * RATE] = 0
    moments = Talk(T0, T0, heard).moments(speech(), T0 + 1, T0 + 8)
    missed = [one.at - T0 for one in moments if one.delay is None]
    assert min(missed) == pytest.approx(3.2, abs=0.3)
    assert max(missed) == pytest.approx(4.8, abs=0.3)


def test_other_sound_matches_nothing() -> None:
    noise = np.random.default_rng(1).normal(0, 3000, 8 * RATE).astype(np.int16)
    moments = Talk(T0, T0, noise).moments(speech(), T0, T0 + 8)
    assert len(moments) > 30
    assert _delays(moments) == []


def test_pauses_of_the_speech_are_no_loss() -> None:
    heard = _heard(26)
    moments = Talk(T0, T0, heard).moments(speech(), T0 + 1, T0 + 26)
    assert all(one.delay is not None for one in moments)
    assert statistics.median(_delays(moments)) == pytest.approx(0.1, abs=0.001)


def test_segments_are_aligned() -> None:
    talk = Talk(T0, T0 + 0.013, _heard(30, 0.3))
    moments = talk.moments(speech(), T0 + 2, T0 + 27)
    pairs = segments(talk, speech(), moments, T0 + 2, T0 + 27)
    assert len(pairs) == 3
    for said, heard in pairs:
        shift = 6  # the delay is known to 0.125 ms: 6 samples
        one, two = said.astype(float), heard.astype(float)
        best = max(
            float(np.corrcoef(one[shift:-shift], np.roll(two, by)[shift:-shift])[0, 1])
            for by in range(-shift, shift + 1)
        )
        assert best > 0.999


def test_the_card_adds_its_latency_and_nothing_else() -> None:
    said = _heard(4, 0)
    heard = play(_chunks(said, T0))
    assert heard.begin == pytest.approx(T0 + LATENCY_S)
    assert np.array_equal(heard.samples, said)
    assert _missing(heard, T0 + 1, T0 + 3) == 0
    assert heard.dropped == 0


def test_the_card_is_silent_where_chunks_are_missing() -> None:
    chunks = _chunks(_heard(20, 0), T0)
    kept = [chunk for number, chunk in enumerate(chunks) if number % 20]  # 5 % are lost
    heard = play(kept)
    assert _missing(heard, T0 + 1, T0 + 19) == pytest.approx(0.05, abs=0.01)


def test_the_card_drops_the_oldest_of_a_burst() -> None:
    chunks = _chunks(_heard(4, 0), T0)
    burst = [(max(at, T0 + 2.0), pcm) if at > T0 + 1 else (at, pcm) for at, pcm in chunks]
    heard = play(burst)
    assert heard.dropped == pytest.approx(40, abs=2)  # 50 chunks came at once, 10 may wait
    assert _missing(heard, T0 + 1.1, T0 + 1.9) == pytest.approx(1, abs=0.05)
    assert _missing(heard, T0 + 2.1, T0 + 3.9) == 0


def test_a_burst_leaves_its_delay() -> None:
    chunks = _chunks(_heard(8, 0), T0)
    late = [(max(at, T0 + 3.0), pcm) if at > T0 + 2.9 else (at, pcm) for at, pcm in chunks]
    heard = play(late)
    moments = Talk(T0, heard.begin, heard.samples).moments(speech(), T0 + 1, T0 + 7)
    before = [one.delay for one in moments if one.at < T0 + 2.6 and one.delay is not None]
    after = [one.delay for one in moments if one.at > T0 + 3.5 and one.delay is not None]
    assert statistics.median(before) == pytest.approx(0.02, abs=0.003)
    assert statistics.median(after) == pytest.approx(0.1, abs=0.01)  # 80 ms came at once


def test_nothing_came_at_all() -> None:
    heard = play([])
    assert _missing(heard, T0, T0 + 1) == 1
    moments = Talk(T0, heard.begin, heard.samples).moments(speech(), T0, T0 + 5)
    assert moments
    assert _delays(moments) == []
