"""A vetting worker that was taken over: it tries whatever it is told, confined as the real one."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from kioskd.documents.vetting_worker import VettingWorker


class Prisoner(VettingWorker):
    """The real worker's confinement, and someone else's will."""

    def attempt(self, what: str, argument: str) -> str:
        """Return "did it", or the name of the error that stopped it."""
        try:
            _ATTEMPTS[what](argument)
        except OSError as error:
            return type(error).__name__
        return "did it"


def _connect(address: str) -> None:
    host, _, port = address.partition(":")
    socket.create_connection((host, int(port)), 1).close()


def _unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(path)


def _execute(program: str) -> None:
    subprocess.run([program], check=True)


def _execute_here(program: str) -> None:
    os.execv(program, [program])


def _fork(_: str) -> None:
    if os.fork() == 0:
        os._exit(0)


def _trace(pid: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, int(pid), 0, 0) != 0:  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), "ptrace")


def _kill(pid: str) -> None:
    os.kill(int(pid), 0)


def _read(path: str) -> None:
    Path(path).read_bytes()


def _write(path: str) -> None:
    with Path(path).open("ab"):
        pass


def _list(path: str) -> None:
    list(Path(path).iterdir())


def _thread(_: str) -> None:
    one = threading.Thread(target=sys.getrefcount, args=(1,))
    one.start()
    one.join()


_ATTEMPTS: dict[str, Callable[[str], None]] = {
    "connect": _connect,
    "unix": _unix,
    "execute": _execute,
    "execute here": _execute_here,
    "fork": _fork,
    "trace": _trace,
    "kill": _kill,
    "read": _read,
    "write": _write,
    "list": _list,
    "thread": _thread,
}
