"""The picture's coder: scales, encodes, and changes size and rate as it is told."""

from __future__ import annotations

from av import VideoFrame
from av.video.reformatter import Interpolation

from kioskd.picture import vpx
from kioskd.picture.ladder import Rung


class Coder:
    """VP8 of changing sizes. Serves one thread at a time, which is not the event loop's."""

    def __init__(self) -> None:
        self._encoder: vpx.Encoder | None = None

    def encode(
        self, frame: VideoFrame, pts: int, rung: Rung, bps: float, *, key: bool
    ) -> vpx.Encoded | None:
        """Encode a picture of any size, taken at `pts` of vpx.CLOCK, as `rung` wants it.

        None where it was left out to keep to `bps`. A new size begins with a key frame. Raises
        ValueError where it cannot be encoded; the next one then begins anew.
        """
        encoder, self._encoder = self._encoder, None
        if encoder is None or (encoder.width, encoder.height) != (rung.width, rung.height):
            encoder = vpx.Encoder(rung.width, rung.height, bps)
        else:
            encoder.set_bps(bps)
        encoded = encoder.encode(_fitted(frame, rung), pts, key=key)
        self._encoder = encoder
        return encoded


def _fitted(frame: VideoFrame, rung: Rung) -> VideoFrame:
    size = (rung.width, rung.height)
    if (frame.width, frame.height) == size and frame.format.name == "yuv420p":
        return frame
    # Averages over the area: the others let a fine pattern flicker.
    return frame.reformat(*size, format="yuv420p", interpolation=Interpolation.AREA)
