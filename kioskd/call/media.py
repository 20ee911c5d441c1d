"""The kiosk's own picture and sound as tracks of a leg.

A track never ends because a device failed or was switched off: a calm grey picture or
silence goes out instead, and the device's own comes back by itself.
"""

from __future__ import annotations

import asyncio
import fractions
import time
from collections.abc import Awaitable, Callable
from typing import Final

import numpy as np
import structlog
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, VideoFrame

from kioskd.errors import DeviceError
from kioskd.hal.camera import Coded, Frame
from kioskd.hal.microphone import CHUNK_BYTES, CHUNK_SAMPLES, SAMPLE_RATE, AudioChunk
from kioskd.picture import nal
from kioskd.picture.encoded import Codec, Encoded
from kioskd.picture.passing import FromCamera

log = structlog.get_logger(__name__)

VIDEO_CLOCK: Final = 90_000
"""Ticks per second of RTP video (RFC 7741, section 3)."""
GREY_INTERVAL_S: Final = 0.5
"""Seconds between grey pictures: enough for the browser to see a live track."""
CAMERA_PATIENCE_S: Final = 2.5
"""A camera owes a picture or a DeviceError within 2 s; beyond that it counts as failed."""
CHUNK_S: Final = CHUNK_SAMPLES / SAMPLE_RATE
MICROPHONE_PATIENCE_S: Final = 0.2
"""How long the sound may pause before silence is sent: what a microphone may hold back."""
GAP_SAMPLES: Final = SAMPLE_RATE // 10
"""A gap of the captured sound longer than 100 ms shows in the timestamps."""

_GREY_LUMA: Final = 110
_NO_COLOUR: Final = 128


class Outage:
    """Logs a loss once when it starts and once when it ends."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failing = False

    def note(self, error: Exception | None) -> None:
        """Take the outcome of one attempt; None is a success."""
        if error is not None and not self._failing:
            log.warning("media.lost", what=self._what, error=str(error) or type(error).__name__)
        elif error is None and self._failing:
            log.info("media.back", what=self._what)
        self._failing = error is not None


class CameraTrack(MediaStreamTrack):
    """The camera's pictures, or grey ones (2 a second) when there are none.

    `frame` is `Camera.frame` or anything alike; width and height, in pixels, are of the
    grey picture until the camera has given one. Set `enabled` to False to switch the
    picture off: `frame` is then not called. A track serves one leg, which stops it; it
    neither opens nor closes the camera.
    """

    kind = "video"

    def __init__(
        self, frame: Callable[[], Awaitable[Frame]], *, width: int = 640, height: int = 480
    ) -> None:
        super().__init__()
        self._enabled_at: float | None = float("-inf")
        self._frame = frame
        self._size = (width, height)
        self._origin: float | None = None
        self._pts = -1
        self._sent_at = float("-inf")
        self._outage = Outage("camera")

    @property
    def enabled(self) -> bool:
        """Whether the camera's pictures are sent."""
        return self._enabled_at is not None

    @enabled.setter
    def enabled(self, on: bool) -> None:
        if on != self.enabled:
            self._enabled_at = time.monotonic() if on else None

    async def recv(self) -> VideoFrame:
        """Return the next picture; raise MediaStreamError once the track is stopped.

        Its `opaque` are those that the camera has coded since the one before, FromCamera.
        """
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        captured = await self._capture()
        if captured is None:
            await asyncio.sleep(self._sent_at + GREY_INTERVAL_S - loop.time())
            picture, at = _grey(*self._size), loop.time()
        else:
            self._size = (captured.width, captured.height)
            picture, at = _picture(captured), captured.captured_at
            coded = tuple(self._passable(one) for one in captured.coded if self._is_of_now(one))
            if coded:
                picture.opaque = coded
        self._sent_at = loop.time()
        picture.pts = self._timestamp(at)
        picture.time_base = fractions.Fraction(1, VIDEO_CLOCK)
        return picture

    async def _capture(self) -> Frame | None:
        if not self.enabled:
            return None
        try:
            async with asyncio.timeout(CAMERA_PATIENCE_S):
                captured = await self._frame()
        except (DeviceError, TimeoutError) as error:
            self._outage.note(error)
            return None
        self._outage.note(None)
        # It may have been switched off while the picture was awaited.
        return captured if self.enabled else None

    def _is_of_now(self, coded: Coded) -> bool:
        # What it coded while it was switched off is nobody's.
        return self._enabled_at is not None and coded.captured_at >= self._enabled_at

    def _passable(self, coded: Coded) -> FromCamera:
        key = nal.is_key(coded.data)
        pts = self._timestamp(coded.captured_at)
        return FromCamera(coded.number, Encoded(coded.data, key, pts, Codec.H264))

    def _timestamp(self, at: float) -> int:
        if self._origin is None:
            self._origin = at
        # The encoder needs rising timestamps, also where a picture taken just before
        # follows a grey one.
        self._pts = max(self._pts + 1, round((at - self._origin) * VIDEO_CLOCK))
        return self._pts


