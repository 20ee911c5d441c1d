"""What the daemon knows of itself: how late its loop runs, what it holds."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EVERY_S: Final = 0.1
WINDOW_S: Final = 60.0
PAGE_KB: Final = os.sysconf("SC_PAGE_SIZE") // 1024
_PROC: Final = Path("/proc")


class LoopLag:
    """How late the event loop wakes a task that slept, over the last WINDOW_S seconds."""

    def __init__(self) -> None:
        self._late_ms: deque[float] = deque(maxlen=round(WINDOW_S / EVERY_S))

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + EVERY_S
            await asyncio.sleep(EVERY_S)
            self._late_ms.append((loop.time() - due) * 1000)

    def p99_ms(self) -> float:
        """Return the 99th percentile in milliseconds, 0 before the first measurement."""
        ordered = sorted(self._late_ms)
        return ordered[len(ordered) * 99 // 100] if ordered else 0.0

    def max_ms(self) -> float:
        """Return the worst in milliseconds, 0 before the first measurement."""
        return max(self._late_ms, default=0.0)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the process holds: open files, threads, asyncio tasks, children, resident memory."""

    fds: int
    threads: int
    tasks: int
    children: int
    rss_kb: int


def holdings() -> Holdings:
    """Count, within a few milliseconds."""
    return Holdings(
        fds=len(os.listdir(_PROC / "self/fd")) - 1,  # noqa: PTH208  (one is the listing's own)
        threads=threading.active_count(),
        tasks=len(asyncio.all_tasks()),
        children=sum(_parent(entry) == os.getpid() for entry in _PROC.glob("[0-9]*")),
        rss_kb=int((_PROC / "self/statm").read_text().split()[1]) * PAGE_KB,
    )


def _parent(process: Path) -> int | None:
    """Return the parent of a process in /proc, None when it is gone (proc_pid_stat(5))."""
    try:
        # The name before it stands in brackets and may hold anything.
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
