"""The speaker's contract."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from kioskd.hal.device import Device, DeviceKind
from kioskd.hal.microphone import Route


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

    def backlog(self) -> float | None:
        """Return the seconds of sound that wait and that the device has not taken yet.

        None where that cannot be told: the player then goes by its own clock alone.
        """
        return None

    @abstractmethod
    async def set_volume(self, volume: float) -> None:
        """Set the loudness, 0.0 (silent) to 1.0 (as loud as the device goes).

        Works open and closed: it is set again at each opening. Raises DeviceError.
        """

    @abstractmethod
    async def route(self, route: Route) -> None:
        """Play there from now on, also at later openings; the other is silent at once.

        A handset that is not there leaves the sound at the loudspeaker, and `check` tells of
        it; a kiosk that has none does nothing. Raises DeviceError.
        """
