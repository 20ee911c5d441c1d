"""The real microphone: a source of PipeWire (usually the echo canceller's)."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import PIPE
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from drivers.microphone.place import Chooser, Place, Side, find_for, is_at
from drivers.microphone.pulse import Player, server
from drivers.microphone.watch import watch
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.microphone import CHUNK_BYTES, AudioChunk, Microphone, Route
from kioskd.runtime.queues import DropOldest

STALL_S: Final = 2.0
QUEUE_CHUNKS: Final = 10
"""200 ms."""
STALE_CHUNKS: Final = 3
"""60 ms that are thrown away. PipeWire 0.3.65 hands whoever begins to record what its buffers held
when nobody recorded any more: the end of what was said in the last visit. It is a period of the
graph, measured 512 samples, and 2048 at the most (default.clock.max-quantum)."""


class PipewireMicrophoneConfig(BaseModel):
    """A PipeWire source by name (`pactl list short sources`).

    With "" one is chosen by rule and kept: the echo canceller's, else a USB one, else any.
    `handset_source` is the handset's, "" where there is none. `echo_canceller` tells whether
    one is expected: false for a kiosk without a loudspeaker.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["pipewire"] = "pipewire"
    source: str = ""
    handset_source: str = ""
    echo_canceller: bool = True

    def build(self) -> PipewireMicrophone:
        """Make the device."""
        return PipewireMicrophone(self)


class _Recording:
    """One opening: the recorder and the task that reads it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.chunks: DropOldest[AudioChunk] = DropOldest(QUEUE_CHUNKS)
        self.error: DeviceError | None = None
        self.flows = asyncio.Event()
        self.player = Player("parec", source)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to record and return when sound flows."""
        process = await self.player.start(stdout=PIPE)
        assert process.stdout is not None
        self._task = asyncio.create_task(self._read(process.stdout), name="microphone")
        await self.flows.wait()
        if self.error is not None:
            raise self.error

    async def stop(self) -> None:
        """End the recorder."""
        self.fail(DeviceError(Reason.CANCELLED, "the microphone was closed"))
        await self.player.stop()
        if self._task is not None:
            self._task.cancel()  # why it ended is no longer asked of a server that may hang
            await asyncio.gather(self._task, return_exceptions=True)

    def fail(self, error: DeviceError) -> None:
        """Make every later use raise `error`; the first error stays."""
        if self.error is None:
            self.error = error
            self.chunks.fail(error)
        self.flows.set()

    async def _read(self, sound: asyncio.StreamReader) -> None:
        stale = STALE_CHUNKS
        try:
            while True:
                async with asyncio.timeout(STALL_S):
                    pcm = await sound.readexactly(CHUNK_BYTES)
                if stale:
                    stale -= 1
                    continue
                self.chunks.put(AudioChunk(pcm, time.monotonic()))
                self.flows.set()
        except TimeoutError:
            self.fail(DeviceError(Reason.NO_ANSWER, f"no sound for {STALL_S:.0f} s"))
            await self.player.stop()
        except asyncio.IncompleteReadError:
            self.fail(await self.player.ended())


class PipewireMicrophone(Microphone):
    """Records while open. The supervisor reopens it after an error."""

    def __init__(self, config: PipewireMicrophoneConfig) -> None:
        self._config = config
        others = [config.handset_source] if config.handset_source else []
        self._free = Chooser(Side.SOURCE, config.source, others)
        self._handset = Chooser(Side.SOURCE, config.handset_source) if others else None
        self._route = Route.HANDS_FREE
        self._recording: _Recording | None = None
        self._lock = asyncio.Lock()

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"pipewire {self._free.name or '(to be chosen)'}"

    async def watch(self) -> None:
        """Hear of what is plugged and unplugged until cancelled."""
        await watch.listen(self.look_again)

    async def check(self) -> DeviceHealth:
        """Ask the server for the source; records nothing."""
        recording = self._recording
        async with server() as pulse:
            try:
                place, missing = await find_for(pulse, self._route, self._free, self._handset)
            except DeviceError as error:
                # An echo canceller goes on without the microphone it stands before.
                if recording is not None:
                    recording.fail(error)
                raise
            if recording is not None and recording.source == place.name:
                await self._confirm(pulse, recording, place)
        if recording is not None and recording.source != place.name:
            await self.route(self._route)  # the handset came or went
        if missing is not None:
            return DeviceHealth(DeviceState.DEGRADED, missing.reason, missing.detail)
        on_handset = self._handset is not None and place.name == self._handset.name
        if self._config.echo_canceller and not on_handset and not place.echo_cancelled:
            return DeviceHealth(DeviceState.DEGRADED, Reason.NO_ECHO_CANCELLER, place.name)
        return DeviceHealth(DeviceState.READY)

    async def _confirm(self, pulse: Any, recording: _Recording, place: Place) -> None:
        if recording.error is None and not await is_at(
            pulse, place, Side.SOURCE, recording.player.pid
        ):
            recording.fail(DeviceError(Reason.NO_ANSWER, f"the stream is not at {place.name}"))
        if recording.error is not None and recording is self._recording:
            raise recording.error

    async def open(self) -> None:
        """Start to listen; returns when sound flows."""
        async with self._lock:
            if self._recording is None:
                self._recording = await self._record(await self._source())

    async def close(self) -> None:
        """Stop to listen; whoever waits for sound is told."""
        async with self._lock:
            recording, self._recording = self._recording, None
            if recording is not None:
                await asyncio.shield(recording.stop())

    async def route(self, route: Route) -> None:
        """Listen at the handset, or hands-free; a recording goes on without a gap."""
        self._route = route
        async with self._lock:
            old = self._recording
            if old is None:
                return
            source = await self._source()
            if source == old.source and old.error is None:
                return
            self._recording = await self._record(source)
            await asyncio.shield(old.stop())

    async def chunk(self) -> AudioChunk:
        """Return the next 20 ms of sound in order."""
        while True:
            recording = self._recording
            if recording is None:
                raise DeviceError(Reason.CANCELLED, "the microphone is closed")
            try:
                return await recording.chunks.get()
            except DeviceError:
                if self._recording in (None, recording):
                    raise  # else it goes on at another source

    async def _source(self) -> str:
        async with server() as pulse:
            place, _ = await find_for(pulse, self._route, self._free, self._handset)
        return place.name

    async def _record(self, source: str) -> _Recording:
        recording = _Recording(source)
        try:
            await recording.start()
        except BaseException:
            await asyncio.shield(recording.stop())
            raise
        return recording
