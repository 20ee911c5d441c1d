"""A camera made of arithmetic, for development, demonstration and tests."""

from __future__ import annotations

import dataclasses
import time
from fractions import Fraction
from typing import Final, Literal

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from pydantic import BaseModel, ConfigDict, Field

from drivers.camera.picture import Painter
from kioskd.errors import DeviceError, Reason
from kioskd.hal.camera import Camera, Coded, Frame, VideoFormat
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.simulated import Simulated

STALL_S: Final = 2.0
CHECK_S: Final = 2.5


class FakeCameraConfig(BaseModel):
    """A moving test picture (see `drivers.camera.picture`) in real time.

    `h264_bps`: it also codes its pictures itself, at this rate, as some USB cameras do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["fake"] = "fake"
    width: int = Field(640, ge=48, le=3840, multiple_of=2)
    height: int = Field(480, ge=32, le=2160, multiple_of=2)
    fps: int = Field(30, ge=1, le=60)
    h264_bps: int | None = Field(None, ge=10_000, le=20_000_000)

    def build(self) -> FakeCamera:
        """Make the device."""
        return FakeCamera(VideoFormat(self.width, self.height, self.fps), self.h264_bps)


class Chip:
    """What codes the pictures within a camera: a key picture each second."""

    def __init__(self, video: VideoFormat, bps: int) -> None:
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = video.width, video.height, "yuv420p"
        context.time_base, context.framerate = Fraction(1, video.fps), Fraction(video.fps)
        context.gop_size, context.bit_rate, context.thread_count = video.fps, bps, 1
        context.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "maxrate": str(bps),
            "bufsize": str(bps // 2),
        }
        self._context = context
        self._number = 0

    def code(self, frame: Frame) -> Coded:
        """Return the picture in H.264."""
        planes = np.frombuffer(frame.i420, np.uint8).reshape(-1, frame.width)
        picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        picture.pts = self._number
        (packet,) = self._context.encode(picture)
        self._number += 1
        return Coded(self._number, bytes(packet), frame.captured_at)


class FakeCamera(Simulated, Camera):
    """Paints a picture when one is asked for, at the pace of a real camera."""

    def __init__(self, video: VideoFormat, h264_bps: int | None = None) -> None:
        super().__init__()
        self._format = video
        self._h264_bps = h264_bps
        self._chip: Chip | None = None
        self._painter: Painter | None = None
        self._started = 0.0
        self._last = -1

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"fake {self._format.width}x{self._format.height}"

    @property
    def format(self) -> VideoFormat:
        """What the camera delivers."""
        return self._format

    @property
    def codes(self) -> bool:
        """Whether its frames come with its own H.264."""
        return self._h264_bps is not None

    @property
    def is_open(self) -> bool:
        """True while the lens is open."""
        return self._painter is not None

    async def check(self) -> DeviceHealth:
        """Tell whether the camera could be used now."""
        await self._pass(CHECK_S)
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Open the lens."""
        if self._painter is not None:
            return
        await self._pass(STALL_S)
        self._painter = Painter(self._format.width, self._format.height)
        if self._h264_bps is not None:
            self._chip = Chip(self._format, self._h264_bps)
        self._started = time.monotonic()
        self._last = -1

    async def close(self) -> None:
        """Close the lens; whoever waits for a picture is told."""
        self._painter = None
        self._tell()

    async def frame(self) -> Frame:
        """Return the newest picture not yet returned, waiting for it if need be."""
        while True:
            self._need_open()
            await self._pass(STALL_S)
            painter = self._need_open()
            number = int((time.monotonic() - self._started) * self._format.fps)
            if number > self._last:
                break
            due = self._started + (self._last + 1) / self._format.fps
            await self._sleep(max(0.0, due - time.monotonic()) + 0.0005)
        self._last = number
        width, height = self._format.width, self._format.height
        now = time.monotonic()
        i420 = painter.paint(number, time.time_ns() // 1_000_000)
        frame = Frame(width, height, i420, number, now)
        chip = self._chip
        return frame if chip is None else dataclasses.replace(frame, coded=(chip.code(frame),))

    def _need_open(self) -> Painter:
        if self._painter is None:
            raise DeviceError(Reason.CANCELLED, "the camera is closed")
        return self._painter
