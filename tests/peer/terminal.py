"""kioskctl on a terminal of its own: a pty of 80 columns, read byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator
from pathlib import Path

COLUMNS, ROWS = 80, 24
COLOUR = re.compile(rb"\x1b\[(\d+;)*(3[0-8]|4[0-8]|9[0-7])[;m]")
WITHIN_S = 60.0


class Terminal:
    """What a program has written so far, and a way to press keys."""

    def __init__(self, descriptor: int, process: asyncio.subprocess.Process) -> None:
        self.seen = b""
        self.process = process
        self._descriptor = descriptor

    def read(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # EIO: the program has gone
            while part := os.read(self._descriptor, 65536):
                self.seen += part

    async def until(self, words: bytes, after: int = 0) -> None:
        """Wait until the program has written `words`."""
        end = time.monotonic() + WITHIN_S
        while words not in self.seen[after:]:
            self.read()
            assert time.monotonic() < end, f"no {words!r} in {self.seen[-2000:]!r}"
            await asyncio.sleep(0.05)

    def press(self, key: bytes) -> None:
        os.write(self._descriptor, key)

    async def ended(self) -> int:
        async with asyncio.timeout(WITHIN_S):
            code = await self.process.wait()
        self.read()
        return code


@contextlib.asynccontextmanager
async def terminal(
    *arguments: str | Path, term: str, more: dict[str, str] | None = None
) -> AsyncIterator[Terminal]:
    """Run kioskctl with a terminal named `term`."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.set_blocking(ours, False)
        inherited = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kioskd.cli", *map(str, arguments)),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**inherited, "TERM": term, "LANG": "C.UTF-8", **(more or {})},
            start_new_session=True,
        )
        one = Terminal(ours, process)
        try:
            yield one
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    finally:
        os.close(ours)
        os.close(theirs)