class MicrophoneTrack(MediaStreamTrack):
    """The microphone's sound in frames of 20 ms, or silence when muted or failed.

    `chunk` is `Microphone.chunk` or anything alike. Set `enabled` to False to mute: the
    microphone is read on, so that nothing said while muted is heard afterwards. A track
    serves one leg, which stops it; it neither opens nor closes the microphone.
    """

    kind = "audio"

    def __init__(self, chunk: Callable[[], Awaitable[AudioChunk]]) -> None:
        super().__init__()
        self.enabled = True
        self._chunk = chunk
        self._origin: float | None = None
        self._pts = -CHUNK_SAMPLES
        self._due = float("-inf")
        self._outage = Outage("microphone")

    async def recv(self) -> AudioFrame:
        """Return the next 20 ms; raise MediaStreamError once the track is stopped."""
        return _sound(*await self.take())

    async def take(self) -> tuple[bytes, int]:
        """Return what `recv` would, as samples and the number of the first of them."""
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(MICROPHONE_PATIENCE_S):
                captured = await self._chunk()
        except (DeviceError, TimeoutError) as error:
            self._outage.note(error)
            await asyncio.sleep(self._due - loop.time())
            pcm, at = bytes(CHUNK_BYTES), loop.time()
        else:
            self._outage.note(None)
            pcm, at = captured.pcm if self.enabled else bytes(CHUNK_BYTES), captured.captured_at
        self._due = max(self._due + CHUNK_S, loop.time())
        return pcm, self._timestamp(at)

    def _timestamp(self, at: float) -> int:
        if self._origin is None:
            self._origin = at
        following = self._pts + CHUNK_SAMPLES
        by_clock = round((at - self._origin) * SAMPLE_RATE)
        self._pts = by_clock if by_clock > following + GAP_SAMPLES else following
        return self._pts


def _picture(frame: Frame) -> VideoFrame:
    planes = np.frombuffer(frame.i420, np.uint8).reshape(frame.height * 3 // 2, frame.width)
    if frame.height % 4 == 0:  # PyAV would take others to be lower than they are
        return VideoFrame.from_numpy_buffer(planes, format="yuv420p")  # not copied
    return VideoFrame.from_ndarray(planes, format="yuv420p")


def _grey(width: int, height: int) -> VideoFrame:
    planes = np.full((height * 3 // 2, width), _NO_COLOUR, np.uint8)
    planes[:height] = _GREY_LUMA
    return VideoFrame.from_ndarray(planes, format="yuv420p")


def _sound(pcm: bytes, pts: int) -> AudioFrame:
    frame = AudioFrame(format="s16", layout="mono", samples=CHUNK_SAMPLES)
    frame.planes[0].update(pcm)
    frame.sample_rate = SAMPLE_RATE
    frame.time_base = fractions.Fraction(1, SAMPLE_RATE)
    frame.pts = pts
    return frame
