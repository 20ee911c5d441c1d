"""What an encoder of pictures gives, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

CLOCK: Final = 90_000
"""Ticks per second of the pictures' times (RFC 7741, section 4.1; RFC 6184, section 8.1)."""


class Codec(StrEnum):
    """How a picture is coded; the values are the names in SDP."""

    VP8 = "VP8"
    H264 = "H264"


class Encoding(StrEnum):
    """How the own picture is encoded; AUTO: by hardware where it works, else as VP8."""

    AUTO = "auto"
    VP8 = "vp8"
    H264 = "h264"
    H264_VAAPI = "h264_vaapi"
    H264_V4L2M2M = "h264_v4l2m2m"


@dataclass(frozen=True, slots=True)
class Encoded:
    """One coded picture, taken at `pts` of CLOCK; H.264 is in Annex B's byte stream.

    `key` tells that it can be decoded without those before it.
    """

    data: bytes
    key: bool
    pts: int
    codec: Codec = Codec.VP8
