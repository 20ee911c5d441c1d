"""What the line carried in the calls before, so that the next one does not begin with a guess.

A rate and a network, and nothing of a visit. Pure.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

START_BPS: Final = 170_000
"""For a line that nobody knows yet: a queue of the first second is heard for ten (docs/rate.md)."""
SHARE: Final = 0.7
"""Of what a line carried, a call begins with so much: others may be on it today."""
LEAST_START_BPS: Final = 90_000
"""Speech, and a picture."""
MOST_START_BPS: Final = 500_000
"""Speech, and 640x480 that looks well: with more a line that has got worse would only suffer."""


class KnownLine:
    """Of the kiosk's line, for as long as the daemon runs.

    `network` is what tells one line from another: a kiosk that goes from Wi-Fi to 4G knows
    nothing of the new one.
    """

    def __init__(self) -> None:
        self._network: Hashable = None
        self._bps: float | None = None

    def start_bps(self, network: Hashable) -> float:
        """Return with how much a leg begins there, headers included."""
        if self._bps is None or network != self._network:
            return START_BPS
        return min(MOST_START_BPS, max(LEAST_START_BPS, SHARE * self._bps))

    def learn(self, network: Hashable, bps: float, full: bool) -> None:
        """Note that `bps` were carried; `full` tells that the line has been met to carry no more.

        One that was not full carries what it did before: less was wanted, or it has just begun.
        """
        unknown = self._bps is None or network != self._network
        if full or bps > (START_BPS / SHARE if unknown else self._bps or 0.0):
            self._network, self._bps = network, bps
