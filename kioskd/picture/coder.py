"""The picture's coder: scales, encodes, and changes size and rate as it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from av import VideoFrame
from av.video.reformatter import Interpolation

from kioskd.picture import vpx
from kioskd.picture.encoded import Encoded
from kioskd.picture.ladder import Rung


class Encoder(Protocol):
    """An encoder of pictures of one size; `vpx.Encoder` says what its methods do."""

    width: int
    height: int

    def set_bps(self, bps: float) -> None:
        """Aim at another rate."""

    def encode(self, frame: VideoFrame, pts: int, *, key: bool = False) -> Encoded | None:
        """Encode a picture."""


class Coder:
    """Pictures of changing sizes, each size by an encoder that `make(width, height, bps)` makes.

    Serves one thread at a time, which is not the event loop's.
    """

    def __init__(self, make: Callable[[int, int, float], Encoder] = vpx.Encoder) -> None:
        self._make = make
        self._encoder: Encoder | None = None

    def encode(
        self, frame: VideoFrame, pts: int, rung: Rung, bps: float, *, key: bool
    ) -> Encoded | None:
        """Encode a picture of any size, taken at `pts` of CLOCK, as `rung` wants it.

        None where it was left out to keep to `bps`. A new size begins with a key frame. Raises
        ValueError where it cannot be encoded; the next one then begins anew.
        """
        encoder, self._encoder = self._encoder, None
        if encoder is None or (encoder.width, encoder.height) != (rung.width, rung.height):
            encoder = self._make(rung.width, rung.height, bps)
        else:
            encoder.set_bps(bps)
        encoded = encoder.encode(fitted(frame, rung), pts, key=key)
        self._encoder = encoder
        return encoded


def fitted(frame: VideoFrame, rung: Rung) -> VideoFrame:
    """Return a picture in a rung's size, as encoders take it (yuv420p)."""
    size = (rung.width, rung.height)
    if (frame.width, frame.height) == size and frame.format.name == "yuv420p":
        return frame
    # Averages over the area: the others let a fine pattern flicker.
    return frame.reformat(*size, format="yuv420p", interpolation=Interpolation.AREA)
