"""The daemon's own life: hangs, deaths and starts, under a small service manager."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from kioskd.audit.events import DaemonStopped
from kioskd.audit.log import AuditLog
from kioskd.audit.verify import files_of, lines_of, verify
from kioskd.control import client
from kioskd.control.api import Status
from kioskd.errors import ControlError, Reason
from kioskd.hal.device import DeviceKind, DeviceState
from kioskd.runtime.starts import FAILED_STARTS
from kioskd.simulation.pipewire import PrivatePipewire
from kioskd.simulation.sane import write_sane_config
from tests import processes
from tests.peer.service_manager import ServiceManager

WATCHDOG_S = 2.0
"""Shorter than on a kiosk (systemd/kioskd.service), to have it over."""

FAMILY = ("SaneWorker", "subjects:Subject", "sleep 600", "sleep 601", "pacat", "parec")
"""Workers, a worker's own child, a program, and the two that carry the sound."""

pytestmark = pytest.mark.peer


def configure(config: Path, **devices: str) -> None:
    """Replace simulated devices by others."""
    text = config.read_text()
    for kind, lines in devices.items():
        simulated = f'[{kind}]\ndriver = "fake"\n'
        assert simulated in text
        text = text.replace(simulated, f"[{kind}]\n{lines}\n")
    config.write_text(text)


def manager(config: Path, *arguments: str) -> ServiceManager:
    return ServiceManager(config.parent, "-m", *arguments, watchdog_s=WATCHDOG_S)


def daemon(config: Path) -> ServiceManager:
    return manager(config, "kioskd", "run", "--config", str(config))


def deadly(config: Path, fault: str) -> ServiceManager:
    return manager(config, "tests.peer.deadly_kiosk", str(config), fault)


async def status(config: Path) -> Status:
    """Ask the daemon; it may be in the middle of its start."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await asyncio.to_thread(client.status, config.parent / "control.sock")
            except ControlError:
                await asyncio.sleep(0.05)


async def test_a_dead_network_and_missing_devices_stop_no_ping(config: Path) -> None:
    configure(config, camera='driver = "v4l2"\ndevice = "/dev/kiosk/nothing"')
    async with daemon(config) as service:
        life = await service.until_ready(0)
        await service.until(lambda: life.pings >= 12, "it went silent")
        answer = await status(config)
        assert not answer.broker_online
        assert answer.devices[0].reason is Reason.NOT_FOUND
        assert answer.loop_lag_max_ms > 0
        assert answer.process.tasks > 10
        assert await service.stop() == 0
        assert len(service.lives) == 1


async def test_a_stopped_daemon_is_back(config: Path) -> None:
    async with daemon(config) as service:
        first = await service.until_ready(0)
        await service.until(lambda: first.pings > 0, "it never pinged")
        os.kill(first.pid, signal.SIGSTOP)
        stopped = asyncio.get_running_loop().time()
        second = await service.until_ready(1)
        assert first.aborted is not None
        # faulthandler's walk through threads that run on meanwhile crashes now and then (one of
        # 40): those of a daemon that hangs by itself stand still.
        assert first.code in (-signal.SIGABRT, -signal.SIGSEGV)
        assert second.ready is not None
        assert second.ready - stopped < WATCHDOG_S + 20
        assert (await status(config)).pid == second.pid
        assert await service.stop() == 0


@pytest.mark.parametrize("fault", ["block", "wedge"])
async def test_a_loop_that_hangs_is_found_out(config: Path, fault: str) -> None:
    async with deadly(config, fault) as service:
        first = await service.until_ready(0)
        await service.until(lambda: first.ended is not None, "nobody noticed")
        assert first.aborted is not None, "it died of the watchdog"
        config.with_suffix(".heal").touch()
        await service.until_ready(1)
        if fault == "wedge":  # the loop itself is well, and says who is not
            assert '"what": "device panel"' in service.log.read_text()
        assert await service.stop() == 0


async def test_a_device_that_kills_the_daemon_is_left_out_and_named(config: Path) -> None:
    async with deadly(config, "kill") as service:
        await service.until(lambda: len(service.lives) > FAILED_STARTS + 1, "too few starts")
        life = await service.until_ready(FAILED_STARTS + 1)
        assert [one.code for one in service.lives[:-1]] == [-signal.SIGKILL] * (FAILED_STARTS + 1)
        answer = await status(config)
        states = {one.kind: (one.state, one.reason) for one in answer.devices}
        assert answer.safe_mode
        assert states.pop(DeviceKind.PANEL) == (DeviceState.FAILED, Reason.LEFT_OUT)
        assert {state for state, _ in states.values()} == {DeviceState.READY}
        await service.until(lambda: life.pings > 3, "it does not live on")
        assert '"device": "panel", "event": "starts.left_out"' in service.log.read_text()

        shown = await kioskctl("status", "--socket", str(config.parent / "control.sock"))
        assert "SAFE MODE" in shown
        assert "left out: panel" in shown
        found = json.loads(await kioskctl("doctor", "--json", "--config", str(config)))
        panel = next(one for one in found["findings"] if one["id"] == "KSK-623")
        assert "kioskctl readmit" in panel["action"]

        config.with_suffix(".heal").touch()  # a technician has replaced it
        told = await kioskctl("readmit", "panel", "--socket", str(config.parent / "control.sock"))
        assert "the panel is back: ready" in told
        assert (await status(config)).devices[-1].state is DeviceState.READY
        assert await service.stop() == 0
        note = json.loads((config.parent / "state" / "starts.json").read_text())
        assert note == {"failed": 0, "trying": None, "left_out": {}}


async def test_readmitting_it_unrepaired_costs_one_start_only(config: Path) -> None:
    (config.parent / "state").mkdir()
    note = {"failed": 0, "trying": None, "left_out": {"panel": 4e9}}  # a clock set back: it is due
    (config.parent / "state" / "starts.json").write_text(json.dumps(note))
    async with deadly(config, "kill") as service:
        await service.until_ready(0)
        await kioskctl("readmit", "panel", "--socket", str(config.parent / "control.sock"))
        second = await service.until_ready(1)
        await service.until(lambda: second.pings > 1, "it does not live on")
        answer = await status(config)
        assert answer.devices[-1].reason is Reason.LEFT_OUT
        assert not answer.safe_mode
        assert await service.stop() == 0


async def test_a_folder_of_state_that_cannot_be_written_is_survived(config: Path) -> None:
    (config.parent / "state").write_text("a file where the folder should be")
    async with daemon(config) as service:
        life = await service.until_ready(0)
        await service.until(lambda: life.pings > 1, "it does not live on")
        assert "starts.unwritable" in service.log.read_text()
        assert await service.stop() == 0


@pytest.fixture
async def sound(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PrivatePipewire]:
    with tempfile.TemporaryDirectory(prefix="pw") as folder:
        async with PrivatePipewire(Path(folder)) as private:
            for key, value in private.env.items():
                monkeypatch.setenv(key, value)
            yield private


async def test_nothing_is_left_of_a_killed_daemon(config: Path, sound: PrivatePipewire) -> None:
    """Each process that descends from it dies with it; systemd's cgroup is not asked for help."""
    (config.parent / "sane").mkdir()
    sane = write_sane_config(config.parent / "sane")
    configure(
        config,
        microphone=f'driver = "pipewire"\nsource = "{sound.source}"',
        speaker=f'driver = "pipewire"\nsink = "{sound.sink}"',
        scanner=f'driver = "sane"\ndevice = "test:0"\nconfig_dir = "{sane}"',
    )
    control = str(config.parent / "control.sock")
    async with manager(config, "tests.peer.family_kiosk", str(config)) as service:
        life = await service.until_ready(0)
        family: dict[str, psutil.Process] = {}

        async def listen() -> None:
            """A daemon that has just started may have no microphone yet, and refuses."""
            while len(family) < len(FAMILY):
                await kioskctl("test", "microphone", "--socket", control)

        listening = asyncio.create_task(listen())

        def complete() -> bool:
            for one, line in processes.family(life.pid):
                family.update({word: one for word in FAMILY if word in " ".join(line)})
            return len(family) == len(FAMILY)

        await service.until(complete, "no family")
        os.kill(life.pid, signal.SIGKILL)
        _, alive = await asyncio.to_thread(psutil.wait_procs, list(family.values()), timeout=10)
        assert alive == []
        await listening


