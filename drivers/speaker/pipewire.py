"""The real speaker: a sink of PipeWire, and the handset's beside it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from drivers.microphone.place import Chooser, Place, Side, find_for, is_at
from drivers.microphone.pulse import Player, server
from drivers.microphone.watch import watch
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.microphone import CHUNK_BYTES, SAMPLE_RATE, Route
from kioskd.hal.speaker import Speaker
from kioskd.runtime.queues import DropOldest

QUEUE_CHUNKS: Final = 6
"""120 ms; the pipe (43 ms) and the program's buffer (20 ms) wait behind it."""
PIPE_BYTES: Final = 4096
"""The smallest a pipe can be: the default of 64 KiB holds 0.7 s of sound."""
STALL_S: Final = 2.0


class PipewireSpeakerConfig(BaseModel):
    """A PipeWire sink by name (`pactl list short sinks`).

    With "" one is chosen by rule and kept: the echo canceller's, else a USB one, else any.
    `handset_sink` is the handset's, "" where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["pipewire"] = "pipewire"
    sink: str = ""
    handset_sink: str = ""

    def build(self) -> PipewireSpeaker:
        """Make the device."""
        return PipewireSpeaker(self)


class _Playback:
    """One opening: the program, the queue, and the tasks that feed and watch."""

    def __init__(self) -> None:
        self.queue: DropOldest[bytes] = DropOldest(QUEUE_CHUNKS)
        self.error: DeviceError | None = None
        self.sink = ""
        self.player: Player | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._transport: asyncio.WriteTransport | None = None

    async def start(self, sink: str) -> None:
        """Start the program. Own pipe: asyncio's stdin is a socket that holds seconds."""
        self.sink = sink
        player = self.player = Player("pacat", sink)
        theirs, ours = os.pipe()
        try:
            fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            await player.start(stdin=theirs)
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
            asyncio.create_task(self._feed(writer, player), name="speaker"),
            asyncio.create_task(self._watch(player), name="speaker watch"),
        ]

    async def stop(self) -> None:
        """End the program; what waits is not played."""
        self.fail(DeviceError(Reason.CANCELLED, "the speaker was closed"))
        self._hang_up()
        if self.player is not None:
            self.player.kill()
            await self.player.stop()
        for task in self._tasks:
            task.cancel()  # why the program ended is no longer asked of a server that may hang
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def waiting(self) -> int | None:
        """Count the bytes that wait in the queue and in the pipe; None when there is none."""
        if self._transport is None or self._transport.is_closing():
            return None
        pipe = self._transport.get_extra_info("pipe")
        piped = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
        unwritten = self._transport.get_write_buffer_size()
        return int(piped) + unwritten + len(self.queue) * CHUNK_BYTES

    def fail(self, error: DeviceError) -> None:
        """Make every later use raise `error`; the first error stays."""
        if self.error is None:
            self.error = error
            self.queue.fail(error)

    async def _feed(self, writer: asyncio.StreamWriter, player: Player) -> None:
        try:
            while self.error is None:
                writer.write(await self.queue.get())
                async with asyncio.timeout(STALL_S):
                    await writer.drain()
        except TimeoutError:
            self.fail(DeviceError(Reason.NO_ANSWER, f"takes no sound for {STALL_S:.0f} s"))
            player.kill()
        except (OSError, DeviceError):
            pass  # `_watch` tells why
        finally:
            self._hang_up()

    async def _watch(self, player: Player) -> None:
        self.fail(await player.ended())
        self._hang_up()

    def _hang_up(self) -> None:
        # A pipe transport that is aborted twice raises AttributeError (Python 3.11).
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()


