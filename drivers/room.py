"""The air between a simulated loudspeaker and a simulated microphone of one process."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kioskd.hal.microphone import SAMPLE_RATE

KEPT: Final = 150
"""Chunks of 20 ms that are still in the air: 3 s."""


class Room:
    """Keeps what was played and when, and gives the sum of it at any later moment.

    Times are in seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self._played: deque[tuple[float, NDArray[np.float64]]] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def play(self, start: float, wave: NDArray[np.float64]) -> None:
        """Let a sound begin at `start`."""
        with self._lock:
            self._played.append((start, wave))

    def hear(self, start: float, count: int) -> NDArray[np.float64]:
        """Return `count` samples from `start` on."""
        heard = np.zeros(count)
        with self._lock:
            for began, wave in self._played:
                shift = round((began - start) * SAMPLE_RATE)
                first, last = max(0, shift), min(count, shift + len(wave))
                if first < last:
                    heard[first:last] += wave[first - shift : last - shift]
        return heard


ROOM: Final = Room()
"""A process has one kiosk, and a kiosk stands in one room."""
