"""Where a kiosk could keep something of a visit, searched byte by byte."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.canary.marks import Codings
from tests.canary.screen import PROFILES
from tests.faults.rig import LOG, Rig
from tests.processes import family

CHUNK_BYTES: Final = 1 << 20
OVERLAP_BYTES: Final = 512
"""More than what is searched for is long; what lies there is counted twice."""
_NOTHING: Final = bytes(CHUNK_BYTES + OVERLAP_BYTES)
CUPS_OWN: Final = ("cache", "log", "run", "spool")
"""What cupsd writes; `device` and `printed` are the paper that came out."""
OF_SCREEN: Final = "the screen's Chromium"


@dataclass(frozen=True, order=True)
class Hit:
    """A mark that is still there: in which place, in which coding, how often."""

    place: str
    coding: str
    times: int


def search(rig: Rig, wanted: Codings) -> list[Hit]:
    """Return what is left of `wanted` in files, status, log and living processes. Blocks."""
    hits: list[Hit] = []
    for path in _files(rig):
        with contextlib.suppress(OSError):
            hits += _hits(f"file {path.name}", [path.read_bytes()], wanted)
            hits += _hits(f"name of {path.parent.name}/", [path.name.encode()], wanted)
    if rig.status is not None:
        hits += _hits("status", [rig.status.model_dump_json().encode()], wanted)
    for name, pid in _processes(rig):
        hits += hits_in_memory(pid, wanted, f"memory of {name}")
    return sorted(hits)


def search_in(parts: Iterable[tuple[str, bytes]], wanted: Codings) -> list[Hit]:
    """Return what named parts hold of `wanted`, such as the files of a bundle."""
    return [hit for name, data in parts for hit in _hits(f"bundle's {name}", [data], wanted)]


def hits_in_memory(pid: int, wanted: Codings, place: str = "memory") -> list[Hit]:
    """Return what a living process holds of `wanted`; nothing of one that has ended. Blocks."""
    with contextlib.suppress(OSError):
        return _hits(place, _memory(pid), wanted)
    return []


def _hits(place: str, parts: Iterator[bytes] | list[bytes], wanted: Codings) -> list[Hit]:
    counts = dict.fromkeys(wanted, 0)
    for part in parts:
        for coding, data in wanted.items():
            counts[coding] += part.count(data)
    return [Hit(place, coding, times) for coding, times in counts.items() if times]


def _files(rig: Rig) -> Iterator[Path]:
    roots = [rig.folder / name for name in ("spool", "state", "tmp", PROFILES)]
    roots += [rig.folder / "cups" / name for name in CUPS_OWN]
    for root in roots:
        yield from (path for path in root.rglob("*") if path.is_file())
    yield LOG / "kioskd.log"


def _processes(rig: Rig) -> Iterator[tuple[str, int]]:
    daemon = psutil.Process(rig.pid)
    yield "the daemon", daemon.pid
    for child, line in family(daemon.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            yield next((part for part in line if ":" in part), child.name()), child.pid
    yield "cupsd", rig.cups.pid("cupsd")
    assert rig.keeper is not None
    keeper = psutil.Process(rig.keeper.pid)
    yield "the screen's keeper", keeper.pid
    for one in keeper.children(recursive=True):
        yield OF_SCREEN, one.pid


def _memory(pid: int) -> Iterator[bytes]:
    """Yield what a process has written to its memory (proc_pid_maps(5)), in overlapping parts.

    Most of a browser's is reserved and was never written to: it is left out.
    """
    maps = Path(f"/proc/{pid}/maps").read_text()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123  (unbuffered)
        for line in maps.splitlines():
            span, access, *_ = line.split(maxsplit=5)
            start, end = (int(one, 16) for one in span.split("-"))
            if not access.startswith("rw"):
                continue
            for at in range(start, end, CHUNK_BYTES):
                with contextlib.suppress(OSError, OverflowError):  # not there after all
                    size = min(CHUNK_BYTES + OVERLAP_BYTES, end - at)
                    part = os.pread(memory.fileno(), size, at)
                    if part != _NOTHING[: len(part)]:
                        yield part
