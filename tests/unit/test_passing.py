"""When what the camera has coded is sent, and when it is not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from kioskd.picture import nal
from kioskd.picture.encoded import CLOCK, Codec, Encoded
from kioskd.picture.ladder import Rung
from kioskd.picture.passing import REST_S, FromCamera, Passing

FPS, BPS = 30, 240_000
SIZE, FULL = (640, 480), Rung(640, 480, 30)
SETS = [b"\x67\x42\xe0\x1f\x01", b"\x68\xce\x01"]
KEY_EVERY = 30


class Camera:
    """Codes pictures, each KEY_EVERY-th a key one; its parameter sets come once."""

    def __init__(self, bps: int = BPS, profile: int = nal.BASELINE) -> None:
        self._numbers = count()
        self.bps = bps
        self._sets = [bytes([0x67, profile]) + SETS[0][2:], SETS[1]]

    def picture(self) -> FromCamera:
        number = next(self._numbers)
        key = number % KEY_EVERY == 0
        body = (b"\x65" if key else b"\x41") + b"p" * (self.bps // FPS // 8)
        units = [*self._sets, body] if number == 0 else [body]
        pts = number * CLOCK // FPS
        return FromCamera(number, Encoded(nal.stream(units), key, pts, Codec.H264))


class Stand:
    """A camera, and whether each of its pictures is sent."""

    def __init__(self, camera: Camera | None = None) -> None:
        self.camera = camera or Camera()
        self.passing = Passing()
        self.room = 2.0 * BPS

    def sends(
        self, pictures: int, rung: Rung = FULL, *, key: bool = False
    ) -> Iterator[tuple[int, list[Encoded]]]:
        for _ in range(pictures):
            one = self.camera.picture()
            yield one.number, self.passing.take([one], SIZE, rung, self.room, key=key)

    def sent(self, pictures: int, rung: Rung = FULL, *, key: bool = False) -> list[int]:
        return [n for n, some in self.sends(pictures, rung, key=key) if some]


def test_what_fits_is_sent_from_a_key_picture_on() -> None:
    stand = Stand()
    assert stand.sent(120) == list(range(30, 120))  # a second is measured first
    assert stand.passing.bps == pytest.approx(BPS, rel=0.05)


def test_a_key_picture_comes_with_the_parameter_sets_that_the_camera_gave_once() -> None:
    stand = Stand()
    sent = [some[0] for _, some in stand.sends(120) if some]
    assert sent[0].key
    assert [nal.kind(unit) for unit in nal.units(sent[0].data)] == [7, 8, 5]
    assert [nal.kind(unit) for unit in nal.units(sent[1].data)] == [1]


@pytest.mark.parametrize(
    "rung", [Rung(480, 360, 30), Rung(640, 480, 24)], ids=["smaller", "slower"]
)
def test_what_is_to_be_smaller_or_slower_is_not_sent(rung: Rung) -> None:
    stand = Stand()
    assert stand.sent(120, rung) == []
    stand = Stand()
    assert stand.sent(100)
    assert stand.sent(100, rung) == []


def test_what_is_more_than_the_line_has_is_not_sent_and_not_tried_again_soon() -> None:
    stand = Stand()
    stand.room = 0.9 * BPS
    assert stand.sent(120) == []
    stand.room = 2 * BPS
    assert stand.sent(60)
    stand.room = 0.5 * BPS
    assert stand.sent(10) == []
    stand.room = 2 * BPS
    again = stand.sent(round(3 * REST_S * FPS))
    assert again[0] >= 180 + REST_S * FPS
    assert again[0] % KEY_EVERY == 0


def test_over_a_gap_nothing_is_sent_until_the_next_key_picture() -> None:
    stand = Stand()
    assert stand.sent(95)
    stand.camera.picture()
    assert stand.sent(60) == list(range(120, 156))


def test_a_key_picture_that_is_asked_for_is_not_the_cameras() -> None:
    stand = Stand()
    assert stand.sent(95)
    assert stand.sent(1, key=True) == []
    assert stand.sent(60) == list(range(120, 156))
    # Unless it has one just then.
    stand.sent(24)
    assert stand.sent(1, key=True) == [180]


def test_what_waits_for_long_is_not_sent() -> None:
    stand = Stand()
    assert stand.sent(95)
    some = [stand.camera.picture() for _ in range(5)]
    assert len(stand.passing.take(some, SIZE, FULL, stand.room, key=False)) == 5
    many = [stand.camera.picture() for _ in range(40)]
    assert stand.passing.take(many, SIZE, FULL, stand.room, key=False) == []


def test_another_profile_than_is_offered_is_not_sent() -> None:
    assert Stand(Camera(profile=100)).sent(120) == []


def test_a_camera_that_stops_coding_is_left() -> None:
    stand = Stand()
    assert stand.sent(95)
    assert stand.passing.take([], SIZE, FULL, stand.room, key=False) == []
    assert not stand.passing.on
