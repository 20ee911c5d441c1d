"""What size and how many pictures a second a rate is good for. Pure.

The size falls before the frame rate: lips and hands are read from movement. A change of size
costs a key frame, so it is not made for a rate that comes and goes; a frame rate costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LEAST_BPS: Final = 12_000
"""Below it there is no picture: sound goes first."""
RESUME_BPS: Final = 18_000
FULL_FPS: Final = 30
SLOW_FPS: Final = 24
"""Below SLOW_BPS a tenth of the rate would go to headers."""
SLOW_BPS: Final = 120_000
SIGN_FPS: Final = 20
"""Signing is read well at 20 pictures a second and more (ITU-T H-series Supplement 1, 1999)."""
LEAST_FPS: Final = 2
UP_S: Final = 4.0
"""So long a rate must be good for a larger size before that is taken."""
FIRST_UP_S: Final = 2.0
"""The first size is a guess, and a low one."""
MOST_UP_S: Final = 60.0
DOWN_S: Final = 1.0
"""So long it may be a little too low for the size; where it is far too low no time is lost."""
MARGIN: Final = 1.15
"""A larger size is taken with so much more than it needs, and left with so much less."""
FAR: Final = 0.6

_SCALES: Final = (1.0, 3 / 4, 1 / 2, 3 / 8, 1 / 4, 3 / 16)
_LEAST_HEIGHT: Final = 90
_VGA: Final = 640 * 480
_VGA_BPS: Final = 350_000
"""What 640x480 needs to look well."""
_POWER: Final = 0.9
"""Larger pictures need less for each of their pixels."""
_SIGN_WEIGHT: Final = 1.4
"""Hands that move need more, and are to be sharp."""


class Profile(StrEnum):
    """What the picture is for."""

    ORDINARY = "ordinary"
    SIGN_LANGUAGE = "sign_language"


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to send the picture, in pixels (even) and pictures a second; 0: none."""

    width: int
    height: int
    fps: int


class Ladder:
    """The size in use, and when it is time for another one."""

    def __init__(self, profile: Profile = Profile.ORDINARY) -> None:
        self._profile = profile
        self._source = (0, 0)
        self._sizes: list[tuple[int, int]] = []
        self._place = 0
        self._paused = False
        self._fits_since: float | None = None
        self._short_since: float | None = None
        self._grown_at = float("-inf")
        self._patience = FIRST_UP_S

    def choose(self, bps: float, width: int, height: int, now: float) -> Rung:
        """Return how to send a picture of this size at `bps`; `now` in seconds never falls.

        With 0 there is none for a moment, and the size is kept.
        """
        if (width, height) != self._source:
            self._source, self._sizes = (width, height), sizes(width, height)
            self._place = self._fitting(bps)
            self._fits_since = self._short_since = None
        elif bps > 0:
            self._shrink(bps, now)
            self._grow(bps, now)
        return Rung(*self._sizes[self._place], self._fps(bps))

    def need(self, width: int, height: int) -> float:
        """Return the bits per second that a size needs to look well."""
        weight = _SIGN_WEIGHT if self._profile is Profile.SIGN_LANGUAGE else 1.0
        return float(weight * _VGA_BPS * (width * height / _VGA) ** _POWER)

    def _fitting(self, bps: float, margin: float = 1.0) -> int:
        for place, size in enumerate(self._sizes):
            if bps >= self.need(*size) * margin:
                return place
        return len(self._sizes) - 1

    def _shrink(self, bps: float, now: float) -> None:
        need = self.need(*self._sizes[self._place])
        if bps * MARGIN >= need or self._place == len(self._sizes) - 1:
            self._short_since = None
            return
        if self._short_since is None:
            self._short_since = now
        if bps < need * FAR or now - self._short_since >= DOWN_S:
            # A size that did not last is not tried again soon.
            soon = now - self._grown_at < self._patience + MOST_UP_S
            self._patience = min(2 * self._patience, MOST_UP_S) if soon else UP_S
            self._place = self._fitting(bps)
            self._short_since = None

    def _grow(self, bps: float, now: float) -> None:
        place = self._fitting(bps, MARGIN)
        if place >= self._place:
            self._fits_since = None
            return
        if self._fits_since is None:
            self._fits_since = now
        if now - self._fits_since >= self._patience:
            self._place, self._grown_at, self._fits_since = place, now, None
            self._patience = max(self._patience, UP_S)

    def _fps(self, bps: float) -> int:
        self._paused = bps < (RESUME_BPS if self._paused else LEAST_BPS)
        if self._paused:
            return 0
        fps = FULL_FPS if bps >= SLOW_BPS else SLOW_FPS
        # Of the smallest size fewer are sent where not even it is to be had whole.
        fewer = int(SLOW_FPS * bps / self.need(*self._sizes[-1]))
        least = SIGN_FPS if self._profile is Profile.SIGN_LANGUAGE else LEAST_FPS
        return min(fps, max(fewer, least))


def sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Return the sizes a picture is sent in, the largest first, with its proportions."""
    found: list[tuple[int, int]] = []
    for scale in _SCALES:
        size = (_even(width * scale), _even(height * scale))
        if size not in found and (not found or min(size) >= _LEAST_HEIGHT):
            found.append(size)
    return found


def _even(side: float) -> int:
    return max(2, 2 * round(side / 2))
