"""The bench's measures of pictures, of lip-sync and of recovery, each against a known input."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext

from bench.lines import clip, recovery
from bench.lines.picture import Sight, lip_sync, measure, sights
from bench.lines.recording import Shown
from bench.lines.senses import CHUNK_S, Senses
from bench.lines.sound import Moment
from bench.lines.speech import round_from, speech
from drivers.camera.picture import draw, read
from kioskd.hal.microphone import CHUNK_SAMPLES

T0 = 1_700_000_000.0


def _call(
    seconds: float, *, fps: float = 30, delay_s: float = 0.1
) -> tuple[list[Shown], dict[int, int]]:
    shown, painted = [], {}
    for number in range(round(seconds * fps)):
        at = T0 + number / fps
        painted[number] = round(at * 1000) % 2**32
        shown.append(Shown(at + delay_s, number, painted[number], 640, 480))
    return shown, painted


def test_a_smooth_picture() -> None:
    quality = measure(*_call(10), T0 + 1, T0 + 9)
    assert quality.fps == pytest.approx(30, abs=0.2)
    assert quality.freezes == quality.long_freezes == quality.unreadable == 0
    assert quality.frozen_s == 0
    assert quality.delay_p50 == pytest.approx(0.1, abs=0.002)
    assert quality.delay_p95 == pytest.approx(0.1, abs=0.002)
    assert quality.size == (640, 480)


def test_a_dead_picture_is_a_freeze() -> None:
    shown, painted = _call(10)
    dead = [one for one in shown if one.at < T0 + 4]
    quality = measure(dead, painted, T0 + 1, T0 + 9)
    assert quality.freezes == quality.long_freezes == 1
    assert quality.longest_s == pytest.approx(5, abs=0.05)
    assert measure([], painted, T0 + 1, T0 + 9).frozen_s == 8
    assert measure([], painted, T0 + 1, T0 + 9).delay_p50 is None


def test_a_picture_that_repeats_itself_is_a_freeze() -> None:
    shown, painted = _call(10)
    stuck = [one for one in shown if one.at < T0 + 4]
    stuck += [Shown(one.at, 100, painted[100], 640, 480) for one in shown if one.at >= T0 + 4]
    quality = measure(stuck, painted, T0 + 1, T0 + 9)
    assert quality.long_freezes == 1
    assert quality.fps == pytest.approx(30 * 3 / 8, abs=0.3)


def test_short_and_long_gaps_are_told_apart() -> None:
    shown, painted = _call(10)
    kept = [
        one
        for one in shown
        if not (
            T0 + 2 < one.at < T0 + 2.3 or T0 + 5 < one.at < T0 + 6.5 or T0 + 7 < one.at < T0 + 7.1
        )
    ]
    quality = measure(kept, painted, T0 + 1, T0 + 9)
    assert (quality.freezes, quality.long_freezes) == (2, 1)
    assert quality.frozen_s == pytest.approx(1.8, abs=0.15)


def test_a_picture_nobody_painted_is_unreadable() -> None:
    shown, painted = _call(10)
    broken = [Shown(one.at, one.number ^ 1, one.painted_ms, 640, 480) for one in shown]
    quality = measure(broken, painted, T0 + 1, T0 + 9)
    assert quality.fps == 0
    assert quality.unreadable == 240


def test_five_of_a_hundred_pictures_lost() -> None:
    shown, painted = _call(20)
    quality = measure([s for s in shown if s.number % 20], painted, T0 + 1, T0 + 19)
    assert quality.fps == pytest.approx(28.5, abs=0.2)


def test_the_clock_may_wrap() -> None:
    shown = [Shown(4294967.296 + 0.05, 7, 2**32 - 50, 640, 480)]
    assert [one.delay for one in sights(shown, {7: 2**32 - 50})] == pytest.approx([0.1])


def test_sound_that_is_late_is_measured_as_late() -> None:
    new = sights(*_call(10, delay_s=0.08))
    moments = [Moment(T0 + 1 + n / 10, 0.2) for n in range(50)]
    assert lip_sync(moments, new) == pytest.approx([0.12] * 50, abs=0.002)
    assert lip_sync([Moment(T0 + 2, None)], new) == []
    assert lip_sync(moments, []) == []


def _moments(*bad: tuple[float, float, float | None]) -> list[Moment]:
    found = []
    for number in range(200):
        at, delay = T0 + number / 10, 0.1
        moment = Moment(at, delay)
        for begin, end, other in bad:
            if begin <= at - T0 < end:
                moment = Moment(at, other)
        found.append(moment)
    return found


def test_sound_recovers_when_it_is_back_and_no_later_than_before() -> None:
    moments = _moments((8, 11, None), (11, 13, 0.35), (13, 20, 0.15))
    assert recovery.sound(moments, T0 + 8, T0 + 11, T0 + 20) == pytest.approx(2, abs=0.15)
    assert recovery.sound(_moments(), T0 + 8, T0 + 8, T0 + 20) == 0
    assert recovery.sound(_moments((8, 20, 0.4)), T0 + 8, T0 + 8, T0 + 20) is None
    assert recovery.sound(_moments((0, 20, None)), T0 + 8, T0 + 8, T0 + 20) is None


def test_a_picture_recovers_when_it_moves_for_good() -> None:
    def seen(*gaps: tuple[float, float]) -> list[Sight]:
        times = [T0 + n / 30 for n in range(600)]
        return [Sight(at, 0.1) for at in times if not any(a < at - T0 < b for a, b in gaps)]

    assert recovery.picture(seen(), T0 + 8, T0 + 20) == 0
    assert recovery.picture(seen((7, 10.5)), T0 + 8, T0 + 20) == pytest.approx(2.5, abs=0.15)
    twice = seen((7, 10.5), (11, 12))
    assert recovery.picture(twice, T0 + 8, T0 + 20) == pytest.approx(4, abs=0.15)
    assert recovery.picture(seen((7, 20)), T0 + 8, T0 + 20) is None


async def test_a_late_listener_loses_the_oldest_and_not_the_time(tmp_path: Path) -> None:
    clip.make(tmp_path / "clip")
    senses = Senses(tmp_path / "clip")
    first = await senses.chunk()
    await asyncio.sleep(0.5)
    later = await senses.chunk()
    chunks = round((later.captured_at - first.captured_at) / CHUNK_S)
    assert chunks >= 14  # 0.5 s later, of which 0.2 s may wait
    wanted = round_from(speech(), chunks * CHUNK_SAMPLES, CHUNK_SAMPLES)
    assert later.pcm == wanted.tobytes()


async def test_the_kiosk_sees_from_a_key_frame_on(tmp_path: Path) -> None:
    clip.make(tmp_path / "clip")
    senses = Senses(tmp_path / "clip")
    encoder = av.CodecContext.create("libvpx", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = clip.WIDTH, clip.HEIGHT, "yuv420p"
    encoder.time_base = Fraction(1, clip.FPS)
    encoder.options = {"deadline": "realtime", "lag-in-frames": "0"}
    packets = []
    for number in range(4):
        taken = await senses.frame()
        planes = np.frombuffer(taken.i420, np.uint8).reshape(-1, clip.WIDTH)
        picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        picture.pts = number
        packets += [(bytes(one), one.is_keyframe) for one in encoder.encode(picture)]
    assert [key for _, key in packets] == [True, False, False, False]
    assert not senses.show_encoded(*packets[1])
    assert [senses.show_encoded(*one) for one in packets[:3]] == [True] * 3
    assert not senses.show_encoded(b"\x01", False)
    assert not senses.show_encoded(*packets[3])
    recording = senses.recording([])
    assert [recording.painted[one.number] for one in recording.shown] == [
        one.painted_ms for one in recording.shown
    ]
    assert len(recording.shown) == 3
    assert (recording.shown[0].width, recording.shown[0].height) == (clip.WIDTH, clip.HEIGHT)


def test_the_clip_is_the_same_each_time_and_carries_a_strip(tmp_path: Path) -> None:
    clip.make(tmp_path / "one")
    clip.make(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    pictures = clip.load(tmp_path / "one")
    luma = pictures[clip.place(70)][: clip.HEIGHT]
    draw(luma, 70, 123_456)
    assert read(luma) == (70, 123_456)
    differences = np.abs(pictures[10].astype(int) - pictures[11]).mean()
    assert 1 < differences < 20  # it moves, and is no noise alone
    assert [clip.place(n) for n in (0, 59, 60, 119, 120)] == [0, 59, 59, 0, 0]