class PipewireSpeaker(Speaker):
    """Plays while open. The supervisor reopens it after an error."""

    def __init__(self, config: PipewireSpeakerConfig) -> None:
        others = [config.handset_sink] if config.handset_sink else []
        self._free = Chooser(Side.SINK, config.sink, others)
        self._handset = Chooser(Side.SINK, config.handset_sink) if others else None
        self._route = Route.HANDS_FREE
        self._volume = 1.0
        self._playback: _Playback | None = None
        self._lock = asyncio.Lock()

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"pipewire {self._free.name or '(to be chosen)'}"

    async def watch(self) -> None:
        """Hear of what is plugged and unplugged until cancelled."""
        await watch.listen(self.look_again)

    async def check(self) -> DeviceHealth:
        """Ask the server for the sink, and whether what plays is there."""
        playback = self._playback
        async with server() as pulse:
            place, missing = await self._place(pulse)
            if playback is not None and playback.sink == place.name:
                await self._confirm(pulse, playback, place)
        if playback is not None and playback.sink != place.name:
            await self._start_again()  # the handset came or went
        if missing is not None:
            return DeviceHealth(DeviceState.DEGRADED, missing.reason, missing.detail)
        return DeviceHealth(DeviceState.READY)

    async def _confirm(self, pulse: Any, playback: _Playback, place: Place) -> None:
        pid = playback.player.pid if playback.player else None
        if playback.error is None and not await is_at(pulse, place, Side.SINK, pid):
            playback.fail(DeviceError(Reason.NO_ANSWER, f"the stream is not at {place.name}"))
        if playback.error is not None and playback is self._playback:
            raise playback.error

    async def open(self) -> None:
        """Start the program that plays, at the volume last set."""
        async with self._lock:
            if self._playback is None:
                playback = _Playback()
                await self._start(playback)
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
        if self._playback is None:
            raise DeviceError(Reason.CANCELLED, "the speaker is closed")
        if self._playback.error is not None:
            raise self._playback.error
        self._playback.queue.put(pcm)

    def backlog(self) -> float | None:
        """Return the seconds of sound that the sound server has not taken yet."""
        waiting = None if self._playback is None else self._playback.waiting()
        return None if waiting is None else waiting / 2 / SAMPLE_RATE

    async def set_volume(self, volume: float) -> None:
        """Set the loudness of the sink itself, 0.0 to 1.0."""
        if not 0.0 <= volume <= 1.0:
            raise ValueError(f"volume {volume}")
        self._volume = volume
        if self._playback is not None:
            async with server() as pulse:
                await self._set_up(pulse, (await self._place(pulse))[0])

    async def route(self, route: Route) -> None:
        """Play at the handset, or hands-free."""
        if route is self._route:
            return
        self._route = route
        if self._handset is not None:
            await self._start_again()

    async def _start_again(self) -> None:
        """Play where the route says; the program that plays elsewhere is silent first."""
        async with self._lock:
            old = self._playback
            if old is None:
                return
            playback = self._playback = _Playback()  # takes what is played meanwhile
            try:
                await asyncio.shield(old.stop())
                await self._start(playback)
            except BaseException as error:
                own = error if isinstance(error, DeviceError) else None
                playback.fail(own or DeviceError(Reason.CANCELLED, "the speaker was not opened"))
                raise

    async def _start(self, playback: _Playback) -> None:
        async with server() as pulse:
            place, _ = await self._place(pulse)
            await self._set_up(pulse, place)
        try:
            await playback.start(place.name)
        except BaseException:
            await asyncio.shield(playback.stop())
            raise

    async def _place(self, pulse: Any) -> tuple[Place, DeviceAbsent | None]:
        return await find_for(pulse, self._route, self._free, self._handset)

    async def _set_up(self, pulse: Any, place: Place) -> None:
        """Unmute and set the sink in use; mute the loudspeaker while the handset has the sound.

        A sink that was plugged again has a volume of its own.
        """
        for sink in await pulse.sink_list():
            if sink.name == place.name:
                await pulse.volume_set_all_chans(sink, self._volume)
                await pulse.sink_mute(sink.index, False)
            elif place.hardware is not None and sink.name == place.hardware.name:
                await pulse.volume_set_all_chans(sink, 1.0)
                await pulse.sink_mute(sink.index, False)
            elif sink.name == self._free.name:
                await pulse.sink_mute(sink.index, True)
