"""The picture of a call: somebody moves a little before a wall, under a strip that is read back.

What a test picture costs to encode decides what a line can carry, so it is made to weigh what a
webcam's does: texture, a head that moves and talks, and the noise of a sensor. The strip is that
of drivers/camera/picture.py, written anew into each picture that is sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Pictures: TypeAlias = NDArray[np.uint8]
"""I420 pictures: number x (height * 3 / 2) x width."""
Plane: TypeAlias = NDArray[np.float64]

WIDTH: Final = 640
HEIGHT: Final = 480
FPS: Final = 30
COUNT: Final = 60
"""Pictures of the clip; it is played forth and back."""
NOISE: Final = 1.5
"""Standard deviation of the sensor's noise, in steps of 8 bit luma."""


def make(path: Path) -> None:
    """Write the clip as raw I420; the same bytes each time."""
    chance = np.random.default_rng(1)
    wall = 120 + sum(
        (_blotches(chance, size) * weight for size, weight in ((2, 3.0), (8, 9.0), (32, 25.0))),
        start=np.zeros((HEIGHT, WIDTH)),
    )
    face = 165 + 18 * _blotches(chance, 3)
    with path.open("wb") as target:
        for number in range(COUNT):
            target.write(_picture(chance, wall, face, 2 * np.pi * number / COUNT))


def load(path: Path) -> Pictures:
    """Read the clip into memory of one's own, so that strips can be written into it."""
    return np.fromfile(path, np.uint8).reshape(COUNT, HEIGHT * 3 // 2, WIDTH)


def place(number: int) -> int:
    """Return which picture of the clip is shown as the `number`-th of a call."""
    turn = number % (2 * COUNT)
    return turn if turn < COUNT else 2 * COUNT - 1 - turn


def _blotches(chance: np.random.Generator, size: int) -> Plane:
    plain: Plane = cv2.blur(
        cv2.blur(chance.normal(size=(HEIGHT, WIDTH)), (2 * size + 1,) * 2), (2 * size + 1,) * 2
    ).astype(np.float64)
    scaled: Plane = plain / plain.std()
    return scaled


def _picture(chance: np.random.Generator, wall: Plane, face: Plane, turn: float) -> bytes:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    right, down = WIDTH * 0.06 * np.sin(turn), HEIGHT * 0.03 * np.sin(2 * turn)
    middle_x, middle_y = WIDTH * 0.5 + right, HEIGHT * 0.52 + down

    def oval(wide: float, high: float, below: float = 0) -> NDArray[np.bool_]:
        across, along = x - middle_x, y - middle_y - HEIGHT * below
        inside: NDArray[np.bool_] = (across / WIDTH / wide) ** 2 + (along / HEIGHT / high) ** 2 < 1
        return inside

    head, mouth = oval(0.17, 0.34), oval(0.05, 0.01 + 0.02 * abs(np.sin(5 * turn)), 0.15)
    luma = np.where(head, np.roll(face, (int(down), int(right)), (0, 1)), wall)
    luma = np.where(mouth, 60, luma) + chance.normal(0, NOISE, (HEIGHT, WIDTH))
    planes = [np.clip(luma, 16, 235)]
    planes += [np.where(head[::2, ::2], colour, 128) for colour in (110, 150)]
    return b"".join(plane.astype(np.uint8).tobytes() for plane in planes)
