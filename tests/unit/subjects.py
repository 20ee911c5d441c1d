"""What the worker tests run in a worker process."""

from __future__ import annotations

import os
import subprocess
import threading

from kioskd.errors import DeviceError, DocumentError, DocumentFault, Reason
from kioskd.runtime.children import die_with_parent
from kioskd.runtime.worker_main import Context


class Subject:
    """Does as it is told, well or badly."""

    def __init__(self, context: Context, *, base: int) -> None:
        self._context = context
        self._base = base

    def add(self, number: int) -> int:
        return self._base + number

    def pid(self) -> int:
        return os.getpid()

    def abort(self) -> None:
        os.abort()

    def hang(self) -> None:
        threading.Event().wait()

    def spawn(self, *, own_session: bool) -> int:
        """Start a program that outlives its parent if nobody sees to it; return its pid."""
        arm = None if own_session else die_with_parent(os.getpid())
        command = ["sleep", "600"]
        return subprocess.Popen(
            command,
            start_new_session=own_session,
            preexec_fn=arm,  # noqa: PLW1509  (as kioskd.runtime.children does it)
        ).pid

    def jam(self) -> None:
        raise DeviceError(Reason.PAPER_JAM, "tray 1")

    def refuse(self) -> None:
        raise DocumentError(DocumentFault.ENCRYPTED, "no")

    def until_cancelled(self) -> None:
        stop = threading.Event()
        self._context.on_cancel(stop.set)
        self._context.progress("started")
        stop.wait()
        self._context.event("stopped cleanly")

    def say(self, word: str) -> None:
        self._context.event(word)


class Stillborn:
    """Dies while it is made, each time."""

    def __init__(self, context: Context) -> None:
        os.abort()
