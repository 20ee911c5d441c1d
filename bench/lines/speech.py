"""What is said in a call of the bench, by both ends, over and over.

speech.flac is 12.2 s of French, said by espeak-ng 1.52 (voice `fr`, 150 words a minute), at an
active level of about -23 dB of full scale: "Bonjour madame, je voudrais savoir où en est mon
dossier de retraite. J'ai envoyé les papiers au mois de mars, et depuis je n'ai reçu aucune
réponse de votre part. Pouvez-vous regarder avec moi ce qui manque encore ?"
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

import av
import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]

RATE: Final = 48_000
"""Samples a second, everywhere but where a measure says otherwise."""
FILE: Final = Path(__file__).with_name("speech.flac")


@cache
def speech() -> Samples:
    """Return the speech: mono, 48 kHz, one round of the loop."""
    with av.open(str(FILE)) as source:
        resampler = av.AudioResampler("s16", "mono", RATE)
        frames = [
            part for frame in source.decode(audio=0) for part in resampler.resample(frame)
        ] + resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.int16)


def resampled(samples: Samples, rate: int) -> Samples:
    """Return 48 kHz mono sound at another rate, band-limited."""
    if not len(samples):
        return samples
    resampler = av.AudioResampler("s16", "mono", rate)
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = RATE
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray()[0] for part in parts]).astype(np.int16)


def round_from(reference: Samples, start: int, count: int) -> Samples:
    """Return `count` samples of the endless loop from sample `start` on; it may be below 0."""
    return np.take(reference, np.arange(start, start + count), mode="wrap")
