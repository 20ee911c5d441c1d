"""H.264 (constrained baseline, level 3.1) through FFmpeg: libx264, and encoders in hardware.

Of libx264 FFmpeg takes a new rate in place, up to the one it was opened with; of an encoder in
hardware it takes none, so that this is opened anew, with a key picture, for what is much more or
less. What an encoder gives beyond the rate is made up for by pictures that are left out. An object
serves one thread at a time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import av
from av import VideoFrame
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from kioskd.picture.encoded import CLOCK, Codec, Encoded
from kioskd.picture.nal import ParameterSets
from kioskd.picture.vpx import LEAST_BPS, MOST_BPS, NOMINAL_FPS, threads

PROFILE: Final = "42e01f"
"""In SDP (RFC 6184, section 8.1): constrained baseline, level 3.1, which every browser decodes."""
MOST_BLOCKS: Final = 3600
MOST_BLOCKS_PER_S: Final = 108_000
"""Macroblocks of 16x16 of level 3.1 (ITU-T H.264, table A-1): 1280x720, 30 pictures a second."""
SPAN: Final = 3.0
"""libx264 serves rates from a third to three times of that it was opened for. It is opened anew for
less; for more there will soon be a larger picture (`ladder`)."""
BUFFER_S: Final = 0.3
"""A picture may borrow so much from those that follow."""
DEBT_S: Final = 0.4
"""Pictures are left out while more than so much of the rate is owed."""
CREDIT_S: Final = 0.5
MOST_BEYOND: Final = 1.3
"""libx264 leaves a fifth of a rate that it must not exceed unused: it is told up to so much more,
as it has so much to its credit."""
OFF_BY: Final = (0.8, 1.4)
"""An encoder without live rates is opened anew for less or more than so much of its rate ..."""
LESS_S: Final = 1.0
MORE_S: Final = 5.0
"""... at most so often."""


@dataclass(frozen=True, slots=True)
class Kind:
    """An encoder of FFmpeg's, by its name, and how it is to be opened.

    `live`: its rate can be changed in place. `device`: of what kind and where, for FFmpeg's
    hardware contexts.
    """

    codec: str
    live: bool = False
    device: tuple[str, str] | None = None
    options: Mapping[str, str] = field(default_factory=dict)


SOFTWARE: Final = Kind(
    "libx264",
    live=True,
    options={
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "forced-idr": "1",
        "x264-params": "keyint=infinite:scenecut=0",
    },
)
V4L2: Final = Kind("h264_v4l2m2m", options={"num_output_buffers": "4", "num_capture_buffers": "4"})


def vaapi(node: str) -> Kind:
    """Return the encoder behind a render node."""
    options = {"profile": "constrained_baseline", "rc_mode": "CBR", "async_depth": "1"}
    return Kind("h264_vaapi", device=("vaapi", node), options=options)


def fits(width: int, height: int, fps: int) -> bool:
    """Tell whether pictures of this size may be sent, which PROFILE bounds."""
    blocks = -(-width // 16) * -(-height // 16)
    return blocks <= MOST_BLOCKS and blocks * fps <= MOST_BLOCKS_PER_S


def is_built_in(codec: str) -> bool:
    """Tell whether FFmpeg has an encoder of this name."""
    try:
        return bool(av.Codec(codec, "w"))
    except av.codec.codec.UnknownCodecError:
        return False


class Debt:
    """What was sent beyond the rate; below 0, what it has left, up to CREDIT_S."""

    def __init__(self) -> None:
        self._bits = 0.0
        self._pts: int | None = None

    def owed_s(self, pts: int, bps: float) -> float:
        """Return it in seconds of `bps`, which was the rate until `pts` of CLOCK."""
        if self._pts is not None:
            self._bits -= bps * (pts - self._pts) / CLOCK
        self._pts = pts
        self._bits = max(self._bits, -CREDIT_S * bps)
        return self._bits / bps

    def add(self, size: int) -> None:
        """Note so many bytes."""
        self._bits += 8 * size


class Encoder:
    """H.264 of one size; `bps` is bits per second of H.264, no headers.

    Raises ValueError for a size or a rate that is out of range, and where FFmpeg cannot encode.
    """

    def __init__(self, kind: Kind, width: int, height: int, bps: float) -> None:
        if width % 2 or height % 2 or min(width, height) < 16 or not fits(width, height, 1):
            raise ValueError(f"a picture of {width}x{height}")
        self.width, self.height = width, height
        self._kind = kind
        self._bps = _checked(bps)
        self._opened_bps = 0.0
        self._opened_pts = 0
        self._context: VideoCodecContext | None = None
        self._sets = ParameterSets()
        self._debt = Debt()
        self._ready: deque[Encoded] = deque()
        self._pts = -1

    def set_bps(self, bps: float) -> None:
        """Aim at so many bits per second from the next picture on."""
        self._bps = _checked(bps)

    def encode(self, frame: VideoFrame, pts: int, *, key: bool = False) -> Encoded | None:
        """Encode a yuv420p picture of the encoder's size, taken at `pts` of CLOCK.

        `key` makes it a key picture. None where it was left out to keep to the rate, or where the
        encoder keeps it back; it then comes at a later call.
        """
        if (frame.width, frame.height) != (self.width, self.height):
            raise ValueError(f"a picture of {frame.width}x{frame.height}")
        pts = self._pts = max(self._pts + 1, pts)
        owed_s = self._debt.owed_s(pts, self._bps)
        if not key and owed_s > DEBT_S:
            return None
        try:
            self._give(self._fitting(pts, owed_s), frame, pts, key=key)
        except (FFmpegError, NotImplementedError, OSError) as error:
            self._context = None
            raise ValueError(f"{self._kind.codec}: {error}") from error
        return self._ready.popleft() if self._ready else None

    def _give(self, context: VideoCodecContext, frame: VideoFrame, pts: int, *, key: bool) -> None:
        frame.pts, frame.time_base = pts, Fraction(1, CLOCK)
        frame.pict_type = PictureType.I if key else PictureType.NONE
        for packet in context.encode(frame):
            data = self._sets.complete(bytes(packet))
            self._debt.add(len(data))
            at = pts if packet.pts is None else packet.pts
            self._ready.append(Encoded(data, packet.is_keyframe, at, Codec.H264))

    def _fitting(self, pts: int, owed_s: float) -> VideoCodecContext:
        """Return the open encoder, with the rate that is wanted now."""
        if self._context is None or self._is_far_off(pts):
            self._context = self._open()
            self._opened_bps, self._opened_pts = self._bps, pts
            self._ready.clear()
        if self._kind.live:
            beyond = 1 + (MOST_BEYOND - 1) * min(1.0, max(0.0, -owed_s / CREDIT_S))
            self._context.bit_rate = round(min(self._bps, SPAN * self._opened_bps) * beyond)
        return self._context

    def _is_far_off(self, pts: int) -> bool:
        share = self._bps / self._opened_bps
        if self._kind.live:
            return share < 1 / SPAN
        seconds = (pts - self._opened_pts) / CLOCK
        least, most = OFF_BY
        return (share < least and seconds >= LESS_S) or (share > most and seconds >= MORE_S)

    def _open(self) -> VideoCodecContext:
        kind = self._kind
        hardware = HWAccel(*kind.device) if kind.device else None
        context = av.CodecContext.create(kind.codec, "w", hwaccel=hardware)
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = self.width, self.height
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, CLOCK)
        context.framerate = Fraction(NOMINAL_FPS, 1)
        context.gop_size = 100_000
        context.max_b_frames = 0
        context.thread_count = threads(self.width, self.height, os.cpu_count() or 1)
        # libx264 takes what it is opened with for the most, and as its mean for as long as both
        # are the same.
        context.bit_rate = round(self._bps * (SPAN * MOST_BEYOND if kind.live else 1))
        buffer = str(round(self._bps * BUFFER_S))
        context.options = {
            **kind.options,
            "maxrate": str(context.bit_rate),
            "bufsize": buffer,
        }
        context.open()
        return context


def _checked(bps: float) -> float:
    if not LEAST_BPS <= bps <= MOST_BPS:
        raise ValueError(f"{bps:.0f} bit/s is not in {LEAST_BPS} to {MOST_BPS}")
    return bps
