"""A microphone that hears a tone, for development, demonstration and tests."""

from __future__ import annotations

import time
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from drivers.room import ROOM
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.microphone import CHUNK_SAMPLES, SAMPLE_RATE, AudioChunk, Microphone, Route
from kioskd.hal.simulated import Simulated

STALL_S: Final = 2.0
CHUNK_S: Final = CHUNK_SAMPLES / SAMPLE_RATE
LATE_CHUNKS: Final = 10
AMPLITUDE: Final = 8000
FLIGHT_S: Final = 0.003
"""Sound takes this long for a metre."""


class FakeMicrophoneConfig(BaseModel):
    """A sine of `tone_hz` at a quarter of full scale, in real time; 0 is silence.

    `echo_db` is how much of the simulated speaker it hears besides, None for nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["fake"] = "fake"
    tone_hz: float = Field(440, ge=0, le=20_000)
    echo_db: float | None = Field(None, ge=-60, le=0)

    def build(self) -> FakeMicrophone:
        """Make the device."""
        return FakeMicrophone(self.tone_hz, self.echo_db)


class FakeMicrophone(Simulated, Microphone):
    """Makes a chunk when one is asked for, at the pace of a real microphone."""

    def __init__(self, tone_hz: float, echo_db: float | None = None) -> None:
        super().__init__()
        self.routed = Route.HANDS_FREE
        self._tone_hz = tone_hz
        self._echo = 0.0 if echo_db is None else 10 ** (echo_db / 20)
        self._started: float | None = None
        self._next = 0

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"fake {self._tone_hz:g} Hz"

    @property
    def is_open(self) -> bool:
        """True while the microphone listens."""
        return self._started is not None

    async def check(self) -> DeviceHealth:
        """Tell whether the microphone could be used now."""
        await self._pass(STALL_S)
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Start to listen."""
        if self._started is None:
            await self._pass(STALL_S)
            self._started = time.monotonic()
            self._next = 0

    async def close(self) -> None:
        """Stop to listen; whoever waits for sound is told."""
        self._started = None
        self._tell()

    async def chunk(self) -> AudioChunk:
        """Return the next 20 ms of sound in order."""
        while True:
            self._need_open()
            await self._pass(STALL_S)
            started = self._need_open()
            now = time.monotonic()
            heard = int((now - started) / CHUNK_S)
            self._next = max(self._next, heard - LATE_CHUNKS)
            if heard > self._next:
                break
            await self._sleep(started + (self._next + 1) * CHUNK_S - now + 0.0005)
        at = np.arange(self._next * CHUNK_SAMPLES, (self._next + 1) * CHUNK_SAMPLES)
        wave = AMPLITUDE * np.sin(2 * np.pi * self._tone_hz * at / SAMPLE_RATE)
        if self._echo:
            wave += self._echo * ROOM.hear(started + self._next * CHUNK_S - FLIGHT_S, CHUNK_SAMPLES)
        self._next += 1
        return AudioChunk(
            wave.clip(-32768, 32767).astype("<i2").tobytes(), started + self._next * CHUNK_S
        )

    async def route(self, route: Route) -> None:
        """Remember the route."""
        await self._pass(STALL_S)
        self.routed = route

    def _need_open(self) -> float:
        if self._started is None:
            raise DeviceError(Reason.CANCELLED, "the microphone is closed")
        return self._started
