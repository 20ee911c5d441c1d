"""How long what the far end tells usually takes to come, and from when on it is late. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

START_S: Final = 0.6
"""Before it is known: feedback comes each 50 to 250 ms (libwebrtc), and round trips are long."""
BEYOND_S: Final = 0.1
DEVIATIONS: Final = 4
"""As many as a retransmission timer allows (RFC 6298, section 2)."""
_LEARNS: Final = 0.02
"""Slowly: a queue that grows while it is told of must not be taken for usual."""
_NEEDED: Final = 10
RECENT: Final = 40
"""Times that something was told, 2 to 4 s of them: what came later before those is over, so that
waiting much longer than for the latest of them would be for nothing."""


class Patience:
    """`seconds` is how long ago a packet may have left of which nobody has told yet."""

    def __init__(self) -> None:
        self.seconds = START_S
        self._usual = 0.0
        self._deviation = 0.0
        self._known = 0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def learn(self, age: float) -> None:
        """Take how long ago the oldest packet had left of those just told of."""
        self._known += 1
        share = max(_LEARNS, 1 / self._known)
        off = age - self._usual
        if self._known > 1:
            self._deviation += share * (abs(off) - self._deviation)
        self._usual += share * off
        self._recent.append(age)
        if self._known >= _NEEDED:
            usual = self._usual + DEVIATIONS * self._deviation + BEYOND_S
            self.seconds = min(usual, max(self._recent) + 2 * BEYOND_S)
