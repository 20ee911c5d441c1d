"""The camera's contract: the real V4L2 driver on an emulated device, and the fake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import psutil
import pytest

from drivers.camera.fake import FakeCamera, FakeCameraConfig
from drivers.camera.none import NoCameraConfig
from drivers.camera.picture import Painter, Plane, draw, read
from drivers.camera.v4l2 import V4l2CameraConfig
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.camera import Camera, Frame
from kioskd.hal.device import DeviceState
from kioskd.vision.judge import PictureJudge
from tests.contract import v4l2

WIDTH, HEIGHT, FPS = 640, 480, 30


def luma(frame: Frame) -> Plane:
    y = np.frombuffer(frame.i420, np.uint8, frame.width * frame.height)
    return y.reshape(frame.height, frame.width)


def to_video(i420: bytes, width: int = WIDTH) -> av.VideoFrame:
    picture = np.frombuffer(i420, np.uint8).reshape(-1, width)
    return av.VideoFrame.from_ndarray(picture, format="yuv420p")


class Rig(Protocol):
    @property
    def camera(self) -> Camera: ...

    def fault(self, name: str) -> None: ...


@dataclass
class RealRig:
    camera: Camera
    folder: Path

    def fault(self, name: str) -> None:
        (self.folder / "fault").write_text(name)


@dataclass
class FakeRig:
    camera: FakeCamera

    def fault(self, name: str) -> None:
        if name == "hang":
            self.camera.hold()
        else:
            self.camera.fail_with({"unplug": Reason.UNPLUGGED, "busy": Reason.BUSY}.get(name))


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return v4l2.build(tmp_path_factory.mktemp("shim"))


def real_rig(shim: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> RealRig:
    v4l2.fill(folder)
    shimmed = v4l2.ShimCamera(shim, folder)
    for name, value in shimmed.environment().items():
        monkeypatch.setenv(name, value)
    return RealRig(V4l2CameraConfig(device=shimmed.node).build(), folder)


@pytest.fixture
async def real(
    shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RealRig]:
    rig = real_rig(shim, tmp_path, monkeypatch)
    yield rig
    await rig.camera.close()
    assert not psutil.Process().children()


@pytest.fixture(params=["v4l2", "fake"])
async def rig(
    request: pytest.FixtureRequest, shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    made: Rig
    if request.param == "v4l2":
        made = real_rig(shim, tmp_path, monkeypatch)
    else:
        made = FakeRig(FakeCameraConfig().build())
    yield made
    await made.camera.close()
    assert not psutil.Process().children()


async def test_frames_are_new_and_whole(rig: Rig) -> None:
    async with asyncio.timeout(15), rig.camera as camera:
        assert (camera.format.width, camera.format.height) == (WIDTH, HEIGHT)
        assert camera.format.fps == FPS
        frames = [await camera.frame() for _ in range(10)]
        age = time.monotonic() - frames[-1].captured_at
    assert all(len(frame.i420) == WIDTH * HEIGHT * 3 // 2 for frame in frames)
    numbers = [frame.number for frame in frames]
    assert numbers == sorted(set(numbers))
    counters = [read(luma(frame))[0] for frame in frames]
    assert len(set(counters)) > 1, "the picture moves"
    assert 0 <= age < 1


async def test_slow_caller_gets_the_newest(rig: Rig) -> None:
    async with asyncio.timeout(15), rig.camera as camera:
        first = await camera.frame()
        await asyncio.sleep(0.4)  # the slow caller itself
        second = await camera.frame()
        assert second.number > first.number + 4
        assert time.monotonic() - second.captured_at < 0.2


async def test_open_and_close_twice_and_again(rig: Rig) -> None:
    async with asyncio.timeout(20):
        await rig.camera.close()
        for _ in range(2):
            await rig.camera.open()
            await rig.camera.open()
            await rig.camera.frame()
            await rig.camera.close()
            await rig.camera.close()
            assert not psutil.Process().children()
            with pytest.raises(DeviceError):
                await rig.camera.frame()


async def test_check_opens_no_stream(rig: Rig) -> None:
    assert (await rig.camera.check()).state is DeviceState.READY
    assert not psutil.Process().children()
    async with asyncio.timeout(15), rig.camera as camera:
        assert (await camera.check()).state is DeviceState.READY


async def test_unplug_is_told_and_replug_heals(rig: Rig) -> None:
    async with asyncio.timeout(20):
        await rig.camera.open()
        await rig.camera.frame()
        start = time.monotonic()
        rig.fault("unplug")
        with pytest.raises(DeviceError) as caught:
            await drain(rig.camera)
        assert caught.value.reason is Reason.UNPLUGGED
        assert time.monotonic() - start < 1.5
        with pytest.raises(DeviceError):
            await rig.camera.check()
        await rig.camera.close()
        rig.fault("")
        async with rig.camera as camera:
            await camera.frame()


async def test_hang_is_told_after_two_seconds(rig: Rig) -> None:
    async with asyncio.timeout(20):
        await rig.camera.open()
        await rig.camera.frame()
        rig.fault("hang")
        start = time.monotonic()
        with pytest.raises(DeviceError) as caught:
            await drain(rig.camera)
        assert caught.value.reason is Reason.NO_ANSWER
        assert 1.5 < time.monotonic() - start < 5
        await rig.camera.close()
    assert not psutil.Process().children()


async def test_busy_is_told(rig: Rig) -> None:
    rig.fault("busy")
    with pytest.raises(DeviceError) as caught:
        async with asyncio.timeout(15):
            await rig.camera.open()
    assert caught.value.reason is Reason.BUSY


async def test_close_wakes_a_waiting_caller(rig: Rig) -> None:
    async with asyncio.timeout(15):
        await rig.camera.open()
        await rig.camera.frame()
        rig.fault("hang")
        waiting = asyncio.create_task(drain(rig.camera))
        await rig.camera.close()
        with pytest.raises(DeviceError):
            await waiting


async def drain(camera: Camera) -> None:
    while True:
        await camera.frame()


@pytest.mark.parametrize("fault", ["format", "size"])
async def test_another_format_is_refused(real: RealRig, fault: str) -> None:
    if fault == "size":
        (real.folder / "frames").unlink()
        (real.folder / "frames").write_bytes(v4l2.painted(320, 240))
    else:
        real.fault(fault)
    with pytest.raises(DeviceError) as caught:
        async with asyncio.timeout(15):
            await real.camera.open()
    assert caught.value.reason is Reason.WRONG_FORMAT


@pytest.mark.parametrize("fault", ["freeze", "black", "covered", "slow"])
async def test_a_bad_picture_is_judged_and_a_mended_one_too(real: RealRig, fault: str) -> None:
    expected = {"freeze": Reason.FROZEN}.get(fault) or Reason(fault)
    async with asyncio.timeout(40), real.camera as camera:
        judge = PictureJudge(camera.format.fps)
        for _ in range(FPS):
            assert judge.see(await camera.frame()) is None
        real.fault(fault)
        while judge.see(await camera.frame()) is None:
            pass
        assert judge.verdict is expected
        real.fault("")
        while judge.see(await camera.frame()) is not None:
            pass


async def test_another_size_in_the_stream_ends_it_and_reopening_helps(real: RealRig) -> None:
    async with asyncio.timeout(20):
        await real.camera.open()
        await real.camera.frame()
        real.fault("format")
        with pytest.raises(DeviceError) as caught:
            await drain(real.camera)
        assert caught.value.reason is Reason.WRONG_FORMAT
        real.fault("")
        await real.camera.close()
        assert not psutil.Process().children()
        async with real.camera as camera:
            await camera.frame()


async def test_cancelled_open_leaves_it_closed(real: RealRig) -> None:
    opening = asyncio.create_task(real.camera.open())
    async with asyncio.timeout(15):
        while not psutil.Process().children():  # noqa: ASYNC110 (the kernel has no event for it)
            await asyncio.sleep(0.005)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not psutil.Process().children()
    async with asyncio.timeout(15), real.camera as camera:
        await camera.frame()


async def test_killed_worker_is_told(real: RealRig) -> None:
    async with asyncio.timeout(15), real.camera as camera:
        await camera.frame()
        (worker,) = psutil.Process().children()
        worker.kill()
        with pytest.raises(DeviceError) as caught:
            await drain(camera)
        assert caught.value.reason is Reason.CRASHED


async def test_decoded_picture_has_limited_range(real: RealRig) -> None:
    async with asyncio.timeout(15), real.camera as camera:
        frame = await camera.frame()
    strip = luma(frame)[4:26, 6:20]
    assert abs(float(strip.mean()) - 24) < 4, "dark block; full range would read 9"
    number, unix_ms = read(luma(frame))
    assert unix_ms == 1000 + number


def real_coding(shim: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Camera:
    v4l2.fill(folder)
    (folder / "frames").write_bytes(v4l2.h264())
    shimmed = v4l2.ShimCamera(shim, folder, h264=True)
    for name, value in shimmed.environment().items():
        monkeypatch.setenv(name, value)
    config = V4l2CameraConfig(device=shimmed.node, input_format="h264", pass_through=True)
    return config.build()


@pytest.mark.parametrize("which", ["v4l2", "fake"])
async def test_a_camera_that_codes_hands_on_what_it_has_coded(
    which: str, shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = FakeCameraConfig(h264_bps=400_000).build()
    one = real_coding(shim, tmp_path, monkeypatch) if which == "v4l2" else made
    assert one.codes
    async with asyncio.timeout(20), one as camera:
        frames = [await camera.frame() for _ in range(6)]
        await asyncio.sleep(0.3)  # a slow caller loses frames, but nothing coded
        frames.append(await camera.frame())
    coded = [picture for frame in frames for picture in frame.coded]
    numbers = [picture.number for picture in coded]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [frame.coded[-1].captured_at for frame in frames] == [f.captured_at for f in frames]
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    pictures = [p for c in coded for p in decoder.decode(av.Packet(c.data))]
    pictures += decoder.decode(None)
    seen = [read(p.to_ndarray()[:HEIGHT].astype(np.uint8)) for p in pictures]
    assert len(seen) == len(coded)
    assert read(luma(frames[-1])) == seen[-1]


async def test_nothing_coded_comes_unasked(rig: Rig) -> None:
    assert not rig.camera.codes
    async with asyncio.timeout(15), rig.camera as camera:
        assert (await camera.frame()).coded == ()


def test_pass_through_needs_h264() -> None:
    with pytest.raises(ValueError, match="pass_through needs"):
        V4l2CameraConfig(pass_through=True)


async def test_missing_node_is_absent(tmp_path: Path) -> None:
    camera = V4l2CameraConfig(device=tmp_path / "nothing").build()
    for use in (camera.check, camera.open):
        with pytest.raises(DeviceAbsent) as caught:
            await use()
        assert caught.value.reason is Reason.NOT_FOUND


async def test_no_camera() -> None:
    camera = NoCameraConfig().build()
    for use in (camera.check, camera.open, camera.frame):
        with pytest.raises(DeviceAbsent) as caught:
            await use()
        assert caught.value.reason is Reason.NOT_CONFIGURED
    await camera.close()


def test_strip_survives_vp8_and_scaling() -> None:
    painter = Painter(WIDTH, HEIGHT)
    encoder = av.CodecContext.create("libvpx", "w")
    decoder = av.CodecContext.create("vp8", "r")
    assert isinstance(encoder, av.VideoCodecContext)
    assert isinstance(decoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.bit_rate, encoder.framerate = 250_000, FPS  # type: ignore[assignment]
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    wanted = {n: 0x9E3779B1 + 33 * n & 0xFFFFFFFF for n in range(65530, 65530 + 30)}
    got: dict[int, int] = {}
    for count, (number, unix_ms) in enumerate(wanted.items()):
        frame = to_video(painter.paint(number, unix_ms))
        frame.pts = count
        for packet in encoder.encode(frame):
            for decoded in decoder.decode(packet):
                small = decoded.reformat(width=426, height=240).to_ndarray()
                counter, at = read(small[:240].astype(np.uint8))
                got[counter] = at
    assert got == {number & 0xFFFF: at for number, at in wanted.items()}


@pytest.mark.parametrize("size", [(48, 32), (426, 240), (1280, 720), (1922, 1082)])
def test_strip_in_any_size(size: tuple[int, int]) -> None:
    y = np.zeros((size[1], size[0]), np.uint8)
    draw(y, 0xA5C3, 0x12345678)
    assert read(y) == (0xA5C3, 0x12345678)
