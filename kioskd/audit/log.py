"""The files of the audit log: append only, mode 0600, a new one each day and at a size.

A file's name holds the number of its first line. What was written is never written over: a
line that a power cut has torn stays, and a `log-recovered` event after it tells of it. Blocking;
`kioskd.audit.writer` calls it from a thread of its own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from kioskd.audit.chain import Fault, Head, Line, link, read, utc
from kioskd.audit.events import (
    AuditEvent,
    DaemonStarted,
    LogBegun,
    LogCut,
    LogDamaged,
    LogExpired,
    LogRecovered,
)
from kioskd.audit.verify import files_of, verify

_DAY: Final = slice(0, 10)
"""Of a time as it stands in the log."""
TAIL: Final = 64 * 1024
"""Bytes at a file's end among which its last line is: a line has less than 1 KiB."""
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Bounds:
    """`size` in bytes, after which a new file begins; `retention` in days."""

    size: int = 4 << 20
    retention: int = 184


class AuditLog:
    """The log in `folder`. Everything raises OSError where the disk does not do it.

    After an OSError `open` must be called again; it finds out what was written.
    """

    def __init__(
        self,
        folder: Path,
        bounds: Bounds = Bounds(),
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.head = Head()
        self._folder = folder
        self._bounds = bounds
        self._now = now
        self._fd: int | None = None
        self._lock: int | None = None
        self._day = ""
        self._size = 0

    @property
    def is_open(self) -> bool:
        """True while lines can be appended."""
        return self._fd is not None

    def open(self) -> None:
        """Find the chain's end, tell of what is torn or damaged there, be ready to append.

        Raises BlockingIOError, which is an OSError, while another process has it open.
        """
        self.close()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_lock()
        files = files_of(self._folder)
        if not files:
            self.head = Head()
            self._begin(LogCut.FIRST)
            return
        last = next(filter(None, map(_last_line, reversed(files))), None)
        if last is not None:
            self.head, self._day = Head(last.seq, last.hash), last.time[_DAY]
        newest = files[-1]
        fault = _fault(newest)
        if fault is not None:
            self._begin(LogCut.DAMAGE)
            self._write(LogDamaged(file=fault.file, line=fault.line))
            return
        content = newest.read_bytes()
        torn = content.rpartition(b"\n")[2]
        self._use(newest)
        if torn:
            digest = hashlib.sha256(torn).hexdigest()
            recovered = LogRecovered(torn_bytes=len(torn), torn_sha256=digest)
            self._write(recovered, before=b"\n")
        elif not content:
            self._write(LogBegun(why=LogCut.FIRST if len(files) == 1 else LogCut.DAY))

    def close(self) -> None:
        """Close the file; nothing is lost by not doing so."""
        self._let_go()
        if self._lock is not None:
            os.close(self._lock)  # the kernel does the same for a process that was killed
            self._lock = None

    def _let_go(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _take_lock(self) -> None:
        """Two writers would link two lines to the same one, and the chain would be broken."""
        self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise

    def append(self, event: AuditEvent, time: datetime) -> None:
        """Write an event that happened at `time`; a new file begins where it is due."""
        try:
            if utc(self._now())[_DAY] != self._day:
                self._begin(LogCut.DAY)
                self._expire()
            elif self._size >= self._bounds.size:
                self._begin(LogCut.SIZE)
            self._write(event, time)
        except OSError:
            self.close()
            raise

    def sync(self) -> None:
        """Return once all that was appended outlives a power cut."""
        assert self._fd is not None
        try:
            os.fdatasync(self._fd)
        except OSError:
            self.close()
            raise

    def last_start(self) -> DaemonStarted | None:
        """Return the newest `daemon-started` of the log."""
        for file in reversed(files_of(self._folder)):
            # Half a year of lines may have to be looked through: few are read in full.
            for text in reversed(file.read_bytes().split(b"\n")):
                if b'"daemon-started"' not in text:
                    continue
                with contextlib.suppress(ValueError):
                    event = read(text).event
                    if isinstance(event, DaemonStarted):
                        return event
        return None

    def _begin(self, why: LogCut) -> None:
        assert self._lock is not None
        self._let_go()
        self._use(self._new_file())
        os.fsync(self._lock)  # the file's name, too, outlives a power cut: it is the folder
        self._write(LogBegun(why=why))

    def _new_file(self) -> Path:
        """Return a name that stands after all others; one with damaged lines is left alone."""
        name = f"audit-{self.head.seq + 1:012d}"
        file, number = self._folder / f"{name}.jsonl", 1
        while file.exists() and file.stat().st_size:
            file, number = self._folder / f"{name}-{number}.jsonl", number + 1
        return file

    def _use(self, file: Path) -> None:
        self._fd = os.open(file, _FLAGS, 0o600)
        os.fchmod(self._fd, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _write(
        self, event: AuditEvent, time: datetime | None = None, *, before: bytes = b""
    ) -> None:
        assert self._fd is not None
        stamp = utc(time or self._now())
        line, head = link(self.head, stamp, event)
        data = before + line
        written = os.write(self._fd, data)
        if written < len(data):  # the disk is full: nobody was told that this is written
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written
        self.head = head
        self._day = utc(self._now())[_DAY]

    def _expire(self) -> None:
        """Remove what is older than the retention, seen from now and from the day before.

        A clock that starts years ahead must not remove everything at once, and what was
        written by such a clock is no younger than what was written after it.
        """
        files = files_of(self._folder)[:-1]
        lines = [_last_line(file) for file in files]
        limit, known = utc(self._now()), [line for line in lines if line is not None]
        if not known or len(known) < len(files):
            return  # damaged ones are for people to look at
        limit = min(limit, known[-1].time)
        oldest = utc(datetime.fromisoformat(limit) - timedelta(days=self._bounds.retention))
        removed = 0
        while removed < len(files) and min(one.time for one in known[removed:]) < oldest:
            removed += 1
        if not removed:
            return
        # First told, then done: files that are gone without this line look like an attack.
        self._write(LogExpired(files=removed, last_hash=known[removed - 1].hash))
        self.sync()
        for file in files[:removed]:
            file.unlink()


def _fault(file: Path) -> Fault | None:
    """Return what is wrong within a file, its torn end aside."""
    faults = verify(file).faults
    return faults[0] if faults else None


def _last_line(file: Path) -> Line | None:
    """Return the last line that can be read, of the file's end."""
    with file.open("rb") as source:
        source.seek(max(0, file.stat().st_size - TAIL))
        lines = source.read().split(b"\n")
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            return read(line)
    return None
