"""The worker's side of the V4L2 camera: opens, checks, decodes, writes to shared memory."""

from __future__ import annotations

import base64
import errno
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import av
from av.error import FFmpegError, InvalidDataError
from av.video.reformatter import ColorRange

from kioskd.errors import DeviceError, Reason
from kioskd.runtime.shared import SharedRing
from kioskd.runtime.worker_main import Context

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

_REASONS: Final = {
    errno.ENOENT: Reason.NOT_FOUND,
    errno.ENODEV: Reason.UNPLUGGED,
    errno.ENXIO: Reason.UNPLUGGED,
    errno.EBUSY: Reason.BUSY,
    errno.EACCES: Reason.PERMISSION,
    errno.EPERM: Reason.PERMISSION,
    errno.EINVAL: Reason.WRONG_FORMAT,
    errno.ENOTTY: Reason.UNSUPPORTED,
    errno.ENOMEM: Reason.OUT_OF_MEMORY,
}
_PLAUSIBLE_AGE_S: Final = 1.0
_IN_DECODER: Final = 16
"""More pictures than any decoder keeps back."""


class V4l2Worker:
    """Holds the camera. `ring` is the fd of a SharedRing with slots of one I420 picture."""

    def __init__(
        self,
        context: Context,
        *,
        device: str,
        width: int,
        height: int,
        fps: int,
        input_format: str,
        ring: int,
        pass_through: bool,
    ) -> None:
        self._context = context
        self._device = device
        self._width = width
        self._height = height
        self._fps = fps
        self._input_format = input_format
        self._ring = SharedRing(ring, width * height * 3 // 2)
        self._pass_through = pass_through
        self._number = 0
        self._container: InputContainer | None = None

    def open(self) -> int:
        """Open the device, check what it delivers, return its frames per second."""
        options = {
            "input_format": self._input_format,
            "video_size": f"{self._width}x{self._height}",
            "framerate": str(self._fps),
        }
        try:
            container = av.open(self._device, format="v4l2", options=options)
        except (FFmpegError, OSError) as error:
            raise _device_error(error) from error
        video = container.streams.video[0]
        context = video.codec_context
        raw = context.name == "rawvideo"
        found = (str(context.pix_fmt) if raw else context.name, context.width, context.height)
        # FFmpeg takes what the driver gives, whatever was asked for.
        if found != (self._input_format, self._width, self._height):
            container.close()
            raise DeviceError(Reason.WRONG_FORMAT, "{} {}x{}".format(*found))
        self._container = container
        return round(float(video.average_rate)) if video.average_rate else self._fps

    def stream(self) -> None:
        """Hand on pictures until cancelled.

        `progress` tells [number, captured_at, coded] of each, the last in base64, or null.
        """
        assert self._container is not None
        try:
            for frame, coded in self._frames(self._container):
                if self._context.cancelled:
                    return
                # JPEG has full range; without being told, FFmpeg would keep it.
                i420 = frame.reformat(format="yuv420p", dst_color_range=ColorRange.MPEG)
                self._ring.write(self._number, i420.to_ndarray().tobytes())
                told = None if coded is None else base64.b64encode(coded).decode()
                self._context.progress([self._number, _captured_at(frame), told])
                self._number += 1
        except (FFmpegError, OSError) as error:
            raise _device_error(error) from error
        finally:
            self._container.close()
        raise DeviceError(Reason.UNPLUGGED, "end of stream")

    def _frames(self, container: InputContainer) -> Iterator[tuple[VideoFrame, bytes | None]]:
        coded: dict[int | None, bytes] = {}
        for packet in container.demux(video=0):
            if self._pass_through:
                # The first picture has no time (None), and its frame has none either.
                coded[packet.pts] = bytes(packet)
                if len(coded) > _IN_DECODER:
                    del coded[next(iter(coded))]
            try:
                frames = packet.decode()
            except InvalidDataError:
                self._number += 1  # those that follow hang on it
                continue  # USB cameras send broken pictures now and then
            for frame in frames:
                # The decoder tells of a change of size by a frame of another size only.
                if (frame.width, frame.height) != (self._width, self._height):
                    raise DeviceError(Reason.WRONG_FORMAT, f"{frame.width}x{frame.height}")
                yield frame, coded.pop(frame.pts, None)


def _captured_at(frame: VideoFrame) -> float:
    """Return the kernel's time stamp where it is one of the monotonic clock, else now."""
    now = time.monotonic()
    at = frame.time
    return at if at is not None and 0.0 <= now - at < _PLAUSIBLE_AGE_S else now


def _device_error(error: Exception) -> DeviceError:
    number = getattr(error, "errno", None)
    return DeviceError(_REASONS.get(number or 0, Reason.IO_ERROR), str(error))
