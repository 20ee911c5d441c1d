"""When one's own voice pauses, by its loudness. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np

from kioskd.hal.microphone import CHUNK_SAMPLES, SAMPLE_RATE

CHUNK_S: Final = CHUNK_SAMPLES / SAMPLE_RATE
PAUSE_S: Final = 0.3
"""Of a speaker's pauses those between sentences are as long, and longer."""
LATELY_S: Final = 3.0
WITHIN_S: Final = 1.5
"""Who speaks on for longer is not waited for."""
QUIET: Final = 0.2
"""Of the loudest sample of late: 14 dB below it there is no word."""
SILENCE: Final = 100
"""Of 32768. Below it nobody speaks, whatever was before."""


class Pauses:
    """Hears chunks of CHUNK_S, 16 bits signed and mono."""

    def __init__(self) -> None:
        self._tell: Callable[[], None] | None = None
        self._patience = 0
        self._peaks: deque[int] = deque(maxlen=round(LATELY_S / CHUNK_S))

    def hear(self, pcm: bytes) -> None:
        """Take the next chunk."""
        samples = np.frombuffer(pcm, "<i2")
        self._peaks.append(max(int(samples.max()), -int(samples.min())))
        self._patience -= 1
        if self._tell is not None and (self.paused or self._patience <= 0):
            tell, self._tell = self._tell, None
            tell()

    def at_next(self, tell: Callable[[], None]) -> None:
        """Call once, with the chunk that makes a pause; without one after WITHIN_S.

        Only the first who asks is called.
        """
        if self._tell is None:
            self._tell, self._patience = tell, round(WITHIN_S / CHUNK_S)

    @property
    def paused(self) -> bool:
        """Whether all of the last PAUSE_S was quiet."""
        count = round(PAUSE_S / CHUNK_S)
        if len(self._peaks) < count:
            return False
        newest = max(list(self._peaks)[-count:])
        return newest <= max(SILENCE, QUIET * max(self._peaks))
