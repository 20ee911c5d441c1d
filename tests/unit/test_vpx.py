"""The binding to libvpx: size, quality and rate of what it encodes, and when key frames come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from av import Packet, VideoFrame
from av.video.codeccontext import VideoCodecContext

from kioskd.picture import vpx
from kioskd.picture.coder import Coder
from kioskd.picture.encoded import CLOCK, Encoded
from kioskd.picture.ladder import Rung
from tests.pictures import frame, psnr

FPS = 25
STEP = CLOCK // FPS


def encode(encoder: vpx.Encoder, numbers: Iterable[int]) -> list[Encoded]:
    made = [encoder.encode(frame(n, encoder.width, encoder.height), n * STEP) for n in numbers]
    return [one for one in made if one is not None]


def decode(made: Iterable[Encoded]) -> list[VideoFrame]:
    decoder = VideoCodecContext.create("vp8", "r")
    return [picture for one in made for picture in decoder.decode(Packet(one.data))]


def bits(made: Iterable[Encoded]) -> int:
    return 8 * sum(len(one.data) for one in made)


@pytest.mark.parametrize(("width", "height"), [(320, 240), (240, 136), (640, 480)])
def test_what_is_encoded_is_seen(width: int, height: int) -> None:
    made = encode(vpx.Encoder(width, height, 800_000), range(25))
    assert len(made) == 25
    pictures = decode(made)
    assert {(p.width, p.height) for p in pictures} == {(width, height)}
    assert all(psnr(p, frame(n, width, height)) > 24 for n, p in enumerate(pictures))
    assert psnr(pictures[-1], frame(24, width, height)) > 32


@pytest.mark.parametrize("bps", [100_000, 150_000, 400_000])
def test_the_rate_is_kept_also_when_it_changes_and_no_key_frame_comes_of_it(bps: int) -> None:
    encoder = vpx.Encoder(320, 240, 250_000)
    before = encode(encoder, range(2 * FPS))
    encoder.set_bps(bps)
    settling = encode(encoder, range(2 * FPS, 3 * FPS))
    after = encode(encoder, range(3 * FPS, 7 * FPS))
    assert bits(before) / 2 == pytest.approx(250_000, rel=0.15)
    assert bits(after) / 4 == pytest.approx(bps, rel=0.15)
    assert [n for n, one in enumerate([*before, *settling, *after]) if one.key] == [0]


def test_key_frames_come_on_demand_only_and_do_not_drown_the_line() -> None:
    encoder = vpx.Encoder(320, 240, 150_000)
    made = encode(encoder, range(200))
    assert [one.key for one in made] == [True, *[False] * (len(made) - 1)]
    demanded = encoder.encode(frame(200), 200 * STEP, key=True)
    assert demanded is not None
    assert demanded.key
    assert bits([demanded]) <= 1.25 * vpx.KEY_FRAMES * 150_000 / FPS
    assert len(decode([demanded])) == 1
    assert not any(one.key for one in encode(encoder, range(201, 250)))


def test_too_low_a_rate_leaves_pictures_out() -> None:
    made = encode(vpx.Encoder(640, 480, 20_000), range(100))
    assert len(made) < 90
    assert bits(made) / 4 < 30_000


def test_times_that_do_not_rise_do_no_harm() -> None:
    encoder = vpx.Encoder(320, 240, 300_000)
    made = [encoder.encode(frame(n), at) for n, at in enumerate((0, 0, 90_000, 45_000))]
    assert all(made)


@pytest.mark.parametrize(
    ("width", "height", "bps"),
    [(0, 240, 1e5), (321, 240, 1e5), (320, 5000, 1e5), (320, 240, 0), (320, 240, 1e9)],
)
def test_what_is_out_of_range_is_refused(width: int, height: int, bps: float) -> None:
    with pytest.raises(ValueError, match=r"picture|bit/s"):
        vpx.Encoder(width, height, bps)


def test_a_picture_of_another_kind_is_refused() -> None:
    encoder = vpx.Encoder(320, 240, 100_000)
    for other in (frame(0, 240, 180), frame(0).reformat(format="rgb24")):
        with pytest.raises(ValueError, match="a picture of"):
            encoder.encode(other, 0)


def test_a_library_that_is_missing_or_another_one_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vpx.check()
    with monkeypatch.context() as patch:
        patch.setattr(vpx, "_ABI", vpx._ABI + 1)  # as if ours were a newer one
        with pytest.raises(OSError, match=r"libvpx\.so\.7 v1.* is not the one of libvpx7"):
            vpx.check()
    vpx._library.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(vpx, "LIBRARY", "libvpx-that-is-not-there.so")
            with pytest.raises(OSError, match=r"there\.so of libvpx7 is missing"):
                vpx.check()
    finally:
        vpx._library.cache_clear()
    vpx.check()


def _layout(name: str) -> tuple[int, dict[str, int]]:
    kind: Any = vpx._FFI.typeof(name)
    return vpx._FFI.sizeof(name), {field: at.offset for field, at in kind.fields}


def test_the_layout_is_that_of_the_headers() -> None:
    # By a C program with the headers of libvpx-dev 1.12, on a machine of 64 bits.
    config, at = _layout("vpx_codec_enc_cfg_t")
    assert (config, at["rc_target_bitrate"], at["kf_mode"]) == (504, 112, 160)
    assert _layout("vpx_image_t")[0] == 136
    assert _layout("vpx_codec_ctx_t")[0] == 56
    assert _layout("vpx_codec_cx_pkt_t")[0] == 136


def test_threads_follow_the_size() -> None:
    assert vpx.threads(640, 480, 8) == 1
    assert vpx.threads(1280, 720, 2) == 1
    assert vpx.threads(1280, 720, 4) == 2


def test_the_coder_changes_size_with_a_key_frame_and_rate_without() -> None:
    coder, made = Coder(), []
    for n in range(60):
        rung = Rung(640, 480, 30) if n < 20 or n >= 40 else Rung(320, 240, 30)
        bps = 600_000 if n % 20 < 10 else 500_000
        made.append(coder.encode(frame(n, 640, 480), n * STEP, rung, bps, key=n == 50))
    whole = [one for one in made if one is not None]
    assert len(whole) == 60
    assert [n for n, one in enumerate(whole) if one.key] == [0, 20, 40, 50]
    pictures = decode(whole)
    assert [p.width for p in pictures] == [640] * 20 + [320] * 20 + [640] * 20
    assert all(psnr(p.reformat(640, 480), frame(n, 640, 480)) > 25 for n, p in enumerate(pictures))


def test_the_coder_goes_on_after_what_cannot_be_encoded() -> None:
    coder = Coder()
    assert coder.encode(frame(0), 0, Rung(320, 240, 30), 1e5, key=False)
    with pytest.raises(ValueError, match="bit/s"):
        coder.encode(frame(1), STEP, Rung(320, 240, 30), 1e9, key=False)
    again = coder.encode(frame(2), 2 * STEP, Rung(320, 240, 30), 1e5, key=False)
    assert again is not None
    assert again.key


def test_a_pause_is_not_made_up_for_by_one_large_picture() -> None:
    """Else it has all that its time would have had: 0.5 s of the line at once."""
    encoder = vpx.Encoder(320, 240, 250_000)
    encode(encoder, range(2 * FPS))
    paused = encode(encoder, [2 * FPS + 15])
    assert 0 < bits(paused) <= 1.25 * vpx.KEY_FRAMES * 250_000 / FPS
    encode(encoder, range(2 * FPS + 16, 3 * FPS + 16))
    after = encode(encoder, range(3 * FPS + 16, 5 * FPS + 16))
    assert bits(after) / 2 == pytest.approx(250_000, rel=0.15)


def test_few_pictures_a_second_have_the_whole_rate() -> None:
    encoder = vpx.Encoder(320, 240, 60_000)
    encode(encoder, range(FPS))
    few = encode(encoder, range(FPS, 11 * FPS, 5))
    assert bits(few) / 10 == pytest.approx(60_000, rel=0.2)
