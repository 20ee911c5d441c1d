"""A service manager as small as can be: what the unit asks of systemd, for one daemon.

Type=notify, WatchdogSec=, TimeoutAbortSec=, Restart=always, RestartSec=, as systemd.service(5)
has them; the times are shorter than the unit's where a test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

ABORT_S = 2.0


class ServiceManager:
    """Keeps `command` running; `events` has what happened, with its time."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] = {},
        watchdog_s: float = 9.0,
        restart_s: float = 1.0,
    ) -> None:
        self.events: list[tuple[float, str]] = []
        self.changed = asyncio.Event()
        self.process: Process | None = None
        self._command = command
        self._log = log
        self._watchdog_s = watchdog_s
        self._restart_s = restart_s
        self._address = str(folder / "notify")
        self._env = {
            **os.environ,
            **env,
            "NOTIFY_SOCKET": self._address,
            "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
        }
        self._fed = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self._address)
        asyncio.get_running_loop().add_reader(self._socket, self._hear)
        self._task = asyncio.create_task(self._keep_running())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def count(self, event: str) -> int:
        """Return how often it has happened."""
        return sum(name == event for _, name in self.events)

    async def until(self, event: str, times: int, seconds: float) -> None:
        """Wait until `event` has happened so many times."""
        async with asyncio.timeout(seconds):
            while self.count(event) < times:
                self.changed.clear()
                await self.changed.wait()

    def _note(self, event: str) -> None:
        self.events.append((time.monotonic(), event))
        self.changed.set()

    def _hear(self) -> None:
        for line in self._socket.recv(4096).decode().splitlines():
            self._fed = time.monotonic()
            if line == "READY=1":
                self._note("ready")
            elif line == "WATCHDOG=1":
                self._note("fed")

    async def _keep_running(self) -> None:
        try:
            while True:
                with self._log.open("ab") as log:
                    self.process = await asyncio.create_subprocess_exec(
                        *self._command,
                        env=self._env,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                self._note("started")
                await self._watch(self.process)
                self._note("ended")
                await asyncio.sleep(self._restart_s)
        finally:
            if self.process is not None and self.process.returncode is None:
                self.process.kill()
                await self.process.wait()

    async def _watch(self, process: Process) -> None:
        await self._until_ready(process)
        while process.returncode is None:
            left = self._fed + self._watchdog_s - time.monotonic()
            if left <= 0:
                self._note("starved")
                process.send_signal(signal.SIGABRT)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ABORT_S):
                        await process.wait()
                if process.returncode is None:
                    process.kill()
                await process.wait()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await process.wait()

    async def _until_ready(self, process: Process) -> None:
        """The watchdog begins with READY=1."""
        before = self.count("ready")
        ended = asyncio.create_task(process.wait())
        ended.add_done_callback(lambda _: self.changed.set())
        while self.count("ready") == before and not ended.done():
            self.changed.clear()
            await self.changed.wait()
        if not ended.done():
            ended.cancel()
