"""Other processes, looked at while they come and go."""

from __future__ import annotations

from collections.abc import Iterator

import psutil


def family(pid: int) -> Iterator[tuple[psutil.Process, list[str]]]:
    """Yield each living descendant of a process, with its command line.

    One that ends while it is looked at, or that nobody has reaped yet, is left out: psutil
    raises for both.
    """
    for one in psutil.Process(pid).children(recursive=True):
        try:
            line = one.cmdline()
        except psutil.NoSuchProcess:
            continue
        yield one, line
