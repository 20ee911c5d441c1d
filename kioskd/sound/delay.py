"""How long sound must wait so that nearly all of it is there when it is due."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

WINDOW_S: Final = 5.0
"""What is remembered of the line: a burst is forgotten, and a drifting clock followed, in it."""
QUANTILE: Final = 0.995
OUTAGE_S: Final = 0.25
"""Sound later than this had no part in what is usual: no delay worth having covers a burst."""
MARGIN_S: Final = 0.01
"""How unsteadily the clock may tick that plays."""
LEAST_S: Final = 0.025
"""A packet that repeats the one before comes 20 ms later: the first loss is covered too."""
MOST_S: Final = 0.22
"""Of a conversation, 400 ms from mouth to ear are the limit (ITU-T G.114), the line's included."""
START_S: Final = 0.06
EVERY_S: Final = 0.1
DRAIN_S: Final = 0.01
"""A packet that is so much less late than the one before waited in the same queue: the first
tells how long that was, and the others are no cases of their own."""
_MOST_SAMPLES: Final = 1000


class DelayEstimator:
    """Watches how much later than the fastest each packet came.

    The line's and the speaker's clock need not agree: `sent` and `at` are seconds from any
    origin, and all that counts is how their difference changes.
    """

    def __init__(self) -> None:
        self.base: float | None = None
        """The least transit, `at - sent`, in the window; None before the first packet."""
        self.target_s = START_S
        """How much later than the fastest a packet may come: then it must be decoded."""
        self._transits: deque[tuple[float, float, bool]] = deque(maxlen=_MOST_SAMPLES)
        self._last = float("-inf")
        self._due = float("-inf")

    def add(self, sent: float, at: float) -> None:
        """Note that the sound of `sent` could first be played at `at`."""
        transit = at - sent
        self._transits.append((at, transit, transit > self._last - DRAIN_S))
        self._last = transit
        if self.base is None or transit < self.base:
            self.base = transit
        if at >= self._due:
            self._due = at + EVERY_S
            self._measure(at)

    def forget(self) -> None:
        """Learn anew what is usual: what came late stood in a queue that is gone."""
        self._transits.clear()
        self._last = float("-inf")
        self.target_s = START_S

    def _measure(self, now: float) -> None:
        while now - self._transits[0][0] > WINDOW_S:
            self._transits.popleft()
        base = min(transit for _, transit, _ in self._transits)
        most = base + OUTAGE_S
        usual = sorted(one for _, one, case in self._transits if case and one <= most)
        # Rounding up errs on the side of sound; a window that is not full knows no rare cases.
        wanted = MARGIN_S
        if usual:
            wanted += usual[math.ceil(QUANTILE * (len(usual) - 1))] - base
        if len(self._transits) < 50:
            wanted = max(wanted, START_S)
        self.base, self.target_s = base, min(MOST_S, max(LEAST_S, wanted))
