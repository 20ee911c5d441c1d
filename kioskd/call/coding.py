"""How one leg's pictures are encoded: by what it was given, and by libvpx where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from av import VideoFrame

from kioskd.errors import DeviceError
from kioskd.picture import h264, vpx
from kioskd.picture.coder import Coder
from kioskd.picture.encoded import Codec, Encoded
from kioskd.picture.ladder import Rung


class Aside(Protocol):
    """An encoder in H.264 that may fail for good: the kiosk's hardware."""

    @property
    def ready(self) -> bool:
        """True once it can encode at once."""

    async def encode(
        self, frame: VideoFrame, pts: int, rung: Rung, bps: float, *, key: bool
    ) -> Encoded | None:
        """Encode as `Coder.encode` does. Raises DeviceError, and then is of no use."""

    def close(self) -> None:
        """Use it no more."""


class LegCoder:
    """Encodes a leg's pictures, on a thread of its own or aside. Raises OSError without libvpx.

    `aside` is used while it works, then libx264 where `software_h264`; VP8 by libvpx is what
    remains, and what a far end gets that does not take H.264. The codec changes with a key frame.
    `camera_codes`: H.264 may be sent that none of them has made.
    """

    def __init__(
        self,
        aside: Aside | None = None,
        *,
        software_h264: bool = False,
        camera_codes: bool = False,
    ) -> None:
        vpx.check()
        self.takes_h264: Callable[[], bool] = lambda: False
        """Tells whether the far end does; set once the leg is made."""
        self._aside = aside
        self._camera_codes = camera_codes
        self._vp8 = Coder()
        self._h264 = Coder(partial(h264.Encoder, h264.SOFTWARE)) if software_h264 else None
        self._codec: Codec | None = None
        self._thread = ThreadPoolExecutor(1, "picture")

    @property
    def offers_h264(self) -> bool:
        """Whether H.264 is to be offered at all."""
        return self._camera_codes or self._aside is not None or self._h264 is not None

    def interrupt(self) -> None:
        """Begin anew with the next picture: others have been sent since the last."""
        self._codec = None

    async def encode(
        self, frame: VideoFrame, pts: int, rung: Rung, bps: float, *, key: bool
    ) -> Encoded | None:
        """Encode a picture as `Coder.encode` does. Raises ValueError where that does."""
        h264_fits = self.takes_h264() and h264.fits(rung.width, rung.height, rung.fps)
        if h264_fits and self._aside is not None and self._aside.ready:
            begins = key or self._codec is not Codec.H264
            try:
                encoded = await self._aside.encode(frame, pts, rung, bps, key=begins)
            except DeviceError:  # the log has it already
                self._aside.close()
                self._aside = self._codec = None
            else:
                self._codec = Codec.H264
                return encoded
        coder, codec = self._vp8, Codec.VP8
        if h264_fits and self._h264 is not None:
            coder, codec = self._h264, Codec.H264
        begins = key or self._codec is not codec
        work = partial(coder.encode, frame, pts, rung, bps, key=begins)
        encoded = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        self._codec = codec
        return encoded

    def close(self) -> None:
        """Let the thread end, after the picture it has in hand."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._aside is not None:
            self._aside.close()
