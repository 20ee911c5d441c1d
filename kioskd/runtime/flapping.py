"""A device that comes and goes all the time is left alone for a while. Sans-I/O."""

from __future__ import annotations

from collections import deque
from typing import Final

LOSSES: Final = 5
WITHIN_S: Final = 60.0
"""A cable that is pulled by hand is not lost five times in a minute; a loose one is."""
PAUSE_S: Final = (60.0, 600.0)
"""The first pause and the longest: each that follows soon is twice the one before."""
FORGIVEN_S: Final = 600.0
"""A device that held this long after its pause begins anew."""


class Flapping:
    """Counts losses; times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=LOSSES)
        self._pause = PAUSE_S[0]
        self._until = float("-inf")

    def lost(self, now: float) -> bool:
        """Take one loss; return True when the device is to be left alone from now on."""
        if now - self._until > FORGIVEN_S:
            self._pause = PAUSE_S[0]
        self._losses.append(now)
        if len(self._losses) < LOSSES or now - self._losses[0] > WITHIN_S:
            return False
        self._losses.clear()
        self._until = now + self._pause
        self._pause = min(self._pause * 2, PAUSE_S[1])
        return True

    def left(self, now: float) -> float:
        """Return for how many seconds the device is still left alone; 0 when it is not."""
        return max(0.0, self._until - now)
