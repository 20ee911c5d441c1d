"""The machine that the daemon runs on: names, clock, network path, RAM disk, journal.

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
PATH: Final = Path(__file__).with_name("path.c")
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
        self._path = folder / "path"
        self._path_library = folder / "path.so"
        self._changes = 0
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
        self.set_clock(0)
        self.set_path()
        # libfaketime's clock makes sleeps fail with EINVAL once it has jumped.
        for source, library in ((CLOCK, self._clock), (PATH, self._path_library)):
            flags = ["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-ldl"]
            await _run("gcc", "-o", str(library), str(source), *flags)
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
        """What gives a process the machine's clock and path."""
        return {
            "LD_PRELOAD": f"{self._clock}:{self._path_library}",
            "KIOSK_CLOCK": str(self._offset),
            "KIOSK_PATH": str(self._path),
        }

    def set_clock(self, offset_s: float) -> None:
        """Let the clock be `offset_s` seconds before or after the true one, at once."""
        _write_in_place(self._offset, struct.pack("=q", round(offset_s)))

    def set_clock_to_1970(self) -> None:
        """Let the clock be where one without a battery begins, a minute after its start."""
        self.set_clock(60 - time.time())

    # -- the path of a call ------------------------------------------------------------

    def set_path(self, *, sent_lost: bool = False, received_lost: bool = False) -> None:
        """Lose the datagrams that the daemon sends, or those that come to it."""
        state = struct.pack("=iii", sent_lost, received_lost, self._changes)
        _write_in_place(self._path, state)

    def change_address(self) -> None:
        """Let the sockets that are open carry nothing any more; new ones do."""
        self._changes += 1
        self.set_path()

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


def _write_in_place(file: Path, data: bytes) -> None:
    """The processes have it mapped."""
    with file.open("r+b" if file.exists() else "wb") as target:
        target.write(data)


async def _run(*command: str) -> None:
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
