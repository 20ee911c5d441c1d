"""The real systemd boots our unit with its whole sandbox, and a probe inside tries to get out.

Process 1 of namespaces of its own (container.sh), the unit as it is installed; only where its
output goes, and the probe, are added.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.appliance.test_watchdog_systemd import CGROUPS, ROOT, remove
from tests.processes import family

HERE = Path(__file__).parent
BOOT_S = 60.0
IN_CELL = """
for procs in $CELLS; do echo $$ >"$procs"; done
unset CELLS
exec unshare --cgroup --mount --pid --uts --ipc --net --fork --kill-child sh "$@"
"""
CPUSET = "cpuset"
"""A new group of it takes no process until it is given processors; systemd does not use it."""

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


def write(folder: Path) -> None:
    text = (ROOT / "config" / "demo.toml").read_text("utf-8")
    (folder / "kioskd.toml").write_text(
        f'{text}\n[broker]\nhost = "127.0.0.1"\nport = 1\ntls = false\n'
        '[screen]\nport = 0\nentry = "/run/kioskd-screen/kiosk.html"\n'
    )
    shutil.copy(ROOT / "config" / "services.toml", folder)
    shutil.copy(HERE / "probe.py", folder)
    (folder / "out").mkdir(mode=0o755)


class Appliance:
    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._folder = folder
        self._process = process

    @property
    def log(self) -> str:
        file = self._folder / "out" / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _said(self) -> list[str]:
        return [one for one in self.log.splitlines() if one.startswith("PROBE ")]

    def probes(self, count: int) -> dict[str, Any]:
        """Return what the probe of start number `count` said, once it has."""
        end = time.monotonic() + BOOT_S
        while (
            len(said := [one for one in self.log.splitlines() if one.startswith("PROBE ")]) < count
        ):
            console = (self._folder / "console").read_text(errors="replace")
            assert time.monotonic() < end, console[-2000:] + self.log[-4000:]
            assert self._process.poll() is None, console[-2000:]
            time.sleep(0.1)
        found: dict[str, Any] = json.loads(said[count - 1].removeprefix("PROBE "))
        return found

    def daemon(self) -> psutil.Process:
        return self.process("-m", "kioskd", "run")

    def process(self, *words: str) -> psutil.Process:
        """Return a process whose command line has these words."""
        for one, line in family(self._process.pid):
            if {*words} <= {*line}:
                return one
        raise AssertionError(self.log[-2000:])

    def screen(self, count: int) -> str:
        """Return what the screen's keeper said, once it has shown so many Chromiums."""
        file, end = self._folder / "out" / "screen", time.monotonic() + BOOT_S
        while not file.exists() or file.read_text(errors="replace").count("screen.shown") < count:
            said = file.read_text(errors="replace") if file.exists() else ""
            assert time.monotonic() < end, said[-4000:]
            time.sleep(0.1)
        return file.read_text(errors="replace")


@pytest.fixture(scope="module")
def appliance() -> Iterator[Appliance]:
    hierarchies = [
        one.parent
        for one in Path("/sys/fs/cgroup").glob("*/cgroup.procs")
        if one.parent.name != CPUSET
    ]
    cells = [one / f"kioskd-boot-{os.getpid()}" for one in hierarchies]
    with tempfile.TemporaryDirectory(prefix="kioskd-") as name, contextlib.ExitStack() as stack:
        for cell in cells:
            cell.mkdir()
            stack.callback(remove, cell)
        folder = Path(name)
        folder.chmod(0o755)
        write(folder)
        log = stack.enter_context((folder / "console").open("wb"))
        process = subprocess.Popen(
            ["sh", "-c", IN_CELL, "sh", str(HERE / "container.sh")],
            env={
                **os.environ,
                "CELLS": " ".join(str(cell / "cgroup.procs") for cell in cells),
                "FOLDER": name,
                "TREE": str(ROOT),
                "PYTHON": sys.base_prefix,
                "PACKAGES": str(Path(psutil.__file__).parents[1]),
            },
            stdout=log,
            stderr=log,
        )
        try:
            yield Appliance(folder, process)
        finally:
            process.kill()  # its namespaces, and all in them, go with it
            process.wait()


def test_the_unit_boots_in_its_sandbox_and_nothing_gets_out_of_it(appliance: Appliance) -> None:
    found = appliance.probes(1)
    assert '"event": "kioskd.ready"' in appliance.log
    assert found["uid"] != 0
    assert (found["capabilities"], found["no_new_privileges"], found["seccomp"]) == (0, "1", "2")
    assert found["core"] == 0
    assert set(found["writes"]) <= {"/dev/shm"}
    assert found["keeps"] == ["/run/kioskd", "/run/kioskd-screen", "/var/lib/kioskd", "/tmp"]
    refused = (
        "homes",
        "packet_socket",
        "vsock",
        "mounts",
        "mount_namespace",
        "kernel_log",
        "sysctl",
    )
    assert [one for one in refused if found[one]] == []
    assert found["others"] == [], "other users' processes cannot be seen"
    assert found["internet"], "a call needs it"


def test_what_a_visit_needs_works_in_the_sandbox(appliance: Appliance) -> None:
    found = appliance.probes(1)
    assert found["entry"], "the screen finds its way in"
    assert found["vetted"] == 1, "a received document is made into pictures"
    assert "audit.unwritable" not in appliance.log


def fields(one: psutil.Process) -> dict[str, str]:
    text = Path(f"/proc/{one.pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines())


def test_chromium_draws_in_the_units_sandbox_and_has_its_own_within(appliance: Appliance) -> None:
    appliance.screen(1)
    page = appliance.process("--type=renderer")
    browser = appliance.process("--kiosk")
    assert "--no-sandbox" not in browser.cmdline()
    outer, inner = fields(browser), fields(page)
    assert int(outer["CapBnd"], 16) == 0
    for one in (outer, inner):
        assert (int(one["CapEff"], 16), one["NoNewPrivs"], one["Seccomp"]) == (0, "1", "2")
    assert len(inner["NSpid"].split()) > len(outer["NSpid"].split()), "it sees itself alone"
    assert int(inner["Seccomp_filters"]) > int(outer["Seccomp_filters"]), "Chromium's own too"
    uid = outer["Uid"].split()[0]
    assert uid not in ("0", fields(appliance.daemon())["Uid"].split()[0])


def test_it_comes_back_in_its_sandbox(appliance: Appliance) -> None:
    first = appliance.probes(1)
    appliance.screen(1)
    appliance.daemon().kill()
    assert appliance.probes(2) == first
    appliance.screen(2)
