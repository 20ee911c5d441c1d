"""Where a kiosk could keep something of a visit, searched byte by byte."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.canary.screen import PROFILE
from tests.faults.rig import LOG, Rig

CHUNK_BYTES: Final = 16 << 20
CUPS_OWN: Final = ("cache", "log", "run", "spool")
"""What cupsd writes; `device` and `printed` are the paper that came out."""


SCREEN: Final = "the screen's Chromium"


@dataclass(frozen=True, order=True)
class Hit:
    """A mark that is still there: in which place, in which coding, how often."""

    place: str
    coding: str
    times: int


def codings(mark: str) -> dict[str, bytes]:
    """Return the bytes by which a text could be kept."""
    plain = mark.encode()
    found = {
        "utf-8": plain,
        "utf-16-le": mark.encode("utf-16-le"),
        "utf-32-le": mark.encode("utf-32-le"),
        "hex": plain.hex().encode(),
    }
    for shift in range(3):
        # What base64 makes of it depends on where it stands; the ends depend on its neighbours.
        coded = base64.b64encode(bytes(shift) + plain)
        found[f"base64+{shift}"] = coded[(4 if shift else 0) : -4]
    return found


def search(rig: Rig, mark: str, screen: int) -> list[Hit]:
    """Return what is left of `mark` in files, status, log and living processes. Blocks.

    `screen` is the process id of the Chromium that shows the page.
    """
    wanted = codings(mark)
    hits: list[Hit] = []
    for path in _files(rig):
        with contextlib.suppress(OSError):
            hits += _hits(f"file {path.name}", [path.read_bytes()], wanted)
            hits += _hits(f"name of {path.parent.name}/", [path.name.encode()], wanted)
    if rig.status is not None:
        hits += _hits("status", [rig.status.model_dump_json().encode()], wanted)
    for name, pid in _processes(rig, screen):
        with contextlib.suppress(OSError):  # it has ended
            hits += _hits(f"memory of {name}", _memory(pid), wanted)
    return sorted(hits)


def search_in(parts: Iterable[tuple[str, bytes]], mark: str) -> list[Hit]:
    """Return where `mark` is in named parts, such as the files of a bundle."""
    wanted = codings(mark)
    return [hit for name, data in parts for hit in _hits(f"bundle's {name}", [data], wanted)]


def _hits(place: str, parts: Iterator[bytes] | list[bytes], wanted: dict[str, bytes]) -> list[Hit]:
    counts = dict.fromkeys(wanted, 0)
    for part in parts:
        for coding, data in wanted.items():
            counts[coding] += part.count(data)
    return [Hit(place, coding, times) for coding, times in counts.items() if times]


def _files(rig: Rig) -> Iterator[Path]:
    roots = [rig.folder / name for name in ("spool", "state", "tmp", PROFILE)]
    roots += [rig.folder / "cups" / name for name in CUPS_OWN]
    for root in roots:
        yield from (path for path in root.rglob("*") if path.is_file())
    yield LOG / "kioskd.log"


def _processes(rig: Rig, screen: int) -> Iterator[tuple[str, int]]:
    daemon = psutil.Process(rig.pid)
    yield "the daemon", daemon.pid
    for child in daemon.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            yield next((part for part in child.cmdline() if ":" in part), child.name()), child.pid
    yield "cupsd", rig.cups.pid("cupsd")
    chromium = psutil.Process(screen)
    for one in (chromium, *chromium.children(recursive=True)):
        yield SCREEN, one.pid


def _memory(pid: int) -> Iterator[bytes]:
    """Yield what a process has written to its memory (proc_pid_maps(5)), in overlapping parts."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123  (unbuffered)
        for line in maps.splitlines():
            span, access, *_ = line.split(maxsplit=5)
            start, end = (int(one, 16) for one in span.split("-"))
            if not access.startswith("rw"):
                continue
            for at in range(start, end, CHUNK_BYTES):
                with contextlib.suppress(OSError, OverflowError):  # not there after all
                    yield os.pread(memory.fileno(), min(CHUNK_BYTES, end - at), at)
