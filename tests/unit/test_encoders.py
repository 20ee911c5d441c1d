"""The choice of the encoder, and one in a process of its own that works, hangs and crashes.

libx264 stands for the hardware; the process, the probe and the shared memory are the real ones.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from av import Packet
from av.video.codeccontext import VideoCodecContext

from kioskd.call import encoders as choice
from kioskd.call.aside import Aside
from kioskd.call.coding import LegCoder
from kioskd.call.encoders import Encoders
from kioskd.errors import DeviceError, Reason
from kioskd.picture import h264
from kioskd.picture.encoded import CLOCK, Codec, Encoded, Encoding
from kioskd.picture.ladder import Rung
from tests.pictures import frame, psnr

STEP = CLOCK // 30
RUNG = Rung(320, 240, 30)


@pytest.fixture
def built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let FFmpeg have all encoders that are asked for."""
    monkeypatch.setattr(h264, "is_built_in", lambda _: True)


@pytest.fixture
async def hardware(built_in: None) -> AsyncIterator[Encoders]:
    del built_in
    one = Encoders(Encoding.AUTO, {Encoding.H264_VAAPI: lambda: [h264.SOFTWARE]})
    await one.look()
    yield one
    await one.close()


async def ready(coder: LegCoder) -> Aside:
    aside = coder._aside
    assert isinstance(aside, Aside)
    assert aside._starting is not None
    await aside._starting
    assert aside.ready
    return aside


async def encode(coder: LegCoder, numbers: range) -> list[Encoded]:
    work = [
        await coder.encode(frame(n, 640, 480), n * STEP, RUNG, 400_000, key=False) for n in numbers
    ]
    return [one for one in work if one is not None]


async def test_hardware_that_works_is_used(hardware: Encoders) -> None:
    assert hardware.used == "libx264"
    assert not hardware.trouble
    coder = hardware.coder()
    assert coder.offers_h264
    coder.takes_h264 = lambda: True
    aside = await ready(coder)
    made = await encode(coder, range(20))
    assert {one.codec for one in made} == {Codec.H264}
    assert [one.pts for one in made] == [n * STEP for n in range(20)]
    assert [one.key for one in made] == [True] + [False] * 19
    decoder = VideoCodecContext.create("h264", "r")
    pictures = [p for one in made for p in decoder.decode(Packet(one.data))]
    pictures += decoder.decode(None)
    assert psnr(pictures[-1].reformat(640, 480), frame(19, 640, 480)) > 25
    coder.close()
    await aside.stop()
    assert aside.pid is None
    assert aside.ended


async def test_who_takes_no_h264_gets_vp8(hardware: Encoders) -> None:
    coder = hardware.coder()
    await ready(coder)
    assert {one.codec for one in await encode(coder, range(3))} == {Codec.VP8}
    coder.close()


async def test_until_its_process_is_there_pictures_are_vp8(hardware: Encoders) -> None:
    coder = hardware.coder()
    coder.takes_h264 = lambda: True
    first = await encode(coder, range(2))
    await ready(coder)
    then = await encode(coder, range(2, 4))
    assert [(one.codec, one.key) for one in first + then] == [
        (Codec.VP8, True),
        (Codec.VP8, False),
        (Codec.H264, True),
        (Codec.H264, False),
    ]
    coder.close()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["crashes", "hangs"])
async def test_one_that_fails_in_a_call_is_left_alone(
    hardware: Encoders, end: signal.Signals
) -> None:
    coder = hardware.coder()
    coder.takes_h264 = lambda: True
    aside = await ready(coder)
    await encode(coder, range(3))
    assert aside.pid is not None
    os.kill(aside.pid, end)
    then = await encode(coder, range(3, 6))
    assert [(one.codec, one.key) for one in then] == [(Codec.VP8, True), *[(Codec.VP8, False)] * 2]
    assert "libx264" in hardware.trouble
    assert hardware.used == "libvpx"
    assert not hardware.coder().offers_h264
    coder.close()


async def test_hardware_that_gives_no_picture_is_not_used(built_in: None) -> None:
    del built_in
    # There is no such device here: FFmpeg says so in the process, and the next one is tried.
    find: Callable[[], list[h264.Kind]] = partial(list, [h264.V4L2, h264.SOFTWARE])
    one = Encoders(Encoding.H264_V4L2M2M, {Encoding.H264_V4L2M2M: find})
    await one.look()
    assert one.used == "libx264"
    one = Encoders(Encoding.H264_V4L2M2M, {Encoding.H264_V4L2M2M: lambda: [h264.V4L2]})
    await one.look()
    assert one.used == "libvpx"
    assert one.trouble.startswith("h264_v4l2m2m: io-error")


async def test_one_that_dies_while_it_is_tried_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    aside = Aside(h264.SOFTWARE)
    with monkeypatch.context() as patch:
        patch.setattr(aside._worker, "_target", "os:abort")
        with pytest.raises(DeviceError) as raised:
            await aside.prove()
    assert raised.value.reason is Reason.CRASHED
    await aside.stop()


async def test_what_is_wanted_and_not_there_is_told_and_auto_is_content(tmp_path: Path) -> None:
    nothing = {Encoding.H264_V4L2M2M: lambda: choice.v4l2(tmp_path)}
    for wanted, trouble in (
        (Encoding.AUTO, ""),
        (Encoding.VP8, ""),
        (Encoding.H264, ""),
        (Encoding.H264_V4L2M2M, "h264_v4l2m2m: no device"),
    ):
        one = Encoders(wanted, nothing)
        await one.look()
        assert one.trouble == trouble
        assert one.used == ("libx264" if wanted is Encoding.H264 else "libvpx")


async def test_ffmpeg_without_an_encoder_is_told() -> None:
    one = Encoders(Encoding.H264_VAAPI)
    await one.look()
    if not h264.is_built_in("h264_vaapi"):
        assert one.trouble == "h264_vaapi: FFmpeg was built without it"


def test_devices_are_found_without_opening_any(tmp_path: Path) -> None:
    assert choice.vaapi(tmp_path) == []
    (tmp_path / "renderD128").touch()
    (found,) = choice.vaapi(tmp_path)
    assert found.device == ("vaapi", str(tmp_path / "renderD128"))
    for number, driver in enumerate(("uvcvideo", "bcm2835-codec")):
        assert choice.v4l2(tmp_path) == []
        (tmp_path / driver).mkdir()
        device = tmp_path / f"video{number}" / "device"
        device.mkdir(parents=True)
        (device / "driver").symlink_to(tmp_path / driver)
    assert choice.v4l2(tmp_path) == [h264.V4L2]


async def test_software_h264_is_a_choice_too() -> None:
    coder = Encoders(Encoding.H264).coder()
    coder.takes_h264 = lambda: True
    assert {one.codec for one in await encode(coder, range(3))} == {Codec.H264}
    large = await coder.encode(frame(0, 640, 480), 0, Rung(1920, 1080, 30), 1e6, key=False)
    assert large is not None
    assert large.codec is Codec.VP8
    coder.close()


async def test_a_closed_encoder_ends_while_it_starts(hardware: Encoders) -> None:
    coder = hardware.coder()
    coder.close()
    await asyncio.sleep(0)
    await hardware.close()
    assert hardware._asides
    assert all(one.ended for one in hardware._asides)
