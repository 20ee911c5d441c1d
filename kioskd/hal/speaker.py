"""The speaker's contract."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from kioskd.hal.device import Device, DeviceKind


class Speaker(Device):
    """A sink of sound."""

    kind: ClassVar[DeviceKind] = DeviceKind.SPEAKER

    @abstractmethod
    async def play(self, pcm: bytes) -> None:
        """Queue 20 ms of sound (CHUNK_BYTES bytes, mono, S16LE, 48 kHz) and return at once.

        When the device does not keep up the oldest queued sound is dropped, so that at
        most about 200 ms wait. Raises DeviceError when the speaker is closed or gone,
        ValueError for another length.
        """

    @abstractmethod
    async def set_volume(self, volume: float) -> None:
        """Set the loudness, 0.0 (silent) to 1.0 (as loud as the device goes)."""
