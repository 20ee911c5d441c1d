"""The judge of pictures, on made pictures with a sensor's noise, as JPEG too."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kioskd.errors import Reason
from kioskd.hal.camera import Frame
from kioskd.vision.judge import PictureJudge, Reopenings

WIDTH, HEIGHT, FPS = 640, 480, 30
Luma = NDArray[np.float64]


def room(light: float = 1.0) -> Luma:
    """A person's head and shoulders before a wall with a door."""
    y = np.full((HEIGHT, WIDTH), 150.0)
    y[:, 480:600] = 90
    cv2.ellipse(y, (300, 420), (170, 130), 0, 0, 360, 60, -1)
    cv2.ellipse(y, (300, 200), (80, 110), 0, 0, 360, 180, -1)
    lit: Luma = 16 + (y - 16) * light
    return lit


def gradient() -> Luma:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    shade: Luma = 40 + 40 * np.hypot(rows / HEIGHT - 0.5, columns / WIDTH - 0.5)
    return shade


def flat(level: float) -> Luma:
    return np.full((HEIGHT, WIDTH), level)


def frame(luma: Luma, number: int, fps: float = FPS, jpeg: bool = False) -> Frame:
    y = np.clip(luma, 16, 235).astype(np.uint8)
    if jpeg:
        coded = cv2.imencode(".jpg", y, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        decoded = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
        assert decoded is not None
        y = decoded.astype(np.uint8)
    i420 = y.tobytes() + bytes([128]) * (y.size // 2)
    return Frame(WIDTH, HEIGHT, i420, number, number / fps)


def noisy(scene: Luma, sigma: float, jpeg: bool = False) -> Callable[[int], Frame]:
    made = np.random.default_rng(3)
    some = [scene + made.normal(0, sigma, scene.shape) for _ in range(4)]
    return lambda number: frame(some[number % 4], number, jpeg=jpeg)


def verdicts(
    judge: PictureJudge, picture: Callable[[int], Frame], first: int, last: int
) -> list[Reason | None]:
    return [judge.see(picture(number)) for number in range(first, last)]


@pytest.mark.parametrize("jpeg", [False, True])
@pytest.mark.parametrize(
    ("scene", "sigma", "expected"),
    [
        (room(), 2.0, None),
        (room(0.2), 8.0, None),
        (flat(17), 4.0, Reason.BLACK),
        (flat(120), 3.0, Reason.COVERED),
        (gradient(), 10.0, Reason.COVERED),
        (flat(225), 2.0, Reason.COVERED),
    ],
)
def test_scenes(scene: Luma, sigma: float, expected: Reason | None, jpeg: bool) -> None:
    found = verdicts(PictureJudge(FPS), noisy(scene, sigma, jpeg), 0, 5 * FPS)
    assert set(found[: FPS + FPS // 2]) == {None}, "nothing is told before it has lasted"
    assert found[-1] is expected
    if expected is None:
        assert set(found) == {None}


def test_a_frozen_picture_is_told_after_three_seconds_and_heals() -> None:
    judge = PictureJudge(FPS)
    live = noisy(room(), 1.0)
    assert set(verdicts(judge, live, 0, 3 * FPS)) == {None}
    still = room()
    frozen = verdicts(judge, lambda number: frame(still, number), 3 * FPS, 8 * FPS)
    assert frozen[int(2.5 * FPS)] is None
    assert set(frozen[4 * FPS :]) == {Reason.FROZEN}
    healed = verdicts(judge, live, 8 * FPS, 11 * FPS)
    assert healed[-1] is None
    assert healed == sorted(healed, key=lambda one: one is None), "it does not flap"


def test_one_changed_pixel_is_no_frozen_picture() -> None:
    def picture(number: int) -> Frame:
        scene = room()
        scene[number % HEIGHT, 7] += 2
        return frame(scene, number)

    assert set(verdicts(PictureJudge(FPS), picture, 0, 6 * FPS)) == {None}


def test_half_the_frames_are_slow_but_a_slow_reader_is_not() -> None:
    some = [room() + np.random.default_rng(n).normal(0, 2, (HEIGHT, WIDTH)) for n in range(4)]

    def dark(number: int) -> Frame:
        return frame(some[number % 4], number, 15)

    found = verdicts(PictureJudge(FPS), dark, 0, 15 * 9)
    assert found[15 * 4] is None
    assert found[-1] is Reason.SLOW
    reader = PictureJudge(FPS)
    assert {reader.see(frame(some[n // 3 % 4], n)) for n in range(0, 9 * FPS, 3)} == {None}


def test_a_hand_that_passes_is_not_told() -> None:
    judge = PictureJudge(FPS)
    live, hand = noisy(room(), 2.0), noisy(flat(60), 2.0)
    found = verdicts(judge, lambda n: hand(n) if n // FPS % 4 < 2 else live(n), 0, 20 * FPS)
    assert set(found) == {None}


def test_reopening_is_bounded() -> None:
    often = Reopenings()
    times = [t for t in range(300) if often.due(Reason.FROZEN, float(t))]
    assert times == [0, 5, 25]
    assert not often.due(None, 400)
    assert [often.due(Reason.BLACK, 400), often.due(Reason.BLACK, 900)] == [True, False]
    assert not often.due(Reason.COVERED, 900)
    assert not often.due(Reason.SLOW, 900)
