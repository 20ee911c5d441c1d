"""The machine that the daemon runs on: its names, its clock, its RAM disk, its journal.

Mounts need root; as another user the rows that take them are left out, and said so.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import subprocess
import time
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import Final, Self

CLOCK: Final = Path(__file__).with_name("clock.c")
BROKER_NAME: Final = "broker.kiosk.test"
SPOOL_MB: Final = 64
PIPE_BYTES: Final = 4096
"""The smallest a pipe can be: a journal that hangs is felt at once."""
_IN_NAMESPACE: Final = (
    'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
)


class Machine:
    """Private /etc/hosts and /etc/resolv.conf, a small tmpfs for the spool, a journal."""

    root: Final = os.geteuid() == 0

    def __init__(self, folder: Path, log: Path) -> None:
        self.spool = folder / "spool"
        self._hosts = folder / "hosts"
        self._resolver = folder / "resolv.conf"
        self._offset = folder / "clock"
        self._clock = folder / "clock.so"
        self._log = log
        self._journal: Process | None = None
        self._pipe = -1
        self.spool.mkdir()

    @property
    def broker_host(self) -> str:
        """The name by which the daemon finds the broker."""
        return BROKER_NAME if self.root else "127.0.0.1"

    async def __aenter__(self) -> Self:
        self._resolver.write_text("nameserver 127.0.0.1\n")  # where nobody answers
        self.names(known=True)
        await self._make_clock()
        if self.root:
            await _run("mount", "-t", "tmpfs", "-o", f"size={SPOOL_MB}m", "tmpfs", str(self.spool))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_journal()
        if self.root:
            await _run("umount", "--lazy", str(self.spool))

    def command(self) -> list[str]:
        """What stands before the daemon's own command."""
        if not self.root:
            return []
        files = [str(self._hosts), str(self._resolver)]
        return ["unshare", "--mount", "sh", "-c", _IN_NAMESPACE, *files]

    def names(self, *, known: bool) -> None:
        """Let the broker's name be known, or let name resolution fail."""
        lines = ["127.0.0.1 localhost", *([f"127.0.0.1 {BROKER_NAME}"] if known else [])]
        self._hosts.write_text("\n".join(lines) + "\n")

    # -- the clock ---------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """What gives a process the machine's clock."""
        return {"LD_PRELOAD": str(self._clock), "KIOSK_CLOCK": str(self._offset)}

    async def _make_clock(self) -> None:
        """Compile the clock: libfaketime's makes sleeps fail with EINVAL once it has jumped."""
        self.set_clock(0)
        flags = ["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-ldl"]
        await _run("gcc", "-o", str(self._clock), str(CLOCK), *flags)

    def set_clock(self, offset_s: float) -> None:
        """Let the clock be `offset_s` seconds before or after the true one, at once."""
        # In place: the processes have it mapped.
        with self._offset.open("r+b" if self._offset.exists() else "wb") as file:
            file.write(struct.pack("=q", round(offset_s)))

    def set_clock_to_1970(self) -> None:
        """Let the clock be where one without a battery begins, a minute after its start."""
        self.set_clock(60 - time.time())

    # -- the journal -------------------------------------------------------------------

    async def start_journal(self) -> int:
        """Start what takes the daemon's log; return the descriptor to write to."""
        await self.stop_journal()
        theirs, self._pipe = os.pipe()
        try:
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            self._journal = await asyncio.create_subprocess_exec(
                "tee", "-a", str(self._log), stdin=theirs, stdout=DEVNULL
            )
        finally:
            os.close(theirs)
        return self._pipe

    async def stop_journal(self) -> None:
        """End the journal."""
        if self._journal is not None:
            os.close(self._pipe)
            with contextlib.suppress(ProcessLookupError):
                self._journal.kill()
            await self._journal.wait()
            self._journal = None

    @property
    def journal_pid(self) -> int:
        """The journal's process id."""
        assert self._journal is not None
        return self._journal.pid

    def fill_journal(self) -> None:
        """Fill the pipe of a journal that hangs: the next line blocks whoever writes it."""
        os.set_blocking(self._pipe, False)
        try:
            while True:
                os.write(self._pipe, b"\n" * PIPE_BYTES)
        except BlockingIOError:
            # The flag belongs to the pipe's open file, which the daemon shares.
            os.set_blocking(self._pipe, True)


async def _run(*command: str) -> None:
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
