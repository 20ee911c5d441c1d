"""How the daemon itself does: how late its loop is, and what it holds."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SAMPLE_EVERY_S: Final = 0.02
WINDOW_S: Final = 20.0
M_ARENA_MAX: Final = -8  # malloc.h
_PROC: Final = Path("/proc/self")


class LoopLag:
    """Sleeps SAMPLE_EVERY_S again and again; how late it wakes is the loop's lag."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=round(WINDOW_S / SAMPLE_EVERY_S))

    async def run(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + SAMPLE_EVERY_S
            await asyncio.sleep(SAMPLE_EVERY_S)
            self.add(loop.time() - due)

    def add(self, late_s: float) -> None:
        """Take one sample into the window."""
        self._samples.append(max(0.0, late_s))

    def figures_ms(self) -> tuple[float, float]:
        """Return the 99th percentile and the greatest lag of the last WINDOW_S, in ms."""
        if not self._samples:
            return 0.0, 0.0
        ordered = sorted(self._samples)
        return ordered[(len(ordered) - 1) * 99 // 100] * 1e3, ordered[-1] * 1e3


@dataclass(frozen=True, slots=True)
class Vitals:
    """What this process holds now. `children` are direct ones, zombies included."""

    fds: int
    threads: int
    tasks: int
    children: int
    rss_kb: int


def bound_arenas() -> None:
    """Let glibc's malloc share two arenas among all threads (mallopt(3)).

    Each call's decoder threads would else get arenas of their own, which are never given
    back: 15 MB more after some dozens of calls (tests/soak).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # another libc has no such trouble
        mallopt(M_ARENA_MAX, 2)


def collect_what_is_dropped() -> None:
    """Free what only refers to itself, and give free memory back to the system (malloc_trim(3)).

    A call's objects refer to each other: until they are collected, so is the last document that
    came through it. Freed memory is overwritten where the unit says so (GLIBC_TUNABLES). Takes
    some tens of milliseconds; call it on the loop, with nobody in a call.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def vitals() -> Vitals:
    """Count; takes some milliseconds. Call on the loop."""
    status = dict(
        line.split(":", 1) for line in (_PROC / "status").read_text("ascii", "replace").splitlines()
    )
    return Vitals(
        fds=len(os.listdir(_PROC / "fd")) - 1,  # noqa: PTH208  (less the folder's own)
        threads=int(status["Threads"]),
        tasks=len(asyncio.all_tasks()),
        children=_children(),
        rss_kb=int(status["VmRSS"].split()[0]),
    )


def _children() -> int:
    # /proc/self/task/*/children is not there in every kernel (CONFIG_PROC_CHILDREN).
    own = os.getpid()
    return sum(_parent(entry) == own for entry in _PROC.parent.glob("[0-9]*"))


def _parent(process: Path) -> int | None:
    """Return the parent of a process in /proc, None when it is gone (proc_pid_stat(5))."""
    try:
        # The name before it stands in brackets and may hold anything.
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
