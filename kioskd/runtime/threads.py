"""The event loop's own threads: files, settings and waits that may block."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

THREADS: Final = 6
"""What may block at once: a disk that hangs under the log must leave some for the spool."""


def started_executor(threads: int = THREADS) -> ThreadPoolExecutor:
    """Return an executor whose threads run already: none is added later, when memory may lack.

    Blocks until they all run, some milliseconds. Raises RuntimeError where the system gives no
    more threads.
    """
    executor = ThreadPoolExecutor(threads, thread_name_prefix="blocking")
    together = threading.Barrier(threads + 1)
    try:
        for _ in range(threads):
            executor.submit(together.wait)
        together.wait()
    except RuntimeError:
        together.abort()
        raise
    return executor
