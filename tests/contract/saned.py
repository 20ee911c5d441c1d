"""SANE's network daemon with the `test` backend, to be killed and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import Final, Self

from kioskd.simulation.sane import write_sane_config

PORT: Final = 6566
"""The `net` backend knows no other (IANA: sane-port); the address is one of its own instead."""
SANED: Final = "/usr/sbin/saned"


class Saned:
    """Listens on a loopback address of its own; `config_dir` leads the `net` backend there.

    Signals go to all its processes: it forks one for each client, and that one a reader.
    """

    def __init__(self, folder: Path) -> None:
        self.config_dir = folder / "client"
        self._server_dir = folder / "server"
        self._address = "127." + ".".join(str(1 + secrets.randbelow(254)) for _ in range(3))
        self._process: Process | None = None

    @property
    def device(self) -> str:
        """SANE's name of the scanner behind it."""
        return f"net:{self._address}:test:0"

    async def __aenter__(self) -> Self:
        self._configure()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    def _configure(self) -> None:
        self.config_dir.mkdir()
        self._server_dir.mkdir()
        write_sane_config(self._server_dir)
        (self._server_dir / "saned.conf").write_text("127.0.0.0/8\n")
        (self.config_dir / "dll.conf").write_text("net\n")
        (self.config_dir / "net.conf").write_text(f"connect_timeout = 2\n{self._address}\n")

    async def start(self) -> None:
        """Start it, and return when it listens."""
        self._process = await asyncio.create_subprocess_exec(
            SANED,
            *("-l", "-b", self._address, "-p", str(PORT), "-e"),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            env={**os.environ, "SANE_CONFIG_DIR": str(self._server_dir)},
            start_new_session=True,
        )
        async with asyncio.timeout(10):
            while not await self._listens():
                assert self._process.returncode is None
                await asyncio.sleep(0.02)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self._address, PORT)
        except OSError:
            return False
        writer.close()
        return True

    async def kill(self) -> None:
        """Kill all its processes."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    def stop(self) -> None:
        """Let none of its processes run."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them run again."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)
