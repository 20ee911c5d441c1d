"""How loud the voices are: for the bars on the screen, and for a microphone that hears nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from kioskd.errors import Reason

SHOW_EVERY_S: Final = 0.1
FLOOR_DB: Final = -60.0
"""dBFS shown as 0; full scale is shown as 255. A voice at the kiosk is at -40 to -15."""
SILENT_PEAK: Final = 2
"""Of 32768, -84 dBFS: below what the converter of any microphone makes of a quiet room."""
SILENT_S: Final = 5.0


def level(pcm: bytes) -> int:
    """Return the level of S16LE sound, from its root mean square: 0 to 255."""
    wave = np.frombuffer(pcm, "<i2").astype(np.float32)
    rms = math.sqrt(float(np.dot(wave, wave)) / max(1, len(wave)))
    if rms < 1:
        return 0
    decibels = 20 * math.log10(rms / 32768)
    return min(255, max(0, round((decibels / -FLOOR_DB + 1) * 255)))


class Meter:
    """Calls `show(own, agent)` with the loudest of the last tenth of a second of each voice."""

    def __init__(self, show: Callable[[int, int], None]) -> None:
        self._show = show
        self._levels = [0, 0]
        self._shown_at = float("-inf")

    def own(self, pcm: bytes | None) -> None:
        """Take 20 ms of the resident's voice; None while it is muted."""
        self._take(0, 0 if pcm is None else level(pcm))

    def agent(self, pcm: bytes) -> None:
        """Take 20 ms of the agent's voice."""
        self._take(1, level(pcm))

    def _take(self, voice: int, value: int) -> None:
        self._levels[voice] = max(self._levels[voice], value)
        now = time.monotonic()
        if now - self._shown_at >= SHOW_EVERY_S:
            self._shown_at = now
            self._show(*self._levels)
            self._levels = [0, 0]


class SilenceWatch:
    """Tells `observe` of a microphone that gives digital silence for 5 s, and when it is healed.

    A quiet resident is no silence: a microphone that works always hears its own noise.
    """

    def __init__(self, observe: Callable[[Reason | None, str], None]) -> None:
        self._observe = observe
        self._since: float | None = None
        self._told = False

    def hear(self, pcm: bytes | None, now: float) -> None:
        """Take 20 ms as they came, None while the resident has muted; `now` is monotonic."""
        silent = pcm is not None and not np.any(np.abs(_wave(pcm)) > SILENT_PEAK)
        if not silent:
            self._since = None
            if self._told:
                self._told = False
                self._observe(None, "")
            return
        if self._since is None:
            self._since = now
        if not self._told and now - self._since > SILENT_S:
            self._told = True
            self._observe(Reason.SILENT, f"digital silence for {SILENT_S:.0f} s")


def _wave(pcm: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.frombuffer(pcm, "<i2").astype(np.int32)  # |-32768| is no int16
