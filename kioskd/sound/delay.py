"""How long sound must wait so that nearly all of it is there when it is due."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BASE_S: Final = 5.0
"""The fastest packet of so long a time counts: ways change, and a drifting clock is followed."""
WINDOW_S: Final = 20.0
"""How long it is remembered how late packets came. What comes again each few seconds, as the queues
do that a browser makes when it tries for more, is better kept in mind than met anew: each time that
the delay follows, speech is stretched, and that is heard more than the delay (docs/lines.md)."""
REMEMBERED_S: Final = 0.09
"""More than that is not for what came before BASE_S ago: a line that has got well is met soon."""
QUANTILE: Final = 0.98
"""Of what came later than the packet before it; one burst alone is no more than a rare case."""
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


@dataclass(frozen=True, slots=True)
class _Arrival:
    at: float
    transit: float
    base: float
    """The least transit up to then."""
    case: bool


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
        self._fresh: deque[_Arrival] = deque(maxlen=_MOST_SAMPLES)
        self._late: deque[tuple[float, float]] = deque(maxlen=_MOST_SAMPLES)
        """When packets before those came that were later than the one before, and how late."""
        self._last = float("-inf")
        self._due = float("-inf")

    def add(self, sent: float, at: float) -> None:
        """Note that the sound of `sent` could first be played at `at`."""
        transit = at - sent
        if self.base is None or transit < self.base:
            self.base = transit
        case = transit > self._last - DRAIN_S
        self._fresh.append(_Arrival(at, transit, self.base, case))
        self._last = transit
        if at >= self._due:
            self._due = at + EVERY_S
            self._measure(at)

    def forget(self) -> None:
        """Learn anew what is usual: what came late stood in a queue that is gone."""
        self._fresh.clear()
        self._late.clear()
        self._last = float("-inf")
        self.target_s = START_S

    def _measure(self, now: float) -> None:
        base = min(one.transit for one in self._fresh if now - one.at <= BASE_S)
        while now - self._fresh[0].at > BASE_S:
            one = self._fresh.popleft()
            if one.case:
                # A way that got longer was so from then on, and nothing was late in it.
                self._late.append((one.at, one.transit - max(base, one.base)))
        while self._late and now - self._late[0][0] > WINDOW_S:
            self._late.popleft()
        fresh = [one.transit - base for one in self._fresh if one.case]
        known = _usual([*fresh, *(late for _, late in self._late)])
        wanted = MARGIN_S + max(_usual(fresh), min(REMEMBERED_S, known))
        # A window that is not full knows no rare cases.
        if len(self._fresh) < 50:
            wanted = max(wanted, START_S)
        self.base, self.target_s = base, min(MOST_S, max(LEAST_S, wanted))


def _usual(late: Sequence[float]) -> float:
    """Return how late packets are that are no more than usually late, 0 for none.

    Rounding up errs on the side of sound.
    """
    usual = sorted(one for one in late if one <= OUTAGE_S)
    return usual[math.ceil(QUANTILE * (len(usual) - 1))] if usual else 0.0
