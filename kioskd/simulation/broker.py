"""Mosquitto as a child process: MQTT for the kiosk, WebSocket for the agents' pages."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import time
from pathlib import Path
from typing import Final, Self

from kioskd.errors import SignallingError
from kioskd.runtime.children import Child

START_S: Final = 10.0
USER: Final = "mosquitto"
"""Debian's package makes this user; the broker has no business running as root."""


def free_port() -> int:
    """Return a TCP port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class EmbeddedBroker:
    """Mosquitto on loopback with a generated configuration in `folder`, nothing kept on disk.

    Use as a context manager; `port` (MQTT) and `websocket_port` stay the same over
    `stop` and `start`. Raises SignallingError when it does not come up.
    """

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self.websocket_port = 0
        self._folder = folder
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The broker's process id."""
        assert self._child is not None
        return self._child.pid

    async def start(self) -> None:
        """Start the broker and wait until it answers."""
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise SignallingError("mosquitto is not installed: run `make setup`")
        self.port = self.port or free_port()
        self.websocket_port = self.websocket_port or free_port()
        await asyncio.to_thread(self._write)
        self._child = Child("mosquitto", [program, "-c", self._folder / "mosquitto.conf"])
        await self._child.start()
        deadline = time.monotonic() + START_S
        for port in (self.port, self.websocket_port):
            await self._wait_for(port, deadline)

    async def stop(self) -> None:
        """Stop the broker."""
        if self._child is not None:
            await self._child.stop()
            self._child = None

    def _write(self) -> None:
        lines = [
            "persistence false",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            "allow_anonymous true",
            "max_packet_size 131072",
            f"listener {self.port} 127.0.0.1",
            # "127.0.0.1" alone would bind the WebSocket to every interface
            f"listener {self.websocket_port} 127.0.0.1",
            "protocol websockets",
            "socket_domain ipv4",
        ]
        if os.geteuid() == 0:
            with contextlib.suppress(KeyError):
                pwd.getpwnam(USER)
                lines.insert(0, f"user {USER}")
        (self._folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    async def _wait_for(self, port: int, deadline: float) -> None:
        assert self._child is not None
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            if self._child.exited.is_set() or time.monotonic() > deadline:
                raise SignallingError(f"mosquitto does not answer on port {port}")
            await asyncio.sleep(0.02)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
