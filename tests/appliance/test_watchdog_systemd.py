"""The unit's own watchdog and restart settings, carried out by the real systemd.

systemd runs as a user's manager in namespaces of its own; the unit is ours without its
sandbox, which a user's manager cannot give. A hang is found within 10 s and service is back
within 20 s; the bounds here are wider, for slow machines.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import family

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "kioskd.service"
SCRIPT = Path(__file__).parent / "systemd_manager.sh"
KEPT = re.compile(
    r"^(Type|NotifyAccess|Restart|RestartSec|Timeout\w+|Watchdog\w+|KillMode)=.*$", re.MULTILINE
)
CGROUPS = [Path("/sys/fs/cgroup") / name for name in ("systemd", "unified")]
"""Of the hybrid kind. systemd makes its groups below the one that it is started in."""
IN_CELL = """
for procs in $CELLS; do echo $$ >"$procs"; done
exec unshare --mount --pid --fork --kill-child --mount-proc sh "$@"
"""
STARTED_S = 60.0
BACK_S = 35.0

pytestmark = [
    pytest.mark.appliance,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("unshare") is None, reason="namespaces need root"
    ),
    pytest.mark.skipif(
        not all(os.access(one / "cgroup.procs", os.W_OK) for one in CGROUPS),
        reason="needs hybrid cgroups",
    ),
]


def make_unit(folder: Path) -> None:
    """Our unit: how it is started, watched and ended; and a note of each time it was ready."""
    kept = "\n".join(match[0] for match in KEPT.finditer(UNIT.read_text("utf-8")))
    assert "WatchdogSec=" in kept
    (folder / "kioskd.service").write_text(
        f"[Unit]\nStartLimitIntervalSec=0\n[Service]\n{kept}\n"
        f"WorkingDirectory={ROOT}\n"
        f"ExecStart={sys.executable} -m kioskd run --config {folder / 'kioskd.toml'}\n"
        f"ExecStartPost=/bin/sh -c 'echo ready >>{folder / 'ready'}'\n"
        f"ExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT >>{folder / 'ended'}'\n"
        f"StandardOutput=append:{folder / 'log'}\nStandardError=inherit\n"
    )


def make_config(folder: Path) -> None:
    text = (ROOT / "config" / "demo.toml").read_text("utf-8")
    text = text.replace('"services.toml"', f'"{ROOT / "config" / "services.toml"}"')
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    (folder / "kioskd.toml").write_text(
        f'{text}\n[broker]\nhost = "127.0.0.1"\nport = {port}\ntls = false\n'
        f'[screen]\nport = 0\n[documents]\nspool = "{folder / "spool"}"\n'
        f'[control]\nsocket = "{folder / "control.sock"}"\n'
        f'[state]\nfolder = "{folder / "state"}"\n'
    )


class Machine:
    """A running systemd with our service."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._folder = folder
        self._process = process

    @property
    def times_ready(self) -> int:
        return len(self._lines("ready"))

    @property
    def ended(self) -> list[str]:
        """What systemd says of each end: watchdog, signal, success."""
        return self._lines("ended")

    def _lines(self, name: str) -> list[str]:
        file = self._folder / name
        return file.read_text().splitlines() if file.exists() else []

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def daemon(self) -> psutil.Process:
        """Return the daemon's process, seen from outside of its namespace."""
        for one, line in family(self._process.pid):
            if line[1:4] == ["-m", "kioskd", "run"]:
                return one
        raise AssertionError(f"no daemon: {self.log[-2000:]}")

    def until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Wait for `condition`; return how long it took."""
        start = time.monotonic()
        while not condition():
            assert time.monotonic() - start < within_s, self.log[-3000:]
            time.sleep(0.05)
        return time.monotonic() - start


@pytest.fixture
def machine() -> Iterator[Machine]:
    cells = [one / f"kioskd-test-{os.getpid()}" for one in CGROUPS]
    with tempfile.TemporaryDirectory(prefix="kioskd-") as name, contextlib.ExitStack() as stack:
        for cell in cells:
            cell.mkdir()
            stack.callback(remove, cell)
        folder = Path(name)
        make_unit(folder)
        make_config(folder)
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(
            ["sh", "-c", IN_CELL, "sh", str(SCRIPT)],
            env={
                **os.environ,
                "CELLS": " ".join(str(cell / "cgroup.procs") for cell in cells),
                "FOLDER": name,
                "RUN": "/run/user",
            },
            stdout=log,
            stderr=log,
        )
        try:
            one = Machine(folder, process)
            one.until(lambda: one.times_ready == 1, STARTED_S)
            yield one
        finally:
            process.kill()  # its namespace, and all in it, goes with it
            process.wait()


def remove(cell: Path) -> None:
    """Remove a cgroup with all below it, once its last process is gone."""
    deadline = time.monotonic() + 10
    while True:
        try:
            for folder in sorted((one for one in cell.rglob("*") if one.is_dir()), reverse=True):
                folder.rmdir()
            cell.rmdir()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def test_a_hang_is_ended_by_the_watchdog_and_service_is_back(machine: Machine) -> None:
    time.sleep(10)  # longer than WatchdogSec: a daemon that pings is left alone
    assert machine.times_ready == 1
    first = machine.daemon()
    first.send_signal(signal.SIGSTOP)
    noticed = machine.until(lambda: machine.ended == ["watchdog"], BACK_S)
    back = noticed + machine.until(lambda: machine.times_ready == 2, BACK_S)
    print(f"noticed after {noticed:.1f} s, back after {back:.1f} s")
    assert "Fatal Python error: Aborted" in machine.log, "it says where it was"
    assert machine.daemon().pid != first.pid
    assert back < BACK_S


def test_a_killed_daemon_is_back(machine: Machine) -> None:
    machine.daemon().kill()
    back = machine.until(lambda: machine.times_ready == 2, BACK_S)
    assert machine.ended == ["signal"]
    assert back < BACK_S
    print(f"back after {back:.1f} s")
