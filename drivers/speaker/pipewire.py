"""The real speaker: a sink of PipeWire."""

from __future__ import annotations

import asyncio
import fcntl
import os
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from drivers.microphone.pulse import Player, find_sink, server
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.microphone import CHUNK_BYTES
from kioskd.hal.speaker import Speaker
from kioskd.runtime.queues import DropOldest

QUEUE_CHUNKS: Final = 6
"""120 ms; the pipe (43 ms) and the program's buffer (20 ms) wait behind it."""
PIPE_BYTES: Final = 4096
"""The smallest a pipe can be: the default of 64 KiB holds 0.7 s of sound."""


class PipewireSpeakerConfig(BaseModel):
    """A PipeWire sink by name (`pactl list short sinks`); "" is the default one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["pipewire"] = "pipewire"
    sink: str = ""

    def build(self) -> PipewireSpeaker:
        """Make the device."""
        return PipewireSpeaker(self.sink)


class _Playback:
    """One opening: the program, the queue, and the tasks that feed and watch."""

    def __init__(self, sink: str) -> None:
        self.queue: DropOldest[bytes] = DropOldest(QUEUE_CHUNKS)
        self.error: DeviceError | None = None
        self._player = Player("pacat", sink)
        self._tasks: list[asyncio.Task[None]] = []
        self._transport: asyncio.WriteTransport | None = None

    async def start(self) -> None:
        """Start the program. Own pipe: asyncio's stdin is a socket that holds seconds."""
        theirs, ours = os.pipe()
        try:
            fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            await self._player.start(stdin=theirs)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(ours, "wb", buffering=0)
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
        transport.set_write_buffer_limits(high=0)
        self._transport = transport
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        self._tasks = [
            asyncio.create_task(self._feed(writer), name="speaker"),
            asyncio.create_task(self._watch(), name="speaker watch"),
        ]

    async def stop(self) -> None:
        """End the program; what waits is not played."""
        self.fail(DeviceError(Reason.CANCELLED, "the speaker was closed"))
        self._hang_up()
        await self._player.stop()
        await asyncio.gather(*self._tasks)

    def fail(self, error: DeviceError) -> None:
        """Make every later use raise `error`; the first error stays."""
        if self.error is None:
            self.error = error
            self.queue.fail(error)

    async def _feed(self, writer: asyncio.StreamWriter) -> None:
        try:
            while self.error is None:
                writer.write(await self.queue.get())
                await writer.drain()
        except (OSError, DeviceError):
            return  # `_watch` tells why

    async def _watch(self) -> None:
        self.fail(await self._player.ended())
        self._hang_up()

    def _hang_up(self) -> None:
        # A pipe transport that is aborted twice raises AttributeError (Python 3.11).
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()


class PipewireSpeaker(Speaker):
    """Plays while open. The supervisor reopens it after an error."""

    def __init__(self, sink: str) -> None:
        self._sink = sink
        self._playback: _Playback | None = None
        self._lock = asyncio.Lock()

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"pipewire {self._sink or '(default)'}"

    async def check(self) -> DeviceHealth:
        """Ask the server for the sink."""
        async with server() as pulse:
            await find_sink(pulse, self._sink)
        if self._playback is not None and self._playback.error is not None:
            raise self._playback.error
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Start the program that plays."""
        async with self._lock:
            if self._playback is not None:
                return
            async with server() as pulse:
                name = (await find_sink(pulse, self._sink)).name
            playback = _Playback(name)
            try:
                await playback.start()
            except BaseException:
                await asyncio.shield(playback.stop())
                raise
            self._playback = playback

    async def close(self) -> None:
        """Release the speaker; what waits is not played."""
        async with self._lock:
            playback, self._playback = self._playback, None
            if playback is not None:
                await asyncio.shield(playback.stop())

    async def play(self, pcm: bytes) -> None:
        """Queue 20 ms of sound and return at once."""
        if len(pcm) != CHUNK_BYTES:
            raise ValueError(f"{len(pcm)} bytes, not {CHUNK_BYTES}")
        self._opened().queue.put(pcm)

    async def set_volume(self, volume: float) -> None:
        """Set the loudness of the sink itself, 0.0 to 1.0."""
        if not 0.0 <= volume <= 1.0:
            raise ValueError(f"volume {volume}")
        self._opened()
        async with server() as pulse:
            sink = await find_sink(pulse, self._sink)
            await pulse.volume_set_all_chans(sink, volume)

    def _opened(self) -> _Playback:
        if self._playback is None:
            raise DeviceError(Reason.CANCELLED, "the speaker is closed")
        if self._playback.error is not None:
            raise self._playback.error
        return self._playback
