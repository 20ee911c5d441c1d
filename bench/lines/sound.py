"""How late and how well speech is heard at the far end, from the two recordings alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.lines.speech import RATE, Samples, resampled, round_from

COARSE: Final = 8000
"""Samples a second where delays are looked for: 0.125 ms each."""
WINDOW_S: Final = 0.5
HOP_S: Final = 0.1
LONGEST_S: Final = 3.0
"""Delays are looked for from 0 to this; it must be below the length of the speech."""
LONGEST: Final = round(LONGEST_S * COARSE)
MATCH: Final = 0.5
"""Least normalised correlation of a window with what was said for its delay to count."""
QUIET: Final = 600.0
"""Root mean square below which a window of what was said holds too little speech to match."""
SEGMENT_S: Final = 8.0
"""Length of what is scored at once: P.862 asks for 8 to 20 s."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A window of sound: when it was heard (its middle, seconds of the wall clock), how long
    after it was said (seconds; None when it matches nothing that was said).
    """

    at: float
    delay: float | None


@dataclass(frozen=True, slots=True)
class Talk:
    """Speech said in an endless loop from `begin` on, and what was heard from `heard_from` on."""

    begin: float
    heard_from: float
    heard: Samples

    def moments(self, reference: Samples, start: float, end: float) -> list[Moment]:
        """Measure the delay in windows from `start` to `end`; pauses of speech are left out.

        A pause is told by what was said at the delay of the window before.
        """
        said, heard = resampled(reference, COARSE), resampled(self.heard, COARSE)
        size = round(WINDOW_S * COARSE)
        usual = 0.1
        found = []
        for at in np.arange(start, end - WINDOW_S, HOP_S):
            first = round((at - self.heard_from) * COARSE)
            window = _cut(heard, first, size)
            due = round((at - self.begin) * COARSE)
            if _level(round_from(said, due - round(usual * COARSE), size)) < QUIET:
                continue
            delay = _delay(window, round_from(said, due - LONGEST, LONGEST + size))
            usual = usual if delay is None else delay
            found.append(Moment(float(at) + WINDOW_S / 2, delay))
        return found


def segments(
    talk: Talk, reference: Samples, moments: list[Moment], start: float, end: float
) -> list[tuple[Samples, Samples]]:
    """Return pairs of (said, heard) of SEGMENT_S, 48 kHz, aligned by their median delay."""
    size = round(SEGMENT_S * RATE)
    pairs = []
    for at in np.arange(start, end - SEGMENT_S + 0.01, SEGMENT_S):
        delays = [
            one.delay for one in moments if at <= one.at < at + SEGMENT_S and one.delay is not None
        ]
        delay = float(np.median(delays)) if delays else 0.2
        first = round((at - talk.heard_from) * RATE)
        said = round_from(reference, round((at - delay - talk.begin) * RATE), size)
        pairs.append((said, _cut(talk.heard, first, size)))
    return pairs


def _cut(samples: Samples, first: int, size: int) -> Samples:
    """Return `size` samples from `first` on; what lies outside is silence."""
    out = np.zeros(size, np.int16)
    low, high = max(0, first), min(len(samples), first + size)
    if low < high:
        out[low - first : high - first] = samples[low:high]
    return out


def _level(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def _delay(window: Samples, said: Samples) -> float | None:
    """Find `window` in `said`, whose last len(window) samples would be a delay of 0."""
    one, two = window.astype(np.float64), said.astype(np.float64)
    size = 1 << int(np.ceil(np.log2(len(one) + len(two))))
    product = np.fft.rfft(two, size) * np.conj(np.fft.rfft(one, size))
    places = len(two) - len(one) + 1
    dots: NDArray[np.float64] = np.fft.irfft(product, size)[:places]
    energy = np.concatenate([[0.0], np.cumsum(two**2)])
    norms = np.sqrt((energy[len(one) :] - energy[: -len(one)]) * np.sum(one**2))
    score = dots / np.maximum(norms, 1.0)
    best = int(np.argmax(score))
    if score[best] < MATCH:
        return None
    return (places - 1 - best) / COARSE
