"""A private PipeWire with a virtual microphone and a virtual speaker, without any card."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Self

import pulsectl
import pulsectl_asyncio

from kioskd.errors import DeviceError, Reason
from kioskd.runtime.children import Child

START_S: Final = 15.0
POLL_S: Final = 0.02
_INHERITED: Final = ("PATH", "LANG", "LD_LIBRARY_PATH")


class PrivatePipewire:
    """D-Bus, PipeWire, WirePlumber and pipewire-pulse in `folder`, for any user.

    `folder` exists, is empty, and its path is short (unix sockets: 108 bytes). Use as a
    context manager; raises DeviceError NO_ANSWER when it does not come up.
    """

    source: Final = "kiosk_microphone"
    """The virtual microphone."""
    feed: Final = "kiosk_feed"
    """What is played into this sink is heard by the microphone."""
    sink: Final = "kiosk_speaker"
    """The virtual speaker."""
    sink_monitor: Final = "kiosk_speaker.monitor"
    """The source that hears the speaker."""

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
        self._modules: dict[str, int] = {}

    @property
    def server_pid(self) -> int:
        """The process id of pipewire-pulse, the server that clients see."""
        return self._children[-1].pid

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
        await self._unload(self.source)

    async def add_source(self) -> None:
        """Plug the microphone; returns when it is there."""
        await self._load(
            self.source,
            "module-remap-source",
            f"master={self.feed}.monitor source_name={self.source} channels=1 channel_map=mono "
            "master_channel_map=mono",
        )
        await self._until("the default source", self._source_is_default)

    async def remove_sink(self) -> None:
        """Unplug the speaker."""
        await self._unload(self.sink)

    async def add_sink(self) -> None:
        """Plug the speaker; returns when it is there."""
        await self._load(self.sink, "module-null-sink", _null_sink(self.sink))
        await self._until("the default sink", self._sink_is_default)

    async def _start(self) -> None:
        for name in ("home", "config", "state"):
            (self._folder / name).mkdir(exist_ok=True)
        bus = self.env["DBUS_SESSION_BUS_ADDRESS"]
        await self._run("dbus-daemon", "--session", f"--address={bus}", "--nofork", "--nopidfile")
        await self._until("D-Bus", lambda: _accepts(self._folder / "bus"))
        await self._run("pipewire")
        await self._until("PipeWire", lambda: _accepts(self._folder / "pipewire-0"))
        await self._run("wireplumber")
        await self._run("pipewire-pulse")
        await self._until("pipewire-pulse", self._answers)
        await self._load(self.feed, "module-null-sink", _null_sink(self.feed))
        await self.add_sink()
        await self.add_source()

    async def _run(self, *command: str) -> None:
        env = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        child = Child(command[0], command, env={**env, **self.env})
        try:
            await child.start()
        except OSError as error:
            raise DeviceError(Reason.NO_ANSWER, f"{command[0]}: {error}") from error
        self._children.append(child)

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

    async def _load(self, key: str, module: str, arguments: str) -> None:
        async with self._client() as pulse:
            self._modules[key] = await pulse.module_load(module, arguments)

    async def _unload(self, key: str) -> None:
        async with self._client() as pulse:
            await pulse.module_unload(self._modules.pop(key))

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

    def _client(self) -> Any:
        return pulsectl_asyncio.PulseAsync("kioskd-simulation", server=self.address)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def _null_sink(name: str) -> str:
    return f"sink_name={name} rate=48000 channels=1 channel_map=mono"


async def _accepts(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
