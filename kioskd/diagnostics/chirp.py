"""A sweep that is played and looked for in what was heard: pure arithmetic, no device.

The sweep is found by its matched filter, so that a hall's noise or somebody speaking does not
hide it, and is played twice: two echoes as far apart as the two sweeps are no accident.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kioskd.hal.microphone import CHUNK_BYTES, CHUNK_SAMPLES, SAMPLE_RATE

Wave: TypeAlias = NDArray[np.float64]

SWEEP_S: Final = 0.6
SWEEP_HZ: Final = (500.0, 3500.0)
"""The band of speech (ITU-T G.712): what an echo canceller or a small loudspeaker lets through."""
AMPLITUDE: Final = 11_000.0
"""Of 32768: -9.5 dBFS at its peak, loud as an agent who speaks up, no more."""
FADE_S: Final = 0.02
APART_S: Final = 1.0
"""From the start of the first sweep to the start of the second."""
SWEEPS: Final = 2
LEAD_S: Final = 0.3
"""Silence before the first, in which the noise of the room is measured."""
LONGEST_DELAY_S: Final = 0.8
"""Between playing and hearing: a sound server's buffers on both sides, a Bluetooth set's too."""
LISTEN_S: Final = LEAD_S + (SWEEPS - 1) * APART_S + SWEEP_S + LONGEST_DELAY_S
PROMINENCE_DB: Final = 20.0
"""The correlation's peak over its median. White noise of that length reaches 13 dB by chance."""
AGREE_S: Final = 0.2
"""By how much the delays of both sweeps may differ: a busy machine makes a pause between them."""
FLOOR_DBFS: Final = -96.0
FULL_SCALE: Final = 32768.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What the microphone made of the sweeps.

    `found` tells whether both were there; then `level_dbfs` is the sweeps' own level (root mean
    square), `delay_s` the time from playing to hearing. `prominence_db` is how far the weaker
    one stands out of the rest. `curve` is the correlation around the best place, 0 to 1, from
    its start to its end `curve_s` seconds later.
    """

    found: bool
    prominence_db: float
    level_dbfs: float
    delay_s: float
    curve: tuple[float, ...]
    curve_s: float


def sweep() -> Wave:
    """Return one sweep, in units of S16."""
    at = np.arange(round(SWEEP_S * SAMPLE_RATE)) / SAMPLE_RATE
    low, high = SWEEP_HZ
    wave = np.sin(2 * np.pi * (low * at + (high - low) / (2 * SWEEP_S) * at**2))
    fade = np.sin(np.linspace(0, np.pi / 2, round(FADE_S * SAMPLE_RATE))) ** 2
    wave[: len(fade)] *= fade
    wave[-len(fade) :] *= fade[::-1]
    return np.asarray(wave * AMPLITUDE)


def chunks() -> list[bytes]:
    """Return all that is to be played, silences included, in chunks of 20 ms."""
    whole = np.zeros(round(LISTEN_S * SAMPLE_RATE / CHUNK_SAMPLES) * CHUNK_SAMPLES)
    one = sweep()
    for number in range(SWEEPS):
        start = round((LEAD_S + number * APART_S) * SAMPLE_RATE)
        whole[start : start + len(one)] = one
    pcm = whole.astype("<i2").tobytes()
    return [pcm[at : at + CHUNK_BYTES] for at in range(0, len(pcm), CHUNK_BYTES)]


def wave_of(pcm: bytes) -> Wave:
    """Return S16LE sound as numbers."""
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def dbfs(wave: Wave) -> float:
    """Return the level, from the root mean square; FLOOR_DBFS for silence."""
    rms = math.sqrt(float(np.mean(wave**2))) if len(wave) else 0.0
    return _decibels(rms / FULL_SCALE)


def find(heard: Wave, playing_at_s: float) -> Heard:
    """Look for the sweeps. `playing_at_s` is when the first chunk was played, in seconds of
    `heard`; takes a tenth of a second, so call it from a thread.
    """
    one = sweep()
    response = np.abs(_correlation(heard, one))
    if not len(response) or not response.any():
        return Heard(False, 0.0, FLOOR_DBFS, 0.0, (), 0.0)
    peaks = []
    for number in range(SWEEPS):
        due = playing_at_s + LEAD_S + number * APART_S
        first = max(0, round(due * SAMPLE_RATE))
        window = response[first : first + round(LONGEST_DELAY_S * SAMPLE_RATE)]
        if not len(window):
            return Heard(False, 0.0, FLOOR_DBFS, 0.0, (), 0.0)
        best = int(np.argmax(window))
        peaks.append((first + best, first / SAMPLE_RATE - due + best / SAMPLE_RATE, window[best]))
    median = float(np.median(response)) or 1e-9
    weaker = min(strength for _, _, strength in peaks)
    prominence = min(99.0, 20 * math.log10(max(weaker, 1e-9) / median))
    agree = abs(peaks[1][1] - peaks[0][1]) < AGREE_S
    stronger = max(peaks, key=lambda peak: peak[2])
    gain = float(stronger[2]) / float(one @ one)
    return Heard(
        found=agree and prominence >= PROMINENCE_DB,
        prominence_db=prominence,
        level_dbfs=_decibels(gain * math.sqrt(float(np.mean(one**2))) / FULL_SCALE),
        delay_s=min(late for _, late, _ in peaks),
        curve=_curve(response, stronger[0]),
        curve_s=2 * _AROUND_S,
    )


_AROUND_S: Final = 0.05
_CURVE_POINTS: Final = 160


def _correlation(heard: Wave, one: Wave) -> Wave:
    """Return the matched filter's answer for each place at which the sweep may begin."""
    places = len(heard) - len(one) + 1
    if places <= 0:
        return np.zeros(0)
    size = 1 << (len(heard) + len(one)).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(one, size))
    return np.asarray(np.fft.irfft(product, size)[:places])


def _curve(response: Wave, place: int) -> tuple[float, ...]:
    around = round(_AROUND_S * SAMPLE_RATE)
    part = response[max(0, place - around) : place + around]
    parts = np.array_split(part / response[place], _CURVE_POINTS)
    return tuple(round(float(each.max()), 3) for each in parts if len(each))


def _decibels(share: float) -> float:
    return max(FLOOR_DBFS, 20 * math.log10(share)) if share > 0 else FLOOR_DBFS


def levels(heard: Wave, step_s: float = 0.02) -> tuple[float, ...]:
    """Return the level of each `step_s` seconds in dBFS, for a graph."""
    step = round(step_s * SAMPLE_RATE)
    return tuple(round(dbfs(heard[at : at + step]), 1) for at in range(0, len(heard), step))
