"""When the camera's own H.264 is sent as it is, and its pictures are not encoded by us. Pure.

It fits while it has the size that the rate is good for, no more bits and pictures than that, and no
gap: each picture hangs on the one before. A camera cannot be asked for a key picture: where one is
asked for, or it does not fit any more, we encode, and the camera's is taken up again at its next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from kioskd.picture import h264, nal
from kioskd.picture.encoded import CLOCK, Encoded
from kioskd.picture.ladder import Rung

WINDOW_S: Final = 2.0
"""The camera's rate is its mean over this: some key intervals are that long."""
KNOWN_S: Final = 1.0
BEGINS: Final = 0.85
"""It is begun with at so much of what the line has, and ended above all of that."""
REST_S: Final = 10.0
"""What did not fit is not tried again before: each change is a key picture."""
BACKLOG_S: Final = 0.5
"""More that waits to be sent is a delay that the agent sees."""


@dataclass(frozen=True, slots=True)
class FromCamera:
    """A picture as the camera coded it; without a gap `number` rises by 1."""

    number: int
    picture: Encoded


class Passing:
    """Follows the camera's pictures, and says which are sent."""

    def __init__(self) -> None:
        self._sets = nal.ParameterSets()
        self._recent: deque[tuple[int, int]] = deque()
        self._number: int | None = None
        self._fits_profile = False
        self._rests_until = float("-inf")
        self.on = False
        """True while the camera's pictures are what is sent."""

    @property
    def bps(self) -> float | None:
        """The camera's bits per second; None until it is known."""
        seconds = self._seconds()
        if seconds < KNOWN_S:
            return None
        return 8 * sum(size for _, size in list(self._recent)[1:]) / seconds

    def take(
        self,
        pictures: Sequence[FromCamera],
        size: tuple[int, int],
        rung: Rung,
        bps: float,
        *,
        key: bool,
    ) -> list[Encoded]:
        """Return what is to be sent of these, the newest pictures of this size; else nothing.

        `bps` is what there is for them, `key`: the far end waits for a key picture.
        """
        if not pictures:
            self.on = False
            return []
        self._note(pictures)
        now = pictures[-1].picture.pts / CLOCK
        late = now - pictures[0].picture.pts / CLOCK > BACKLOG_S
        if late or not self._fits(size, rung, bps):
            if self.on:
                self._rests_until = now + REST_S
            self.on = False
        begins = not late and now >= self._rests_until and self._fits(size, rung, BEGINS * bps)
        taken: list[Encoded] = []
        for one in pictures:
            if self._number is None or one.number != self._number + 1:
                self.on = False
            self._number = one.number
            if one.picture.key and (begins or self.on) and self._fits_profile:
                self.on, taken = True, []
            if self.on:
                whole = self._sets.complete(one.picture.data)
                taken.append(replace(one.picture, data=whole))
        if key and not any(one.key for one in taken):
            self.on = False
        return taken if self.on else []

    def _note(self, pictures: Sequence[FromCamera]) -> None:
        for one in pictures:
            self._recent.append((one.picture.pts, len(one.picture.data)))
            profile = nal.profile(one.picture.data)
            if profile is not None:
                self._sets.complete(one.picture.data)  # some cameras give them once
                self._fits_profile = profile == nal.BASELINE
        while self._seconds() > WINDOW_S:
            self._recent.popleft()

    def _seconds(self) -> float:
        return (self._recent[-1][0] - self._recent[0][0]) / CLOCK if self._recent else 0.0

    def _fits(self, size: tuple[int, int], rung: Rung, bps: float) -> bool:
        rate, fps = self.bps, (len(self._recent) - 1) / max(self._seconds(), 1e-9)
        return (
            rate is not None
            and rate <= bps
            and size == (rung.width, rung.height)
            and fps < rung.fps + 1
            and h264.fits(*size, rung.fps)
        )
