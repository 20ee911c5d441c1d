"""When what the far end tells is late, or is about to be, and when it is in time again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kioskd.rate.patience import Patience
from kioskd.rate.sent import Report

AGAIN: Final = 0.7
"""Of the rate of before, after a silence."""
LEARNT_S: Final = 5.0
"""What comes as late for so long has got a longer way; before that it is old news."""


class Silence:
    """Times are seconds of a steady clock.

    `before_bps` is the rate of before, None while there is no silence; `begun_at` is when the last
    one began. `proven` tells whether that was more than a warning.
    """

    def __init__(self) -> None:
        self.before_bps: float | None = None
        self.begun_at = float("-inf")
        self._warned = False
        self.proven = False
        self._usual_s = 0.0
        self._patience = Patience()
        self._told_at = float("-inf")

    def is_late(self, unheard_at: float | None, now: float) -> bool:
        """Tell whether what left at `unheard_at` should have been told of; None: all was."""
        return unheard_at is not None and now - unheard_at > self._patience.seconds

    def begin(self, bps: float, now: float, *, warned: bool) -> None:
        """Note the rate of before. `warned`: nothing is late yet."""
        self.before_bps, self.begun_at = bps, now
        self._usual_s = self._patience.seconds
        self._warned, self.proven = warned, not warned

    def prove(self) -> None:
        """Note that something is late: it is more than a warning."""
        self.proven = True

    def hear(self, reports: Sequence[Report], now: float) -> bool:
        """Take what is told; tell whether there is a silence that it ends, being in time.

        After a warning that goes only for what left since.
        """
        came = [one.sent_at for one in reports if one.arrived_at is not None]
        fresh = [at for at in came if at > self._told_at]
        if not fresh:
            return False
        self._told_at = max(fresh)
        self._patience.learn(now - min(fresh))
        if self.before_bps is None:
            return False
        most = self._patience.seconds
        if now - self.begun_at < LEARNT_S:
            most = min(most, self._usual_s)
        return now - self._told_at <= most and (not self._warned or self._told_at >= self.begun_at)

    def end(self) -> float:
        """End it, and return what may be sent again, at the most; 0 where there was none."""
        before, self.before_bps = self.before_bps or 0.0, None
        return (AGAIN if self.proven else 1.0) * before
