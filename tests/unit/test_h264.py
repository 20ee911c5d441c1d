"""H.264 by FFmpeg: size, quality and rate of what it encodes, and when key frames come."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import partial

import pytest
from av import Packet, VideoFrame
from av.video.codeccontext import VideoCodecContext

from kioskd.picture import h264, nal
from kioskd.picture.coder import Coder
from kioskd.picture.encoded import CLOCK, Codec, Encoded
from kioskd.picture.h264 import SOFTWARE, Encoder
from kioskd.picture.ladder import Rung
from tests.pictures import frame, psnr

FPS = 25
STEP = CLOCK // FPS
HARDWARE = dataclasses.replace(SOFTWARE, live=False)
"""As one in hardware is: its rate is that it was opened with."""


def encode(encoder: Encoder, numbers: Iterable[int]) -> list[Encoded]:
    made = [encoder.encode(frame(n, encoder.width, encoder.height), n * STEP) for n in numbers]
    return [one for one in made if one is not None]


def decode(made: Iterable[Encoded]) -> list[VideoFrame]:
    decoder = VideoCodecContext.create("h264", "r")
    decoder.flags |= 1 << 19  # AV_CODEC_FLAG_LOW_DELAY: a picture for each packet
    pictures = [picture for one in made for picture in decoder.decode(Packet(one.data))]
    return pictures + decoder.decode(None)


def bits(made: Iterable[Encoded]) -> int:
    return 8 * sum(len(one.data) for one in made)


@pytest.mark.parametrize(("width", "height"), [(320, 240), (240, 136), (640, 480)])
def test_what_is_encoded_is_seen(width: int, height: int) -> None:
    made = encode(Encoder(SOFTWARE, width, height, 800_000), range(25))
    assert [one.pts for one in made] == [n * STEP for n in range(25)]
    assert {one.codec for one in made} == {Codec.H264}
    pictures = decode(made)
    assert {(p.width, p.height) for p in pictures} == {(width, height)}
    assert len(pictures) == 25
    assert psnr(pictures[-1], frame(24, width, height)) > 32


def test_it_is_of_the_profile_that_is_offered() -> None:
    (made,) = encode(Encoder(SOFTWARE, 640, 480, 800_000), [0])
    sequence = next(one for one in nal.units(made.data) if nal.kind(one) == nal.SEQUENCE)
    assert sequence[1:3].hex() == "42c0"  # constrained: more than 42e0 leaves open


@pytest.mark.parametrize("bps", [100_000, 150_000, 400_000])
def test_the_rate_is_kept_also_when_it_changes_and_no_key_frame_comes_of_it(bps: int) -> None:
    encoder = Encoder(SOFTWARE, 320, 240, 250_000)
    before = encode(encoder, range(3 * FPS))
    encoder.set_bps(bps)
    settling = encode(encoder, range(3 * FPS, 4 * FPS))
    after = encode(encoder, range(4 * FPS, 8 * FPS))
    assert bits(before) / 3 == pytest.approx(250_000, rel=0.15)
    assert bits(after) / 4 == pytest.approx(bps, rel=0.15)
    assert [n for n, one in enumerate([*before, *settling, *after]) if one.key] == [0]


def test_key_frames_come_on_demand_only_and_do_not_drown_the_line() -> None:
    encoder = Encoder(SOFTWARE, 320, 240, 150_000)
    made = encode(encoder, range(300))
    assert [n for n, one in enumerate(made) if one.key] == [0]
    demanded = encoder.encode(frame(300), 300 * STEP, key=True)
    assert demanded is not None
    assert demanded.key
    assert nal.is_key(demanded.data)
    assert bits([demanded]) <= 0.4 * 150_000
    assert len(decode([demanded])) == 1
    assert not any(one.key for one in encode(encoder, range(301, 350)))


def test_a_pause_is_not_made_up_for_by_one_large_picture() -> None:
    encoder = Encoder(SOFTWARE, 320, 240, 250_000)
    encode(encoder, range(2 * FPS))
    paused = encode(encoder, [2 * FPS + 15])
    assert 0 < bits(paused) <= 5 * 250_000 / FPS


def test_too_low_a_rate_leaves_pictures_out() -> None:
    made = encode(Encoder(SOFTWARE, 640, 480, 10_000), range(200))
    assert len(made) < 180
    assert bits(made) / 8 < 15_000


def test_an_encoder_without_live_rates_is_opened_anew_for_much_less_or_more() -> None:
    encoder = Encoder(HARDWARE, 320, 240, 250_000)
    encode(encoder, range(2 * FPS))
    encoder.set_bps(230_000)
    assert not any(one.key for one in encode(encoder, range(2 * FPS, 3 * FPS)))
    encoder.set_bps(100_000)
    less = encode(encoder, range(3 * FPS, 6 * FPS))
    assert [n for n, one in enumerate(less) if one.key] == [0]
    assert 70_000 < bits(less[FPS:]) / 2 < 110_000
    encoder.set_bps(250_000)  # but not often
    more = encode(encoder, range(6 * FPS, 10 * FPS))
    assert [one.pts // STEP for one in more if one.key] == [8 * FPS]


def test_libx264_is_opened_anew_for_far_less_than_at_first_and_goes_no_further_than_its_most() -> (
    None
):
    encoder = Encoder(SOFTWARE, 320, 240, 300_000)
    encode(encoder, range(FPS))
    encoder.set_bps(80_000)
    less = encode(encoder, range(FPS, 4 * FPS))
    assert [n for n, one in enumerate(less) if one.key] == [0]
    assert bits(less[FPS:]) / 2 == pytest.approx(80_000, rel=0.25)
    encoder.set_bps(600_000)
    more = encode(encoder, range(4 * FPS, 7 * FPS))
    assert not any(one.key for one in more)
    assert bits(more[FPS:]) / 2 == pytest.approx(240_000, rel=0.25)


@pytest.mark.parametrize(
    ("width", "height", "bps"),
    [(0, 240, 1e5), (321, 240, 1e5), (1920, 1080, 1e5), (320, 240, 0), (320, 240, 1e9)],
)
def test_what_is_out_of_range_is_refused(width: int, height: int, bps: float) -> None:
    with pytest.raises(ValueError, match=r"picture|bit/s"):
        Encoder(SOFTWARE, width, height, bps)


def test_what_ffmpeg_cannot_encode_is_an_error_and_the_next_begins_anew() -> None:
    encoder = Encoder(h264.V4L2, 320, 240, 1e5)
    for _ in range(2):
        with pytest.raises(ValueError, match="h264_v4l2m2m"):
            encoder.encode(frame(0), 0)


def test_level_3_1_bounds_size_and_frame_rate() -> None:
    assert h264.fits(1280, 720, 30)
    assert not h264.fits(1280, 720, 31)
    assert not h264.fits(1440, 1080, 24)


def test_ffmpeg_tells_what_it_has() -> None:
    assert h264.is_built_in("libx264")
    assert not h264.is_built_in("h264_of_tomorrow")


def test_the_coder_changes_size_with_a_key_frame_and_rate_without() -> None:
    coder, made = Coder(partial(Encoder, SOFTWARE)), []
    for n in range(60):
        rung = Rung(640, 480, 30) if n < 20 or n >= 40 else Rung(320, 240, 30)
        bps = 600_000 if n % 20 < 10 else 500_000
        made.append(coder.encode(frame(n, 640, 480), n * STEP, rung, bps, key=n == 50))
    whole = [one for one in made if one is not None]
    assert [one.pts // STEP for one in whole if one.key] == [0, 20, 40, 50]
    assert {p.width for p in decode(whole)} == {640, 320}
