"""The microphone's contract, and the one format of sound in kioskd."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from kioskd.hal.device import Device, DeviceKind

SAMPLE_RATE: Final = 48_000
"""Samples per second; the rate of Opus (RFC 6716), so that nothing is resampled."""
CHUNK_SAMPLES: Final = 960
"""Samples in a chunk: 20 ms, one Opus frame."""
CHUNK_BYTES: Final = CHUNK_SAMPLES * 2
"""Bytes of a chunk: one channel, signed 16 bit little-endian."""


class Route(StrEnum):
    """Where the resident hears and speaks: loudspeaker and room microphone, or the handset."""

    HANDS_FREE = "hands-free"
    HANDSET = "handset"


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """20 ms of sound: CHUNK_BYTES bytes, mono, S16LE, 48 kHz.

    `captured_at`, in seconds of the monotonic clock, is when its last sample arrived.
    """

    pcm: bytes
    captured_at: float


class Microphone(Device):
    """A source of sound. It listens only between `open` and `close`."""

    kind: ClassVar[DeviceKind] = DeviceKind.MICROPHONE
    check_proves: ClassVar[bool] = False

    @abstractmethod
    async def chunk(self) -> AudioChunk:
        """Return the next 20 ms of sound in order.

        A caller that is more than 200 ms late loses the oldest. Raises DeviceError
        when the microphone is closed, unplugged, or delivers nothing for 2 s.
        """

    @abstractmethod
    async def route(self, route: Route) -> None:
        """Listen there from now on, also at later openings; an open one goes on.

        A handset that is not there leaves the microphone hands-free, and `check` tells of
        it; a kiosk that has none does nothing. Raises DeviceError.
        """
