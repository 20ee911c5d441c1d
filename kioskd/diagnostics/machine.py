"""The machine below the daemon: clock, disks, swap."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kioskd.diagnostics.findings import Found, Trouble, trouble
from kioskd.documents.confinement import has_landlock, has_seccomp

CLOCK_S: Final = 300.0
"""Certificates and opening hours bear this much."""
SPOOL_FREE: Final = 16 << 20
"""A page scanned at 300 dpi, while it is made."""
DISK_FREE: Final = 50 << 20
_RAM: Final = ("tmpfs", "ramfs")


def clock(files: Iterable[Path], told: datetime | None) -> list[Found]:
    """Compare the clock with what was written before now, and with another clock."""
    now = time.time()
    if told is not None and abs(told.timestamp() - now) > CLOCK_S:
        return [trouble(Trouble.CLOCK, f"{_when(now)} here, {_when(told.timestamp())} elsewhere")]
    for file in files:
        try:
            written = file.stat().st_mtime
        except OSError:
            continue
        if written > now + CLOCK_S:
            return [trouble(Trouble.CLOCK, f"{_when(now)}, but {file} is of {_when(written)}")]
    return []


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def spool(folder: Path) -> list[Found]:
    """Look at the documents' folder, or where it will be made."""
    if folder.exists() and not folder.is_dir():
        return [trouble(Trouble.SPOOL_UNWRITABLE, f"{folder} is no folder")]
    place = _existing(folder)
    if not os.access(place, os.R_OK | os.X_OK):
        return []  # not ours to judge: another user's
    kind = file_system(place)
    if kind not in _RAM:
        return [trouble(Trouble.SPOOL_ON_DISK, f"{folder}: {kind}")]
    room = os.statvfs(place)
    if room.f_flag & os.ST_RDONLY or not _writable(place):
        return [trouble(Trouble.SPOOL_UNWRITABLE, str(folder))]
    free = room.f_bavail * room.f_frsize
    if free < SPOOL_FREE:
        return [trouble(Trouble.SPOOL_FULL, f"{folder}: {free >> 20} MB free")]
    return []


def state(folder: Path) -> list[Found]:
    """Look at the folder of the daemon's notes, and at the disk it is on."""
    if folder.exists() and not folder.is_dir():
        return [trouble(Trouble.STATE_UNWRITABLE, f"{folder} is no folder")]
    place = _existing(folder)
    room = os.statvfs(place)
    free = room.f_bavail * room.f_frsize
    found = []
    if free < DISK_FREE:
        found.append(trouble(Trouble.DISK_FULL, f"{place}: {free >> 20} MB free"))
    if room.f_flag & os.ST_RDONLY or not _writable(place):
        found.append(trouble(Trouble.STATE_UNWRITABLE, str(folder)))
    return found


def swap(proc: Path = Path("/proc")) -> list[Found]:
    """Tell whether the machine swaps to a disk (zram is RAM)."""
    lines = (proc / "swaps").read_text().splitlines()[1:]
    names = [line.split()[0] for line in lines if not line.startswith("/dev/zram")]
    return [trouble(Trouble.SWAP, ", ".join(names))] if names else []


def confinement() -> list[Found]:
    """Tell what the process that opens an agent's document could not give up here."""
    lacks = []
    if not has_landlock():
        lacks.append("Landlock")
    if not has_seccomp():
        lacks.append("libseccomp")
    return [trouble(Trouble.UNCONFINED, ", ".join(lacks))] if lacks else []


def coding() -> list[Found]:
    """Tell what a call cannot be coded without."""
    from kioskd.picture import vpx  # with PyAV: not for every kioskctl command
    from kioskd.sound import opus

    lacks = []
    for check in (opus.Decoder, vpx.check):
        try:
            check()
        except OSError as error:
            lacks.append(str(error))
    return [trouble(Trouble.CODING, ", ".join(lacks))] if lacks else []


def print_files(configuration: Path = Path("/etc/cups/cupsd.conf")) -> list[Found]:
    """Tell whether CUPS keeps jobs; nothing where its settings cannot be read (cupsd.conf(5))."""
    try:
        lines = configuration.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    said = {words[0].lower(): words[1] for line in lines if len(words := line.split()) > 1}
    kept = [
        name
        for name in ("PreserveJobFiles", "PreserveJobHistory")
        if said.get(name.lower(), "Yes").lower() not in ("no", "off", "false", "0")
    ]
    return (
        [trouble(Trouble.PRINT_FILES_KEPT, f"{configuration}: {', '.join(kept)}")] if kept else []
    )


def file_system(folder: Path) -> str:
    """Return the type of the file system that `folder` is on, from /proc/self/mountinfo."""
    best, kind = "", "unknown"
    resolved = str(folder.resolve())
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4]
        inside = resolved == mount or resolved.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _writable(folder: Path) -> bool:
    """Tell whether its owner may write to it; true of another's, which is not ours to judge."""
    return folder.stat().st_uid != os.geteuid() or os.access(folder, os.W_OK)
