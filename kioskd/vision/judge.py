"""What is wrong with the pictures of a camera that seems to work. Sans-I/O.

    frozen    the picture is the same, bit for bit; a live sensor never is, for it has noise
    black     nothing in it is brighter than black
    covered   nothing in it has an edge: a hand, tape, a cap before the lens
    slow      far fewer pictures than the format has, as cameras give when it is dark

A verdict needs some seconds of it, and stands until the opposite has lasted HEALED_S.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from kioskd.errors import Reason
from kioskd.hal.camera import Frame

LOOK_EVERY_S: Final = 0.5
FROZEN_S: Final = 3.0
BLACK_S: Final = 2.0
COVERED_S: Final = 3.0
SLOW_S: Final = 5.0
HEALED_S: Final = 1.0

BLACK_LUMA: Final = 32
"""Black is 16 in limited range (ITU-T H.273); a capped sensor's noise stays below twice that."""
BLACK_SHARE: Final = 0.995
"""Of the pixels: hot ones shine under any cap."""
SMALL: Final = (160, 120)
"""Width and height of the picture that edges are sought in: the noise of a dark room is averaged
away, the outline of a person is not."""
EDGE: Final = 48
"""Sobel magnitude of an edge, in luma levels per small pixel times eight."""
DIM: Final = 40
"""Mean luma below which no edges mean that it is dark, not that something is in the way."""
EDGE_SHARE: Final = 0.002
"""Less than this share of the small picture's pixels on an edge: there is nothing to be seen. A
face two metres away in a dim room has ten times as many."""
SLOW_BELOW: Final = 0.7
"""Of the format's rate; 15 instead of 30 is what UVC cameras fall to with automatic exposure."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, in figures for the log."""

    reason: Reason
    detail: str


class PictureJudge:
    """Judges the pictures of one opening of a camera with `fps` pictures per second."""

    def __init__(self, fps: int) -> None:
        self.verdict: Verdict | None = None
        """What is wrong; None when all is well, or not yet known."""
        self._fps = fps
        self._looked_at = float("-inf")
        self._checksum: int | None = None
        self._suspect: Verdict | None = None
        self._since = 0.0
        self._well_since: float | None = None
        self._rate: deque[tuple[float, int]] = deque()

    def look(self, frame: Frame) -> bool:
        """Take a picture; return True when `verdict` has changed.

        Every picture is counted, one each LOOK_EVERY_S is looked at: 0.2 ms for 640x480,
        0.5 ms for 1280x720.
        """
        now = frame.captured_at
        self._rate.append((now, frame.number))
        while now - self._rate[0][0] > SLOW_S:
            self._rate.popleft()
        if now - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = now
        return self._weigh(self._suspicion(frame), now)

    def _weigh(self, suspect: Verdict | None, now: float) -> bool:
        """Let a suspicion grow to a verdict, and a verdict pass."""
        before = self.verdict
        if suspect is None:
            self._suspect = None
            if before is None:
                return False
            self._well_since = self._well_since or now
            if now - self._well_since >= HEALED_S:
                self.verdict = None
        else:
            self._well_since = None
            if self._suspect is None or self._suspect.reason is not suspect.reason:
                self._suspect, self._since = suspect, now
            if now - self._since >= _PATIENCE_S[suspect.reason]:
                self.verdict = suspect
        return (before and before.reason) != (self.verdict and self.verdict.reason)

    def _suspicion(self, frame: Frame) -> Verdict | None:
        size = frame.width * frame.height
        checksum = zlib.crc32(memoryview(frame.i420)[:size])
        same, self._checksum = checksum == self._checksum, checksum
        luma = np.frombuffer(frame.i420, np.uint8, size).reshape(frame.height, frame.width)
        small = cv2.resize(luma, SMALL, interpolation=cv2.INTER_AREA)
        dark = float((small < BLACK_LUMA).mean())
        if dark >= BLACK_SHARE:
            return Verdict(Reason.BLACK, f"{dark:.1%} of the picture is black")
        if same:
            return Verdict(Reason.FROZEN, "the same picture, bit for bit")
        edges = _edges(small)
        if edges < EDGE_SHARE and float(small.mean()) >= DIM:
            return Verdict(Reason.COVERED, f"edges in {edges:.2%} of the picture")
        return self._too_slow()

    def _too_slow(self) -> Verdict | None:
        (start, first), (end, last) = self._rate[0], self._rate[-1]
        if end - start < SLOW_S / 2:
            return None
        rate = (last - first) / (end - start)
        if rate >= SLOW_BELOW * self._fps:
            return None
        return Verdict(Reason.SLOW, f"{rate:.0f} of {self._fps} pictures per second")


_PATIENCE_S: Final = {
    Reason.FROZEN: FROZEN_S,
    Reason.BLACK: BLACK_S,
    Reason.COVERED: COVERED_S,
    Reason.SLOW: SLOW_S / 2,
}


def _edges(small: cv2.typing.MatLike) -> float:
    """Return the share of pixels that lie on an edge, 0.0 to 1.0."""
    smooth = cv2.GaussianBlur(small, (5, 5), 0)
    across = cv2.Sobel(smooth, cv2.CV_16S, 1, 0)
    down = cv2.Sobel(smooth, cv2.CV_16S, 0, 1)
    return float((np.abs(across) + np.abs(down) > EDGE).mean())
