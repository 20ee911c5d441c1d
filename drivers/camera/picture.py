"""The test picture: moving, readable by people and by programs.

The strip at the top is 2 rows of 24 blocks and holds 48 bits. In a picture of W x H
pixels, in fractions so that it survives any scaling:

    row r (0 or 1)        from y = r * H/16 to (r + 1) * H/16
    block c (0 to 23)     from x = c * W/24 to (c + 1) * W/24
    bit i                 row i // 24, block i % 24
    bits 0 to 15          the frame's number modulo 2**16, most significant bit first
    bits 16 to 47         Unix time in milliseconds modulo 2**32, most significant first
    1                     light, Y = 225;  0: dark, Y = 24 (limited range)

To read, average the middle half of each block in both directions: above 125 is 1. On
a canvas, where the range is full, the same threshold holds for any of R, G, B: the
strip is grey (U = V = 128).
"""

from __future__ import annotations

import time
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[np.uint8]

COLUMNS: Final = 24
ROWS: Final = 2
ROW_FRACTION: Final = 16
LIGHT: Final = 225
DARK: Final = 24
THRESHOLD: Final = 125
_GREY: Final = 128
_COUNTER_BITS: Final = 16
_TIME_BITS: Final = 32


def draw(y: Plane, number: int, unix_ms: int) -> None:
    """Write the strip into the luma plane `y` (height x width)."""
    value = (number % (1 << _COUNTER_BITS)) << _TIME_BITS | unix_ms % (1 << _TIME_BITS)
    for bit in range(ROWS * COLUMNS):
        top, bottom, left, right = _block(y, bit)
        light = value >> (ROWS * COLUMNS - 1 - bit) & 1
        y[top:bottom, left:right] = LIGHT if light else DARK


def read(y: Plane) -> tuple[int, int]:
    """Return (number modulo 2**16, Unix milliseconds modulo 2**32) from a luma plane."""
    value = 0
    for bit in range(ROWS * COLUMNS):
        top, bottom, left, right = _block(y, bit)
        high, wide = (bottom - top) // 4, (right - left) // 4
        middle = y[top + high : bottom - high, left + wide : right - wide]
        value = value << 1 | int(middle.mean() > THRESHOLD)
    return value >> _TIME_BITS, value % (1 << _TIME_BITS)


def _block(y: Plane, bit: int) -> tuple[int, int, int, int]:
    height, width = y.shape
    row, column = divmod(bit, COLUMNS)
    return (
        round(row * height / ROW_FRACTION),
        round((row + 1) * height / ROW_FRACTION),
        round(column * width / COLUMNS),
        round((column + 1) * width / COLUMNS),
    )


class Painter:
    """Paints the test picture in one size (both even)."""

    def __init__(self, width: int, height: int) -> None:
        self._width = width
        self._height = height
        self._still = np.full((height * 3 // 2, width), _GREY, np.uint8)
        self._still[:height] = np.linspace(60, 170, width, dtype=np.uint8)

    def paint(self, number: int, unix_ms: int) -> bytes:
        """Return picture `number` in I420: strip, time, number, and a ball that moves."""
        width, height = self._width, self._height
        picture = self._still.copy()
        y = picture[:height]
        radius = max(2, height // 12)
        x = radius + number * 4 % max(1, width - 2 * radius)
        cv2.circle(y, (x, height * 3 // 4), radius, 200, -1)
        quarter = width * height // 4
        chroma = picture[height:].reshape(-1)
        for plane, value in ((chroma[:quarter], 90), (chroma[quarter:], 210)):
            half = plane.reshape(height // 2, width // 2)
            cv2.circle(half, (x // 2, height * 3 // 8), radius // 2, value, -1)
        clock = time.strftime("%H:%M:%S", time.localtime(unix_ms / 1000))
        text = f"{clock}.{unix_ms % 1000:03d}  {number}"
        scale = width / 640
        at = (width // 16, height // 2)
        cv2.putText(y, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 235, max(1, round(2 * scale)))
        draw(y, number, unix_ms)
        return picture.tobytes()
