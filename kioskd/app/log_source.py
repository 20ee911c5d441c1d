"""Where the daemon's log is: the journal, or the file that its standard error was led to."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from kioskd.control.peers import peer_of
from kioskd.diagnostics.logs import Entry, parse, parse_journal
from kioskd.errors import ControlError

UNIT: Final = "kioskd"
LOOK_S: Final = 0.3
LINE_LIMIT: Final = 64 * 1024
"""Bytes that are read of a line."""
_JOURNALS: Final = (Path("/run/log/journal"), Path("/var/log/journal"))


class Source:
    """A log that can be read from some time on, and followed."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @property
    def name(self) -> str:
        """Where it is, for people."""
        return f"journal, {UNIT}.service" if self._file is None else str(self._file)

    def read(self, since: datetime | None, last: int | None, *, follow: bool) -> Iterator[Entry]:
        """Yield what is there, from `since` on where the log can be entered there; then, with
        `follow`, what comes, after the `last` lines only. Raises ControlError.
        """
        if self._file is None:
            return self._journal(since, last if follow else None, follow=follow)
        return self._tail(self._file, last) if follow else self._lines()

    def _journal(
        self, since: datetime | None, last: int | None, *, follow: bool
    ) -> Iterator[Entry]:
        command = ["journalctl", "--output=json", "--quiet", "--no-pager", f"--unit={UNIT}"]
        command += [f"--since=@{since.timestamp():.0f}"] if since is not None else []
        command += [f"--lines={last}"] if last is not None and since is None else []
        command += ["--follow"] if follow else []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    entry = parse_journal(line)
                    if entry is not None:
                        yield entry
            finally:
                process.terminate()
        if process.returncode > 0:
            raise ControlError(f"journalctl ended with {process.returncode}")

    def _lines(self) -> Iterator[Entry]:
        assert self._file is not None
        try:
            with self._file.open(encoding="utf-8", errors="replace") as opened:
                yield from (parse(line[:LINE_LIMIT]) for line in opened)
        except OSError as error:
            raise ControlError(f"{self._file}: {error.strerror}") from error

    def _tail(self, file: Path, last: int | None) -> Iterator[Entry]:
        # In one go: a line that comes while the first are shown is neither lost nor told twice.
        try:
            with file.open(encoding="utf-8", errors="replace") as opened:
                number = os.fstat(opened.fileno()).st_ino
                *whole, rest = opened.read().split("\n")
                position = opened.tell()
        except OSError as error:
            raise ControlError(f"{file}: {error.strerror}") from error
        shown = whole if last is None else whole[max(0, len(whole) - last) :]
        yield from (parse(line[:LINE_LIMIT]) for line in shown)
        while True:
            time.sleep(LOOK_S)
            with contextlib.suppress(FileNotFoundError):  # it is being replaced
                seen = file.stat()
                if seen.st_ino != number or seen.st_size < position:
                    position, number, rest = 0, seen.st_ino, ""
                with file.open(encoding="utf-8", errors="replace") as opened:
                    opened.seek(position)
                    text = rest + opened.read()
                    position = opened.tell()
                *whole, rest = text.split("\n")
                yield from (parse(line[:LINE_LIMIT]) for line in whole)


def find(control: Path, file: Path | None = None) -> Source:
    """Return the log: of `file` where it is given, of a living daemon's file, else the journal.

    Raises ControlError when there is none of them.
    """
    if file is not None:
        return Source(file)
    led = _led_to(control)
    if led is not None:
        return Source(led)
    if _has_journal():
        return Source(None)
    raise ControlError("no journal here, and kioskd does not run: name its log with --file")


def _has_journal() -> bool:
    return shutil.which("journalctl") is not None and any(one.is_dir() for one in _JOURNALS)


def _led_to(control: Path) -> Path | None:
    """Return the file that the daemon behind `control` writes its log to, where it is one."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.settimeout(1.0)
        one.connect(str(control))
        target = Path(f"/proc/{peer_of(one).pid}/fd/2").readlink()
        return target if target.is_file() else None
    return None
