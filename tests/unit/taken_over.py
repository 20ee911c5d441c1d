"""A vetting worker that a document has taken over."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable

from kioskd.documents.vetting_worker import VettingWorker
from kioskd.runtime.worker import Json


class TakenOver(VettingWorker):
    """A vetting worker in which a document has managed to run code of its own."""

    def attempts(self) -> Json:
        """Return the error number of each attempt, or None where it was let."""
        tries: dict[str, Callable[[], object]] = {
            "socket": socket.socket,
            "program": lambda: os.execv("/bin/true", ["true"]),
            "process": os.fork,
            "signal": lambda: os.kill(os.getppid(), 0),
            "link": lambda: os.symlink("/etc/passwd", f"/tmp/{os.getpid()}"),  # noqa: PTH211
            "namespace": _unshare,
        }
        return {name: _number_of(attempt) for name, attempt in tries.items()}

    def thread(self) -> str:
        """Run something in another thread."""
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.append("it runs"))
        thread.start()
        thread.join()
        return said[0]


def _unshare() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(0) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def _number_of(attempt: Callable[[], object]) -> int | None:
    try:
        attempt()
    except OSError as error:
        return error.errno
    return None
