"""Smaller parts of the rig: the panel's port, the tone at the microphone, the configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from drivers.panel.protocol import Message
from kioskd.hal.microphone import SAMPLE_RATE
from kioskd.runtime.children import Child
from kioskd.simulation.pipewire import PrivatePipewire
from tests.contract.panel_emulator import PanelEmulator
from tests.e2e import stage

SERVICES = Path(__file__).parents[2] / "config" / "services.toml"
_FORMAT = f"--raw --format=s16le --rate={SAMPLE_RATE} --channels=1"
_CONFIG = """
services_file = "{services}"
[kiosk]
id = "{kiosk}"
name = "Mairie"
town = "Exempleville"
[broker]
host = "{broker_host}"
port = {broker_port}
tls = false
{identity}
[screen]
port = {screen_port}
[documents]
spool = "{folder}/spool"
[control]
socket = "{folder}/control.sock"
[state]
folder = "{folder}/state"
[camera]
driver = "v4l2"
device = "{camera}"
[microphone]
driver = "pipewire"
source = "{source}"
echo_canceller = false
[speaker]
driver = "pipewire"
sink = "{sink}"
[scanner]
driver = "sane"
config_dir = "{folder}/sane"
[printer]
driver = "cups"
queue = "{queue}"
server = "{server}"
[panel]
driver = "serial"
device = "{panel}"
"""


class Panel(PanelEmulator):
    """An emulated panel that can fall silent."""

    silent = False

    def _take(self, message: Message) -> None:
        if not self.silent:
            super()._take(message)


class PanelPort:
    """Where the panel is plugged: a stable name, as udev makes it."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.plug()

    def plug(self) -> None:
        """Plug the panel, or another one, in."""
        if self.link.is_symlink():
            return
        self.panel = Panel()
        self.link.symlink_to(self.panel.device)

    def unplug(self) -> None:
        """Pull the panel out."""
        self.link.unlink(missing_ok=True)
        self.panel.unplug()


class Tone:
    """What the kiosk's microphone hears all the time: a tone, as long as PipeWire runs."""

    def __init__(self, folder: Path, sound: PrivatePipewire) -> None:
        self._sound = sound
        self._file = folder / "tone.raw"
        self._child: Child | None = None
        seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE  # whole periods: it can be repeated
        tone = 10_000 * np.sin(2 * np.pi * stage.KIOSK_TONE_HZ * seconds)
        self._file.write_bytes(tone.astype("<i2").tobytes())

    async def start(self) -> None:
        """Play; also again, after PipeWire was gone."""
        await self.stop()
        play = f"while cat {self._file}; do :; done | pacat -d {self._sound.feed} {_FORMAT}"
        self._child = Child("tone", ["sh", "-c", play], env={**os.environ, **self._sound.env})
        await self._child.start()

    async def stop(self) -> None:
        """Be silent."""
        if self._child is not None:
            await self._child.stop()
            self._child = None


def write_config(folder: Path, values: Mapping[str, Any]) -> None:
    """Write kioskd.toml and services.toml into `folder`."""
    (folder / "kioskd.toml").write_text(_CONFIG.format(folder=folder, **values))
    services = SERVICES.read_text()
    (folder / "services.toml").write_text(
        services.replace("\n[[services]]\n", "\n[[services]]\nalways_open = true\n")
    )
