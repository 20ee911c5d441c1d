"""The real microphone: a source of PipeWire (usually the echo canceller's)."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import PIPE
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from drivers.microphone.pulse import Player, find_source
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.microphone import CHUNK_BYTES, AudioChunk, Microphone
from kioskd.runtime.queues import DropOldest

STALL_S: Final = 2.0
QUEUE_CHUNKS: Final = 10
"""200 ms."""


class PipewireMicrophoneConfig(BaseModel):
    """A PipeWire source by name (`pactl list short sources`); "" is the default one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["pipewire"] = "pipewire"
    source: str = ""

    def build(self) -> PipewireMicrophone:
        """Make the device."""
        return PipewireMicrophone(self.source)


class _Recording:
    """One opening: the recorder and the task that reads it."""

    def __init__(self, source: str) -> None:
        self.chunks: DropOldest[AudioChunk] = DropOldest(QUEUE_CHUNKS)
        self.error: DeviceError | None = None
        self.flows = asyncio.Event()
        self._player = Player("parec", source)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to record and return when sound flows."""
        process = await self._player.start(stdout=PIPE)
        assert process.stdout is not None
        self._task = asyncio.create_task(self._read(process.stdout), name="microphone")
        await self.flows.wait()
        if self.error is not None:
            raise self.error

    async def stop(self) -> None:
        """End the recorder."""
        self.fail(DeviceError(Reason.CANCELLED, "the microphone was closed"))
        await self._player.stop()
        if self._task is not None:
            await self._task

    def fail(self, error: DeviceError) -> None:
        """Make every later use raise `error`; the first error stays."""
        if self.error is None:
            self.error = error
            self.chunks.fail(error)
        self.flows.set()

    async def _read(self, sound: asyncio.StreamReader) -> None:
        try:
            while True:
                async with asyncio.timeout(STALL_S):
                    pcm = await sound.readexactly(CHUNK_BYTES)
                self.chunks.put(AudioChunk(pcm, time.monotonic()))
                self.flows.set()
        except TimeoutError:
            self.fail(DeviceError(Reason.NO_ANSWER, f"no sound for {STALL_S:.0f} s"))
            await self._player.stop()
        except asyncio.IncompleteReadError:
            self.fail(await self._player.ended())


class PipewireMicrophone(Microphone):
    """Records while open. The supervisor reopens it after an error."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._recording: _Recording | None = None
        self._lock = asyncio.Lock()

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"pipewire {self._source or '(default)'}"

    async def check(self) -> DeviceHealth:
        """Ask the server for the source; records nothing."""
        await find_source(self._source)
        if self._recording is not None and self._recording.error is not None:
            raise self._recording.error
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Start to listen; returns when sound flows."""
        async with self._lock:
            if self._recording is not None:
                return
            recording = _Recording(await find_source(self._source))
            try:
                await recording.start()
            except BaseException:
                await asyncio.shield(recording.stop())
                raise
            self._recording = recording

    async def close(self) -> None:
        """Stop to listen; whoever waits for sound is told."""
        async with self._lock:
            recording, self._recording = self._recording, None
            if recording is not None:
                await asyncio.shield(recording.stop())

    async def chunk(self) -> AudioChunk:
        """Return the next 20 ms of sound in order."""
        if self._recording is None:
            raise DeviceError(Reason.CANCELLED, "the microphone is closed")
        return await self._recording.chunks.get()
