"""Speech made shorter or longer by whole periods of its pitch, which keeps the pitch (WSOLA).

W. Verhelst and M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA)
for high quality time-scale modification of speech", ICASSP 1993. The libraries there are
(Rubber Band, FFmpeg's atempo) stretch whole streams with a delay of their own of 50 ms and
more; here one period at a time is taken out or put in, at the moment it is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kioskd.hal.microphone import SAMPLE_RATE
from kioskd.sound.opus import Samples

SHORTEST: Final = SAMPLE_RATE // 400
"""2.5 ms: a pitch of 400 Hz."""
LONGEST: Final = SAMPLE_RATE * 3 // 200
"""15 ms: a pitch of 67 Hz."""
NEEDED: Final = 2 * LONGEST
"""Samples that a change needs: two of the longest periods."""
QUIET: Final = 30.0
"""Root mean square (-61 dBFS) below which nobody hears what is done."""
_COARSE: Final = 6
"""The pitch is looked for at 8 kHz first."""


@dataclass(frozen=True, slots=True)
class Period:
    """The best length to take out or put in, in samples, and how alike its neighbours are.

    `likeness` is their correlation, -1 to 1; 1 where it is quiet.
    """

    samples: int
    likeness: float
    quiet: bool


def find_period(sound: Samples) -> Period:
    """Find the period at the beginning of `sound`, which has NEEDED samples at least."""
    if len(sound) < NEEDED:
        raise ValueError(f"{len(sound)} samples")
    head = sound[:NEEDED].astype(np.float64)
    if np.sqrt(np.mean(head * head)) < QUIET:
        return Period(LONGEST, 1.0, quiet=True)
    coarse = head.reshape(-1, _COARSE).mean(axis=1)
    rough = SHORTEST // _COARSE + int(
        np.argmax(_likeness(coarse, LONGEST // _COARSE, SHORTEST // _COARSE))
    )
    low = max(SHORTEST, (rough - 1) * _COARSE)
    likeness = _likeness(head[: min(LONGEST, (rough + 1) * _COARSE) + LONGEST], LONGEST, low)
    best = int(np.argmax(likeness))
    return Period(low + best, float(likeness[best]), quiet=False)


def shorten(sound: Samples, period: int) -> Samples:
    """Return `sound` without one period at its beginning: the first two fade into one."""
    _check(sound, period)
    return np.concatenate((_fade(sound[:period], sound[period : 2 * period]), sound[2 * period :]))


def lengthen(sound: Samples, period: int) -> Samples:
    """Return `sound` with one period more after its first: between the second and the first."""
    _check(sound, period)
    between = _fade(sound[period : 2 * period], sound[:period])
    return np.concatenate((sound[:period], between, sound[period:]))


def _likeness(sound: NDArray[np.float64], width: int, first: int) -> NDArray[np.float64]:
    """Correlate the first `width` samples with those `first` later, `first` + 1, to the end."""
    head, rest = sound[:width], sound[first:]
    energy = np.concatenate(([0.0], np.cumsum(rest * rest)))
    norm = np.sqrt((energy[width:] - energy[:-width]) * (head @ head))
    products: NDArray[np.float64] = np.correlate(rest, head, "valid")
    return products / np.maximum(norm, 1.0)


def _fade(out: Samples, into: Samples) -> Samples:
    weight = (np.arange(len(out)) + 0.5) / len(out)
    mixed = out * (1.0 - weight) + into * weight
    return np.rint(mixed).astype(np.int16)


def _check(sound: Samples, period: int) -> None:
    if not 0 < 2 * period <= len(sound):
        raise ValueError(f"two periods of {period} in {len(sound)} samples")
