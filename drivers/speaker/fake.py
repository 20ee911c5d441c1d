"""A speaker that remembers what it played, for development, demonstration and tests."""

from __future__ import annotations

import time
from collections import deque
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from drivers.room import ROOM
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.microphone import CHUNK_BYTES, CHUNK_SAMPLES, SAMPLE_RATE, Route
from kioskd.hal.simulated import Simulated
from kioskd.hal.speaker import Speaker

ANSWER_S: Final = 2.0
CHUNK_S: Final = CHUNK_SAMPLES / SAMPLE_RATE
QUEUE_CHUNKS: Final = 10


class FakeSpeakerConfig(BaseModel):
    """Plays to nobody in real time and keeps the last `keep_s` seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["fake"] = "fake"
    keep_s: float = Field(10, gt=0, le=600)

    def build(self) -> FakeSpeaker:
        """Make the device."""
        return FakeSpeaker(self.keep_s)


class FakeSpeaker(Simulated, Speaker):
    """Works out, whenever it is looked at, what would have been played by now."""

    def __init__(self, keep_s: float) -> None:
        super().__init__()
        self.volume = 1.0
        self.routed = Route.HANDS_FREE
        self.dropped = 0
        self._heard: deque[bytes] = deque(maxlen=max(1, round(keep_s / CHUNK_S)))
        self._waiting: deque[bytes] = deque()
        self._clock = 0.0
        self._open = False

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return "fake"

    @property
    def is_open(self) -> bool:
        """True while the speaker is open."""
        return self._open

    def heard(self) -> bytes:
        """Return the last seconds of what was played: mono, S16LE, 48 kHz."""
        self._advance()
        return b"".join(self._heard)

    async def check(self) -> DeviceHealth:
        """Tell whether the speaker could be used now."""
        await self._pass(ANSWER_S)
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Acquire the speaker."""
        await self._pass(ANSWER_S)
        self._open = True

    async def close(self) -> None:
        """Release the speaker; what waits is not played."""
        self._advance()
        self._waiting.clear()
        self._open = False

    def hold(self) -> None:
        """Stop to play; what comes now waits, and the oldest of it is dropped."""
        self._advance()
        super().hold()

    def release(self) -> None:
        """Go on playing."""
        self._clock = time.monotonic()
        super().release()

    async def play(self, pcm: bytes) -> None:
        """Queue 20 ms of sound and return at once."""
        if len(pcm) != CHUNK_BYTES:
            raise ValueError(f"{len(pcm)} bytes, not {CHUNK_BYTES}")
        self._need_open()
        self._advance()
        if not self._waiting:
            self._clock = max(self._clock, time.monotonic())
        self._waiting.append(pcm)
        starts = self._clock + (len(self._waiting) - 1) * CHUNK_S
        if not self._held:
            ROOM.play(starts, self.volume * np.frombuffer(pcm, "<i2").astype(np.float64))
        if len(self._waiting) > QUEUE_CHUNKS:
            self._waiting.popleft()
            self.dropped += 1

    def backlog(self) -> float | None:
        """Return the seconds of sound that wait."""
        self._advance()
        return len(self._waiting) * CHUNK_S if self._open else None

    async def set_volume(self, volume: float) -> None:
        """Set the loudness, 0.0 to 1.0."""
        if not 0.0 <= volume <= 1.0:
            raise ValueError(f"volume {volume}")
        await self._pass(ANSWER_S)
        self.volume = volume

    async def route(self, route: Route) -> None:
        """Remember the route."""
        await self._pass(ANSWER_S)
        self.routed = route

    def _need_open(self) -> None:
        self._raise_fault()
        if not self._open:
            raise DeviceError(Reason.CANCELLED, "the speaker is closed")

    def _advance(self) -> None:
        if self._held:
            return
        now = time.monotonic()
        while self._waiting and self._clock + CHUNK_S <= now:
            self._clock += CHUNK_S
            self._heard.append(self._waiting.popleft())
