"""The worker's side of `kioskd.runtime.worker`: `python -m kioskd.runtime.worker_main`."""

from __future__ import annotations

import importlib
import json
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from kioskd.errors import DeviceError, DocumentError, Reason

Json: TypeAlias = Any

PING: Final = "ping"
"""The call that every worker answers: its main thread is free."""
_END: Final = None


class Context(Protocol):
    """What a worker's object gets as `context`, its first argument."""

    def progress(self, value: Json) -> None:
        """Tell the daemon that the call under way goes on. From any thread."""

    def event(self, value: Json) -> None:
        """Tell the daemon something that belongs to no call. From any thread."""

    @property
    def cancelled(self) -> bool:
        """True once the daemon wants the call under way to stop."""

    def on_cancel(self, action: Callable[[], None] | None) -> None:
        """Run `action`, on the thread that reads the socket, when the call is cancelled."""


class _Context:
    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._write = threading.Lock()
        self._state = threading.Lock()
        self._current: int | None = None
        self._cancelled = False
        self._action: Callable[[], None] | None = None

    def send(self, message: Json) -> None:
        data = json.dumps(message).encode() + b"\n"
        with self._write:
            self._channel.sendall(data)

    def progress(self, value: Json) -> None:
        self.send({"id": self._current, "progress": value})

    def event(self, value: Json) -> None:
        self.send({"event": value})

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def on_cancel(self, action: Callable[[], None] | None) -> None:
        with self._state:
            self._action = action

    def begin(self, number: int, dropped: set[int]) -> None:
        with self._state:
            self._current = number
            self._cancelled = number in dropped
            self._action = None

    def cancel(self, number: int, dropped: set[int]) -> None:
        with self._state:
            if number != self._current:
                dropped.add(number)
                return
            self._cancelled = True
            action = self._action
        if action is not None:
            action()


def _read(
    channel: socket.socket, context: _Context, calls: queue.Queue[Json], dropped: set[int]
) -> None:
    with channel.makefile("rb") as stream:
        for line in stream:
            message = json.loads(line)
            if "cancel" in message:
                context.cancel(message["cancel"], dropped)
            else:
                calls.put(message)
    # The daemon hung up: nobody wants our work, and the main thread may sit in a
    # native call for ever.
    os._exit(0)


def _run(subject: Any, context: _Context, message: Json) -> None:
    number = message["id"]
    try:
        method = message["call"]
        result = None if method == PING else getattr(subject, method)(**message["args"])
    except DeviceError as error:
        context.send({"id": number, "error": {"reason": error.reason, "detail": error.detail}})
    except DocumentError as error:
        context.send({"id": number, "error": {"fault": error.fault, "detail": error.detail}})
    except MemoryError:
        context.send({"id": number, "error": {"reason": Reason.OUT_OF_MEMORY, "detail": ""}})
    else:
        context.send({"id": number, "result": result})


def main() -> None:
    """Serve the calls that come over the socket until it closes or a call crashes."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    module, _, name = sys.argv[2].partition(":")
    context = _Context(channel)
    subject = getattr(importlib.import_module(module), name)(context, **json.loads(sys.argv[3]))
    calls: queue.Queue[Json] = queue.Queue()
    dropped: set[int] = set()
    threading.Thread(target=_read, args=(channel, context, calls, dropped), daemon=True).start()
    context.send({"id": -1, "result": None})
    while (message := calls.get()) is not _END:
        context.begin(message["id"], dropped)
        _run(subject, context, message)


if __name__ == "__main__":
    main()
