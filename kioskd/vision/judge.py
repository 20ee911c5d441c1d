"""Tells a frozen, black, covered or slow picture from a good one.

The clock is the pictures' own `captured_at`. What is seen must last before it is told and
must be gone for `HEAL_S` before it is taken back, so that a verdict does not flap.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from kioskd.errors import Reason
from kioskd.hal.camera import Frame

LOOK_EVERY_S: Final = 0.5
HEAL_S: Final = 1.0
LASTS_S: Final = {
    Reason.BLACK: 2.0,
    Reason.FROZEN: 3.0,
    Reason.COVERED: 3.0,
    Reason.SLOW: 5.0,
}
"""In the order in which they are told: a black picture is covered as well."""
GRID: Final = (16, 12)
"""Columns and rows of the small picture. At 640x480 each block averages 1,600 pixels, which
brings a dark sensor's noise of 10 levels down to 0.25."""
BLACK_MEAN: Final = 24.0
BLACK_MAX: Final = 40
"""Luma in limited range, where 16 is black. The brightest block counts too: a dark room with
one lamp is no black picture."""
COVERED_DETAIL: Final = 4.0
"""Second difference between blocks, in levels of luma: a hand or tape on the lens gives
shading without edges (vignetting of 40 levels: about 1), a person before a wall tens."""
COVERED_PERCENTILE: Final = 95
"""Edges in a twentieth of the picture are enough to be a scene."""
SLOW_SHARE: Final = 0.8
RATE_WINDOW_S: Final = 1.0


class PictureJudge:
    """Judges the pictures of one opening of the camera, which promised `fps`."""

    def __init__(self, fps: int) -> None:
        self.verdict: Reason | None = None
        self._fps = fps
        self._last = b""
        self._alike_since: float | None = None
        self._looked_at = float("-inf")
        self._rate_from: tuple[int, float] | None = None
        self._slow = False
        self._began: dict[Reason, float] = {}
        self._seen: dict[Reason, float] = {}

    def see(self, frame: Frame) -> Reason | None:
        """Take the next picture and return the verdict on the stream, None for good."""
        now = frame.captured_at
        # A sensor's noise changes some pixel of every picture, also of a still scene.
        if frame.i420 != self._last:
            self._alike_since = None
        elif self._alike_since is None:
            self._alike_since = now
        self._last = frame.i420
        self._measure_rate(frame)
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._look(frame)
        return self.verdict

    def _measure_rate(self, frame: Frame) -> None:
        """Count by `number`, so that pictures a slow caller missed count as delivered."""
        if self._rate_from is None:
            self._rate_from = (frame.number, frame.captured_at)
        number, since = self._rate_from
        seconds = frame.captured_at - since
        if seconds >= RATE_WINDOW_S:
            self._slow = (frame.number - number) / seconds < SLOW_SHARE * self._fps
            self._rate_from = (frame.number, frame.captured_at)

    def _look(self, frame: Frame) -> None:
        now = frame.captured_at
        signs = signs_of(frame)
        if self._alike_since is not None:
            signs.add(Reason.FROZEN)
            self._began.setdefault(Reason.FROZEN, self._alike_since)
        if self._slow:
            signs.add(Reason.SLOW)
        for reason in signs:
            self._began.setdefault(reason, now)
            self._seen[reason] = now
        for reason in list(self._began):
            told = reason is self.verdict
            if reason not in signs and (not told or now - self._seen[reason] >= HEAL_S):
                del self._began[reason]
        lasting = (r for r, t in LASTS_S.items() if r in self._began and now - self._began[r] >= t)
        self.verdict = next(lasting, None)


def signs_of(frame: Frame) -> set[Reason]:
    """Return what one picture alone looks like: BLACK, COVERED, both or neither."""
    data = np.frombuffer(frame.i420, np.uint8, frame.width * frame.height)
    # As floats: rounding the blocks' means to whole levels would look like edges.
    luma = data.reshape(frame.height, frame.width).astype(np.float32)
    small = cv2.resize(luma, GRID, interpolation=cv2.INTER_AREA)
    # Without the rim, where a slope would look like an edge.
    edges = np.abs(cv2.Laplacian(small, cv2.CV_32F))[1:-1, 1:-1]
    signs = set()
    if small.mean() < BLACK_MEAN and small.max() < BLACK_MAX:
        signs.add(Reason.BLACK)
    if np.percentile(edges, COVERED_PERCENTILE) < COVERED_DETAIL:
        signs.add(Reason.COVERED)
    return signs


class Reopenings:
    """How often the camera is opened again for its picture's sake within one visit."""

    WAITS_S: Final = {Reason.FROZEN: (0.0, 5.0, 20.0), Reason.BLACK: (0.0,)}
    """Seconds since the reopening before. Some cameras come up black: once is worth a try.
    A covered lens or a dark room is not mended by opening again."""

    def __init__(self) -> None:
        self._done: dict[Reason, int] = {}
        self._last = float("-inf")

    def due(self, verdict: Reason | None, now: float) -> bool:
        """Tell whether to open again now; yes counts as done."""
        if verdict is None:
            return False
        waits = self.WAITS_S.get(verdict, ())
        done = self._done.get(verdict, 0)
        if done >= len(waits) or now - self._last < waits[done]:
            return False
        self._done[verdict] = done + 1
        self._last = now
        return True
