"""A small service manager: what systemd does for Type=notify, WatchdogSec= and Restart=always.

It listens on a NOTIFY_SOCKET, ends a service that was silent for longer than the watchdog
allows (SIGABRT and SIGCONT, then SIGKILL), and starts it again whatever it died of.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kioskd.runtime.children import die_with_parent

ABORT_S = 3.0


@dataclass
class Life:
    """One life of the service. Times are of the monotonic clock."""

    pid: int
    started: float
    ready: float | None = None
    pinged: float = 0.0
    pings: int = 0
    aborted: float | None = None
    ended: float | None = None
    code: int | None = None


class ServiceManager:
    """Runs one service until it is left; `lives` tells what became of it."""

    def __init__(
        self, folder: Path, *arguments: str, watchdog_s: float, restart_s: float = 0.1
    ) -> None:
        self.lives: list[Life] = []
        self.log = folder / "service.log"
        self._command = [sys.executable, *arguments]
        self._socket = folder / "notify"
        self._watchdog_s = watchdog_s
        self._restart_s = restart_s
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def now(self) -> Life:
        """The present life, or the last one."""
        return self.lives[-1]

    async def until(self, condition: Callable[[], bool], what: str, within_s: float = 60) -> None:
        """Wait until `condition` holds."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.log.read_text()[-3000:]}"
            await asyncio.sleep(0.02)

    async def until_ready(self, life: int) -> Life:
        """Wait until the service is ready in its `life`-th life, counted from 0."""
        await self.until(
            lambda: len(self.lives) > life and self.lives[life].ready is not None, "not ready"
        )
        return self.lives[life]

    async def stop(self) -> int:
        """Stop the service as `systemctl stop` does; return its exit code."""
        self._stopping = True
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(20):
            return await self._process.wait()

    async def __aenter__(self) -> Self:
        self._listener.bind(str(self._socket))
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._hear)
        self._task = asyncio.create_task(self._run())
        self._watch = asyncio.create_task(self._watch_silence())
        await self.until(lambda: bool(self.lives), "not started")
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._task, self._watch):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()

    async def _run(self) -> None:
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(self._socket),
            "WATCHDOG_USEC": str(round(self._watchdog_s * 1e6)),
        }
        with self.log.open("ab") as log:
            while not self._stopping:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=die_with_parent(os.getpid()),
                )
                life = Life(self._process.pid, time.monotonic())
                self.lives.append(life)
                life.code = await self._process.wait()
                life.ended = time.monotonic()
                await asyncio.sleep(self._restart_s)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                said = self._listener.recv(4096)
                if said == b"READY=1":
                    self.now.ready = self.now.pinged = time.monotonic()
                elif said == b"WATCHDOG=1":
                    self.now.pinged = time.monotonic()
                    self.now.pings += 1

    async def _watch_silence(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            life = self.now if self.lives else None
            if life is None or life.ready is None or life.ended or self._stopping:
                continue
            now = time.monotonic()
            if life.aborted is None and now - life.pinged > self._watchdog_s:
                life.aborted = now
                for number in (signal.SIGABRT, signal.SIGCONT):
                    os.kill(life.pid, number)
            elif life.aborted is not None and now - life.aborted > ABORT_S:
                os.kill(life.pid, signal.SIGKILL)
