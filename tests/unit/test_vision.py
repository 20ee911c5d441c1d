"""The judge of pictures, on pictures that are made: rooms, hands, caps, walls of noise."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import av
import cv2
import numpy as np
import pytest

from kioskd.errors import Reason
from kioskd.hal.camera import Frame
from kioskd.vision.judge import HEALED_S, PictureJudge

WIDTH, HEIGHT, FPS = 640, 480, 30
Luma = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Scene = Callable[[int], Luma]
"""The picture of a number."""


def room(light: float = 1.0, noise: float = 3.0, *, moves: bool = False) -> Scene:
    """Somebody who sits before a wall with a door, with a sensor's noise."""
    canvas = np.full((HEIGHT, WIDTH), 120, np.float32)
    canvas[:, :200], canvas[300:, :] = 90, 70
    cv2.ellipse(canvas, (330, 420), (150, 120), 0, 0, 360, 50, -1)
    cv2.ellipse(canvas, (330, 220), (70, 95), 0, 0, 360, 160, -1)
    for eye in (305, 355):
        cv2.circle(canvas, (eye, 200), 8, 60, -1)
    still = cv2.GaussianBlur(16 + (canvas - 16) * light, (5, 5), 0)

    def paint(number: int) -> Luma:
        seen = np.roll(still, number % 5, axis=1) if moves else still
        return _noisy(seen, noise, number)

    return paint


def hand(number: int) -> Luma:
    """A hand before the lens: a glow, brighter to one side, and no edge."""
    glow = np.full((HEIGHT, WIDTH), 60, np.float32) + np.linspace(0, 40, WIDTH)
    return _noisy(glow, 4, number)


def cap(number: int) -> Luma:
    """A cap on the lens: the sensor's noise, and two hot pixels."""
    picture = _noisy(np.full((HEIGHT, WIDTH), 16, np.float32), 5, number)
    picture[100, 100] = picture[300, 500] = 235
    return picture


def _noisy(picture: cv2.typing.MatLike, by: float, seed: int) -> Luma:
    noise = np.random.default_rng(seed).normal(0, by, picture.shape)
    seen: Luma = np.clip(picture + noise, 16, 235).astype(np.uint8)
    return seen


def frame(luma: Luma, number: int, at: float) -> Frame:
    grey = bytes([128]) * (WIDTH * HEIGHT // 2)
    return Frame(WIDTH, HEIGHT, luma.tobytes() + grey, number, at)


class Film:
    """Shows scenes to a judge; a look each half second, all pictures counted by number."""

    def __init__(self) -> None:
        self.judge = PictureJudge(FPS)
        self.now = 100.0
        self.number = 0

    def show(self, scene: Scene, seconds: float, fps: float = FPS) -> Iterator[Reason | None]:
        """Yield the verdict after each look."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            self.number += round(fps / 2)
            self.judge.look(frame(scene(self.number), self.number, self.now))
            verdict = self.judge.verdict
            yield None if verdict is None else verdict.reason


@pytest.mark.parametrize(
    "scene",
    [room(), room(moves=True), room(0.3, 6), room(0.1, 8), room(noise=1)],
    ids=["still", "moving", "dim", "night", "little noise"],
)
def test_a_room_is_a_room(scene: Scene) -> None:
    assert set(Film().show(scene, 12)) == {None}


@pytest.mark.parametrize(
    ("scene", "reason", "within_s"),
    [
        (lambda _: room()(7), Reason.FROZEN, 4.5),
        (cap, Reason.BLACK, 3.0),
        (hand, Reason.COVERED, 4.5),
    ],
    ids=["frozen", "black", "covered"],
)
def test_what_is_wrong_is_found_and_passes(scene: Scene, reason: Reason, within_s: float) -> None:
    film = Film()
    assert set(film.show(room(), 5)) == {None}
    found = list(film.show(scene, within_s))
    assert found[-1] is reason
    assert set(found[:2]) == {None}, "not at once"
    assert set(film.show(scene, 5)) == {reason}, "it stands"
    assert list(film.show(room(), HEALED_S + 1))[-1] is None


def test_half_the_pictures_are_slow() -> None:
    film = Film()
    assert set(film.show(room(moves=True), 10)) == {None}
    assert list(film.show(room(moves=True), 9, fps=15))[-1] is Reason.SLOW
    assert list(film.show(room(moves=True), 9))[-1] is None


def test_a_moment_is_no_verdict() -> None:
    film = Film()
    for _ in range(6):
        assert set(film.show(hand, 1)) == {None}
        assert set(film.show(room(), 1)) == {None}


def test_a_jpeg_of_a_still_scene_is_not_frozen() -> None:
    """MJPEG smooths noise away; what is left must be enough."""
    paint = room(noise=1.5)
    assert set(Film().show(lambda number: _through_jpeg(paint(number)), 10)) == {None}


def _through_jpeg(luma: Luma) -> Luma:
    file = io.BytesIO()
    with av.open(file, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        planes = np.vstack([luma, np.full((HEIGHT // 2, WIDTH), 128, np.uint8)])
        for packet in stream.encode(av.VideoFrame.from_ndarray(planes, "yuv420p")):
            container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    file.seek(0)
    with av.open(file, "r", format="mjpeg") as source:
        decoded = next(source.decode(video=0)).reformat(format="gray")
    return np.ascontiguousarray(decoded.to_ndarray())
