"""The worker's side of an encoder in hardware: pictures and their coding go by shared memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from av import VideoFrame

from kioskd.errors import DeviceError, Reason
from kioskd.picture.coder import Coder
from kioskd.picture.encoded import CLOCK, Encoded
from kioskd.picture.h264 import Encoder, Kind
from kioskd.picture.ladder import Rung
from kioskd.runtime.shared import SharedRing

if TYPE_CHECKING:
    from kioskd.runtime.worker_main import Context

PROBE: Final = Rung(320, 240, 30)
PROBE_PICTURES: Final = 8
"""Some encoders keep a few back."""


class AsideWorker:
    """Holds the encoder. `pictures` and `coded` are the fds of SharedRings with slots of `size`."""

    def __init__(
        self, context: Context, *, kind: dict[str, Any], pictures: int, coded: int, size: int
    ) -> None:
        del context
        device = tuple(kind.pop("device") or ()) or None
        self._make = partial(Encoder, Kind(**kind, device=device))
        self._coder = Coder(self._make)
        self._pictures = SharedRing(pictures, size)
        self._coded = SharedRing(coded, size)

    def prove(self) -> None:
        """Encode grey pictures until one comes out. Raises DeviceError where none does."""
        width, height = PROBE.width, PROBE.height
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        coder = Coder(self._make)
        for number in range(PROBE_PICTURES):
            frame = VideoFrame.from_ndarray(planes, format="yuv420p")
            if _encoded(coder, frame, number * CLOCK // PROBE.fps, PROBE, 300_000, key=False):
                return
        raise DeviceError(Reason.IO_ERROR, f"{PROBE_PICTURES} pictures went in, none came out")

    def encode(
        self, *, number: int, width: int, height: int, pts: int, bps: float, key: bool
    ) -> list[int] | None:
        """Encode picture `number` of the ring; return [bytes, key, pts] of what is in the other."""
        i420 = self._pictures.read(number, width * height * 3 // 2)
        if i420 is None:
            return None  # the daemon has given it up
        planes = np.frombuffer(i420, np.uint8).reshape(height * 3 // 2, width)
        frame = VideoFrame.from_ndarray(planes, format="yuv420p")
        encoded = _encoded(self._coder, frame, pts, Rung(width, height, 0), bps, key=key)
        if encoded is None:
            return None
        self._coded.write(number, encoded.data)
        return [len(encoded.data), int(encoded.key), encoded.pts]


def _encoded(
    coder: Coder, frame: VideoFrame, pts: int, rung: Rung, bps: float, *, key: bool
) -> Encoded | None:
    try:
        return coder.encode(frame, pts, rung, bps, key=key)
    except ValueError as error:
        raise DeviceError(Reason.IO_ERROR, str(error)) from error
