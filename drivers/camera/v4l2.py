"""A camera behind V4L2 (UVC and others), read by a worker process with FFmpeg.

The lens is open exactly as long as the worker process lives: `close` ends it, so that
not even a hung driver call keeps it open.
"""

from __future__ import annotations

import asyncio
import base64
import math
import os
from collections import deque
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.camera import Camera, Coded, Frame, VideoFormat
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.runtime.queues import Latest
from kioskd.runtime.shared import SharedRing
from kioskd.runtime.worker import DeviceWorker

InputFormat = Literal["mjpeg", "h264", "yuyv422"]

OPEN_S: Final = 4.5
"""Some UVC cameras take seconds from opening to the first picture; one that takes longer is told
of as failed, as all that is wrong with a device is within 5 s, and is opened again."""
STALL_S: Final = 2.0
MOST_CODED: Final = 64
"""Coded pictures kept for a slow caller: two seconds, which are sent to nobody any more."""


class V4l2CameraConfig(BaseModel):
    """A V4L2 capture device, in exactly this format and size.

    `pass_through`: where the camera's own H.264 fits the line it is sent as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["v4l2"] = "v4l2"
    device: Path = Path("/dev/kiosk/camera")
    width: int = Field(640, ge=48, le=3840, multiple_of=2)
    height: int = Field(480, ge=32, le=2160, multiple_of=2)
    fps: int = Field(30, ge=1, le=60)
    input_format: InputFormat = "mjpeg"
    pass_through: bool = False

    @model_validator(mode="after")
    def _codes(self) -> V4l2CameraConfig:
        if self.pass_through and self.input_format != "h264":
            raise ValueError('pass_through needs input_format = "h264"')
        return self

    def build(self) -> V4l2Camera:
        """Make the device."""
        return V4l2Camera(
            self.device,
            VideoFormat(self.width, self.height, self.fps),
            self.input_format,
            pass_through=self.pass_through,
        )


class _Stream:
    """One opening of the camera: a worker process, its memory and the task that follows it."""

    def __init__(
        self, device: Path, asked: VideoFormat, input_format: InputFormat, *, pass_through: bool
    ) -> None:
        size = asked.width * asked.height * 3 // 2
        self.news: Latest[tuple[int, float]] = Latest()
        self.error: DeviceError | None = None
        self._coded: deque[Coded] = deque(maxlen=MOST_CODED)
        self.ring = SharedRing.create(size)
        self._flows = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._worker = DeviceWorker(
            "camera",
            "drivers.camera.v4l2_worker:V4l2Worker",
            {
                "device": str(device),
                "width": asked.width,
                "height": asked.height,
                "fps": asked.fps,
                "input_format": input_format,
                "ring": self.ring.fd,
                "pass_through": pass_through,
            },
            pass_fds=(self.ring.fd,),
        )

    async def start(self) -> int:
        """Open the device; return its frames per second once pictures flow."""
        fps: int = await self._worker.call("open", timeout=OPEN_S)
        self._task = asyncio.create_task(self._follow(), name="camera stream")
        await self._flows.wait()
        if self.error is not None:
            raise self.error
        return fps

    async def stop(self) -> None:
        """End the worker; after this the lens is closed."""
        self.fail(DeviceError(Reason.CANCELLED, "the camera was closed"))
        await self._worker.stop()
        if self._task is not None:
            await self._task
        self.ring.close()

    def fail(self, error: DeviceError) -> None:
        """Make every later use raise `error`; the first error stays."""
        if self.error is None:
            self.error = error
            self.news.fail(error)
        self._flows.set()

    async def _follow(self) -> None:
        try:
            await self._worker.call(
                "stream", timeout=math.inf, stall=STALL_S, on_progress=self._arrived
            )
        except DeviceError as error:
            self.fail(error)
        # A worker that failed still holds the device: the lens closes now, not at `close`.
        await self._worker.stop()

    def coded(self, number: int) -> tuple[Coded, ...]:
        """Return what the camera has coded up to this picture, once."""
        found = []
        while self._coded and self._coded[0].number <= number:
            found.append(self._coded.popleft())
        return tuple(found)

    def _arrived(self, news: Any) -> None:
        number, at, coded = news
        if coded is not None:
            self._coded.append(Coded(number, base64.b64decode(coded), at))
        self.news.put((number, at))
        self._flows.set()


class V4l2Camera(Camera):
    """The real camera. The supervisor reopens it after an error; it does not do so itself."""

    def __init__(
        self,
        device: Path,
        asked: VideoFormat,
        input_format: InputFormat,
        *,
        pass_through: bool = False,
    ) -> None:
        self._device = device
        self._asked = asked
        self._input_format = input_format
        self._pass_through = pass_through
        self._format = asked
        self._stream: _Stream | None = None
        self._lock = asyncio.Lock()

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"v4l2 {self._device} {self._input_format}"

    @property
    def format(self) -> VideoFormat:
        """What the camera delivers; what was asked for until `open` has returned."""
        return self._format

    @property
    def codes(self) -> bool:
        """Whether its frames come with its own H.264."""
        return self._pass_through

    async def check(self) -> DeviceHealth:
        """Look at the device's node, and at the stream where one is open."""
        self._look()
        if self._stream is not None and self._stream.error is not None:
            raise self._stream.error
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Open the lens and check the format. Raises DeviceError (WRONG_FORMAT, BUSY...)."""
        async with self._lock:
            if self._stream is not None:
                return
            self._look()
            stream = _Stream(
                self._device, self._asked, self._input_format, pass_through=self._pass_through
            )
            try:
                fps = await stream.start()
            except BaseException:
                await asyncio.shield(stream.stop())
                raise
            self._format = VideoFormat(self._asked.width, self._asked.height, fps)
            self._stream = stream

    async def close(self) -> None:
        """Close the lens; whoever waits for a picture is told."""
        async with self._lock:
            stream, self._stream = self._stream, None
            if stream is not None:
                await asyncio.shield(stream.stop())

    async def frame(self) -> Frame:
        """Return the newest picture not yet returned, waiting for it if need be."""
        stream = self._stream
        if stream is None:
            raise DeviceError(Reason.CANCELLED, "the camera is closed")
        width, height = self._asked.width, self._asked.height
        while True:
            number, at = await stream.news.get()
            if stream.error is not None:
                raise stream.error
            i420 = stream.ring.read(number, width * height * 3 // 2)
            if i420 is not None:
                return Frame(width, height, i420, number, at, stream.coded(number))

    def _look(self) -> None:
        try:
            self._device.stat()
        except FileNotFoundError as error:
            raise DeviceAbsent(Reason.NOT_FOUND, str(self._device)) from error
        except OSError as error:
            raise DeviceError(Reason.PERMISSION, str(error)) from error
        if not os.access(self._device, os.R_OK | os.W_OK):
            raise DeviceError(Reason.PERMISSION, str(self._device))
