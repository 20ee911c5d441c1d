"""How good speech sounds: PESQ, wide-band (ITU-T P.862.2), from 1.0 (bad) to 4.6 (as said)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bench.lines.speech import Samples, resampled

RATE: Final = 16_000
AUDIBLE: Final = 30
"""Amplitude, of 32767, below which there is nothing to score: -60 dB of full scale."""
SILENCE: Final = 1.0
"""The score of a segment in which nothing like speech was heard."""


def available() -> bool:
    """Tell whether the library is there: it is in the extra `bench`."""
    try:
        import pesq  # noqa: F401
    except ImportError:
        return False
    return True


def score(pairs: Sequence[tuple[Samples, Samples]]) -> list[float]:
    """Return MOS-LQO of pairs of (said, heard), 48 kHz and aligned; empty without the library."""
    if not available():
        return []
    import pesq

    scores = []
    for said, heard in pairs:
        if np.abs(heard).max() < AUDIBLE:  # the library divides by its level
            scores.append(SILENCE)
            continue
        try:
            scores.append(
                float(pesq.pesq(RATE, *(resampled(x, RATE) for x in (said, heard)), "wb"))
            )
        except pesq.NoUtterancesError:
            scores.append(SILENCE)
    return scores
