"""A private PipeWire with a virtual microphone and a virtual speaker, without any card."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Self

import pulsectl

from kioskd.errors import DeviceError, Reason
from kioskd.runtime.children import Child
from kioskd.runtime.sound_server import connection

START_S: Final = 15.0
POLL_S: Final = 0.02
_INHERITED: Final = ("PATH", "LANG", "LD_LIBRARY_PATH")
PIPEWIRE: Final = "pipewire"
WIREPLUMBER: Final = "wireplumber"
PULSE: Final = "pipewire-pulse"
SERVICES: Final = (PIPEWIRE, WIREPLUMBER, PULSE)
"""In the order in which they start."""


class PrivatePipewire:
    """D-Bus, PipeWire, WirePlumber and pipewire-pulse in `folder`, for any user.

    `folder` exists, is empty, and its path is short (unix sockets: 108 bytes). Use as a
    context manager; raises DeviceError NO_ANSWER when it does not come up.

    One made for the folder of another process's, and not entered, can plug and unplug,
    `signal` and `restart` there as well; what it started itself, `stop` ends.
    """

    source: Final = "kiosk_microphone"
    """The virtual microphone."""
    feed: Final = "kiosk_feed"
    """What is played into this sink is heard by the microphone."""
    sink: Final = "kiosk_speaker"
    """The virtual speaker."""
    sink_monitor: Final = "kiosk_speaker.monitor"
    """The source that hears the speaker."""
    handset_source: Final = "kiosk_handset_microphone"
    handset_sink: Final = "kiosk_handset_speaker"
    clean_source: Final = "kiosk_microphone_clean"
    clean_sink: Final = "kiosk_speaker_clean"
    """The echo canceller's, before the microphone and the speaker."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:{folder}/pulse/native"
        self.env = {
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_SERVER": self.address,
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/bus",
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self._folder = folder
        self._children: list[Child] = []

    @property
    def server_pid(self) -> int:
        """The process id of pipewire-pulse, the server that clients see."""
        return self.pid(PULSE)

    def pid(self, service: str) -> int:
        """Return the process id of one of SERVICES."""
        return int((self._folder / f"{service}.pid").read_text())

    def signal(self, service: str, number: signal.Signals) -> None:
        """Send SIGKILL, SIGSTOP, SIGCONT... to one of SERVICES."""
        os.kill(self.pid(service), number)

    async def restart(self, service: str) -> None:
        """Kill one of SERVICES, dead or alive, and start it again; returns with the devices there.

        A kiosk's systemd does the same: with PipeWire or WirePlumber go all three, for what
        was linked when WirePlumber died is never linked again (systemd/wireplumber.conf).
        """
        victims = (PULSE,) if service == PULSE else SERVICES
        for one in reversed(victims):
            with contextlib.suppress(ProcessLookupError):
                self.signal(one, signal.SIGKILL)
        for child in [one for one in self._children if one.name in victims]:
            await child.stop()
            self._children.remove(child)
        for one in victims:
            while _runs(self.pid(one)):  # noqa: ASYNC110  (another process's child)
                await asyncio.sleep(POLL_S)
            await self._serve(one)
        await self._plug()

    async def start(self) -> None:
        """Start all programs and make the devices; returns when they can be used."""
        try:
            await self._start()
        except BaseException:
            await asyncio.shield(self.stop())
            raise

    async def stop(self) -> None:
        """Stop all programs, the last started first."""
        while self._children:
            await self._children.pop().stop()

    async def remove_source(self) -> None:
        """Unplug the microphone."""
        await self._unload("source", self.source)

    async def add_source(self) -> None:
        """Plug the microphone; returns when it is there."""
        await self._load("module-remap-source", _microphone(self.source, self.feed))
        await self._until("the default source", self._source_is_default)

    async def remove_sink(self) -> None:
        """Unplug the speaker."""
        await self._unload("sink", self.sink)

    async def add_sink(self) -> None:
        """Plug the speaker; returns when it is there."""
        await self._load("module-null-sink", _null_sink(self.sink))
        await self._until("the default sink", self._sink_is_default)

    async def add_handset(self) -> None:
        """Plug a handset; its microphone hears what is played into `feed`."""
        await self._load("module-null-sink", _null_sink(self.handset_sink))
        await self._load("module-remap-source", _microphone(self.handset_source, self.feed))
        await self._until("the handset", lambda: self._is_there(self.handset_source))

    async def remove_handset(self) -> None:
        """Unplug the handset."""
        await self._unload("source", self.handset_source)
        await self._unload("sink", self.handset_sink)

    async def add_echo_canceller(self) -> None:
        """Put WebRTC's echo canceller before microphone and speaker (systemd/README.md)."""
        await self._load(
            "module-echo-cancel",
            f"aec_method=webrtc source_master={self.source} sink_master={self.sink} "
            f"source_name={self.clean_source} sink_name={self.clean_sink} rate=48000 channels=1",
        )
        await self._until("the echo canceller", lambda: self._is_there(self.clean_source))

    async def add_echo(self) -> None:
        """Let the microphone hear the speaker, as in a room."""
        await self._load(
            "module-loopback",
            f"source={self.sink_monitor} sink={self.feed} latency_msec=40 "
            "source_dont_move=true sink_dont_move=true",
        )

    async def remove_echo(self) -> None:
        """Let it no longer: the loudspeaker plays, and nothing comes out of it."""
        async with self._client() as pulse:
            for module in await pulse.module_list():
                if module.name == "module-loopback":
                    await pulse.module_unload(module.index)

    async def _start(self) -> None:
        for name in ("home", "config", "state"):
            (self._folder / name).mkdir(exist_ok=True)
        bus = self.env["DBUS_SESSION_BUS_ADDRESS"]
        await self._run("dbus-daemon", "--session", f"--address={bus}", "--nofork", "--nopidfile")
        await self._until("D-Bus", lambda: _accepts(self._folder / "bus"))
        for service in SERVICES:
            await self._serve(service)
        await self._plug()

    async def _serve(self, service: str) -> None:
        child = await self._run(service)
        (self._folder / f"{service}.pid").write_text(str(child.pid))
        if service == PIPEWIRE:
            await self._until("PipeWire", lambda: _accepts(self._folder / "pipewire-0"))
        elif service == PULSE:
            await self._until("pipewire-pulse", self._answers)

    async def _plug(self) -> None:
        """Make the devices that are not there."""
        await self._until("pipewire-pulse", self._answers)
        if not await self._is_there(f"{self.feed}.monitor"):
            await self._load("module-null-sink", _null_sink(self.feed))
        if not await self._is_there(self.sink_monitor):
            await self.add_sink()
        if not await self._is_there(self.source):
            await self.add_source()

    async def _run(self, *command: str) -> Child:
        env = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        child = Child(command[0], command, env={**env, **self.env})
        try:
            await child.start()
        except OSError as error:
            raise DeviceError(Reason.NO_ANSWER, f"{command[0]}: {error}") from error
        self._children.append(child)
        return child

    async def _until(self, what: str, true: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(pulsectl.PulseError):
                if await true():
                    return
            dead = [child.name for child in self._children if child.exited.is_set()]
            if dead or time.monotonic() > deadline:
                raise DeviceError(Reason.NO_ANSWER, f"{what} is not ready; ended: {dead}")
            await asyncio.sleep(POLL_S)

    async def _load(self, module: str, arguments: str) -> None:
        async with self._client() as pulse:
            await pulse.module_load(module, arguments)

    async def _unload(self, side: str, name: str) -> None:
        """Unload the module that made a source or sink."""
        async with self._client() as pulse:
            for module in await pulse.module_list():
                if f"{side}_name={name} " in f"{module.argument} ":
                    await pulse.module_unload(module.index)

    async def _is_there(self, source: str) -> bool:
        async with self._client() as pulse:
            return any(one.name == source for one in await pulse.source_list())

    async def _answers(self) -> bool:
        async with self._client() as pulse:
            await pulse.server_info()
        return True

    async def _source_is_default(self) -> bool:
        """Set the default: only a session manager at work makes it come true."""
        async with self._client() as pulse:
            for source in await pulse.source_list():
                if source.name == self.source:
                    await pulse.source_default_set(source)
            return bool((await pulse.server_info()).default_source_name == self.source)

    async def _sink_is_default(self) -> bool:
        async with self._client() as pulse:
            for sink in await pulse.sink_list():
                if sink.name == self.sink:
                    await pulse.sink_default_set(sink)
            return bool((await pulse.server_info()).default_sink_name == self.sink)

    def _client(self) -> contextlib.AbstractAsyncContextManager[Any]:
        return connection("kioskd-simulation", address=self.address, limit_s=START_S)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def _null_sink(name: str) -> str:
    return f"sink_name={name} rate=48000 channels=1 channel_map=mono"


def _microphone(name: str, feed: str) -> str:
    return (
        f"master={feed}.monitor source_name={name} channels=1 channel_map=mono "
        "master_channel_map=mono"
    )


def _runs(pid: int) -> bool:
    """Tell whether a process lives; one that waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


async def _accepts(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