async def kioskctl(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kioskd.cli",
        *arguments,
        env={**os.environ, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return out.decode()


async def test_what_a_dead_daemon_has_left_is_purged(config: Path) -> None:
    left = config.parent / "spool" / "visit" / "page"
    left.parent.mkdir(parents=True)
    left.write_text("a resident's paper")
    assert await (await purge(config)).wait() == 0
    assert not left.parent.exists()
    assert await asyncio.to_thread(audit_log, config) == ["log-begun", "purge-done"]


async def test_a_purge_leaves_the_log_to_a_daemon_that_has_started_meanwhile(config: Path) -> None:
    held = AuditLog(config.parent / "state" / "audit")
    held.open()
    process = await purge(config)
    told, _ = await process.communicate()
    assert process.returncode == 0
    assert b"purge.not_told" in told
    held.append(DaemonStopped(), datetime.now(UTC))
    held.close()
    assert await (await purge(config)).wait() == 0
    events = await asyncio.to_thread(audit_log, config)
    assert events == ["log-begun", "daemon-stopped", "purge-done"]
    assert verify(config.parent / "state" / "audit").faults == []


async def test_a_purge_that_cannot_reach_the_printer_says_so(config: Path) -> None:
    configure(config, printer='driver = "cups"\nqueue = "none"\nserver = "127.0.0.1:9"')
    process = await purge(config)
    told, _ = await process.communicate()
    assert process.returncode == 4
    assert told.decode().startswith("kioskd: offline")
    assert await asyncio.to_thread(audit_log, config) == ["log-begun", "purge-failed"]


def audit_log(config: Path) -> list[str]:
    folder = config.parent / "state" / "audit"
    return [line.event.type for file in files_of(folder) for _, line in lines_of(file)]


async def purge(config: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kioskd", "purge", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_a_living_daemon_keeps_its_documents(config: Path) -> None:
    left = config.parent / "spool" / "visit" / "page"
    left.parent.mkdir(parents=True)
    left.write_text("a resident's paper")
    server = await asyncio.start_unix_server(lambda _, w: w.close(), config.parent / "control.sock")
    async with server:
        process = await purge(config)
        told, _ = await process.communicate()
    assert process.returncode == 4
    assert b"stop it first" in told
    assert left.exists()
