"""When a device that comes and goes is left alone: a rule of its own, without a clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FlapLimits:
    """How much coming and going is too much. Seconds.

    `losses` within `within_s` are flapping; the first rest lasts `rest_s`, each further one
    twice as long, up to `longest_s`, until the device has held for `calm_s`.
    """

    losses: int = 5
    within_s: float = 60.0
    rest_s: float = 60.0
    longest_s: float = 600.0
    calm_s: float = 600.0


FLAP_LIMITS: Final = FlapLimits()


class FlapGuard:
    """Counts the losses of one device. `now` is in seconds of any clock that never goes back."""

    def __init__(self, limits: FlapLimits = FLAP_LIMITS) -> None:
        self.until = float("-inf")
        """The end of the present rest, or of the last one."""
        self._limits = limits
        self._losses: deque[float] = deque(maxlen=limits.losses)
        self._rests = 0
        self._last = float("-inf")

    def resting(self, now: float) -> bool:
        """Tell whether the device is to be left alone now."""
        return now < self.until

    def forget(self) -> None:
        """Begin anew: somebody has seen to the device."""
        self.until = self._last = float("-inf")
        self._losses.clear()
        self._rests = 0

    def lost(self, now: float) -> bool:
        """Note that a usable device was lost; return True when a rest begins with it."""
        if self.resting(now):
            return False
        if now - max(self._last, self.until) >= self._limits.calm_s:
            self._rests = 0
        self._last = now
        self._losses.append(now)
        full = len(self._losses) == self._limits.losses
        if not full or now - self._losses[0] > self._limits.within_s:
            return False
        self._losses.clear()
        rest = self._limits.rest_s * 2.0 ** min(self._rests, 32)
        self.until = now + min(rest, self._limits.longest_s)
        self._rests += 1
        return True
