"""A picture with texture, a thing that moves, and a sensor's noise; the same each time."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

Planes = NDArray[np.uint8]


@cache
def _wall(width: int, height: int) -> NDArray[np.float64]:
    chance = np.random.default_rng(1)
    rough = cv2.blur(chance.normal(size=(height, width)), (9, 9))
    return np.asarray(120 + 25 * rough / rough.std(), np.float64)


def planes(number: int, width: int = 320, height: int = 240) -> Planes:
    """Return the I420 planes of the `number`-th picture, (height * 3 / 2) x width."""
    picture = np.full((height * 3 // 2, width), 128, np.uint8)
    luma = _wall(width, height).copy()
    side = height // 3
    left = 4 * number % (width - side)
    luma[side : 2 * side, left : left + side] += 60
    luma += np.random.default_rng(number).normal(size=luma.shape)
    picture[:height] = luma.clip(0, 255)
    return picture


def frame(number: int, width: int = 320, height: int = 240) -> VideoFrame:
    """Return it as a frame, without a time."""
    return VideoFrame.from_ndarray(planes(number, width, height), format="yuv420p")


def psnr(one: VideoFrame, two: VideoFrame) -> float:
    """Return how alike two pictures' luma is, in dB; 30 and more looks well."""
    luma = [f.to_ndarray()[: f.height].astype(float) for f in (one, two)]
    return float(10 * np.log10(255**2 / max(np.mean((luma[0] - luma[1]) ** 2), 1e-9)))
