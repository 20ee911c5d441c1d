"""What the worker tests run in a worker process."""

from __future__ import annotations

import os
import threading

from kioskd.errors import DeviceError, DocumentError, DocumentFault, Reason
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
