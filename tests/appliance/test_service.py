"""The daemon under a service manager: a hang ends in a restart, deaths in safe mode."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from kioskd.control import client
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind, DeviceState
from kioskd.simulation.broker import free_port
from kioskd.simulation.sane import write_sane_config
from tests.appliance.service_manager import ServiceManager

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(180)]

CONFIG = Path(__file__).parents[2] / "config"
LONG_S = 60.0
WATCHDOG_S = 3.0


def write_config(folder: Path) -> Path:
    text = (CONFIG / "demo.toml").read_text()
    text = text.replace("services.toml", str(CONFIG / "services.toml"))
    (folder / "sane").mkdir()
    sane = (
        f'driver = "sane"\ndevice = "test:0"\nconfig_dir = "{write_sane_config(folder / "sane")}"'
    )
    text = text.replace('[scanner]\ndriver = "fake"', f"[scanner]\n{sane}")
    # Nobody listens at the broker's port: the watchdog must not care.
    text += f"""
[broker]
host = "127.0.0.1"
port = {free_port()}
tls = false
[screen]
port = 0
[documents]
spool = "{folder}/spool"
[control]
socket = "{folder}/control.sock"
[state]
folder = "{folder}/state"
"""
    (folder / "kioskd.toml").write_text(text)
    return folder / "kioskd.toml"


@contextlib.asynccontextmanager
async def service(folder: Path, program: str = "kioskd") -> AsyncIterator[ServiceManager]:
    config = write_config(folder)
    command = [sys.executable, "-m", program, "run", "--config", str(config)]
    log = folder / "log"
    async with ServiceManager(
        folder, command, log=log, watchdog_s=WATCHDOG_S, restart_s=0.1
    ) as manager:
        yield manager


async def test_a_daemon_that_hangs_is_started_again(tmp_path: Path) -> None:
    async with service(tmp_path) as manager:
        await manager.until("ready", 1, LONG_S)
        await manager.until("fed", 3, LONG_S)  # without a broker all the same
        assert manager.process is not None
        manager.process.send_signal(signal.SIGSTOP)
        await manager.until("starved", 1, LONG_S)
        await manager.until("ready", 2, LONG_S)
        fed = manager.count("fed")
        await manager.until("fed", fed + 2, LONG_S)
        assert manager.count("starved") == 1


async def test_a_device_that_kills_the_daemon_is_left_out(tmp_path: Path) -> None:
    async with service(tmp_path, "tests.appliance.guilty") as manager:
        await manager.until("ready", 1, LONG_S)
        assert manager.count("ended") == 4  # three in a row, and once more to know which
        answer = await client.ask_status(tmp_path / "control.sock", timeout=LONG_S)
        assert answer.safe_mode
        states = {one.kind: one for one in answer.devices}
        guilty = states.pop(DeviceKind.SPEAKER)
        assert (guilty.state, guilty.reason) == (DeviceState.FAILED, Reason.LEFT_OUT)
        assert {one.state for one in states.values()} == {DeviceState.READY}
        await manager.until("fed", 2, LONG_S)


async def test_a_killed_daemon_leaves_no_child(tmp_path: Path) -> None:
    async with service(tmp_path) as manager:
        await manager.until("ready", 1, LONG_S)
        assert manager.process is not None
        left = psutil.Process(manager.process.pid).children(recursive=True)
        assert any("drivers.scanner" in part for one in left for part in one.cmdline())
        manager.process.kill()
        await manager.until("ended", 1, LONG_S)
        _, alive = await asyncio.to_thread(psutil.wait_procs, left, LONG_S)
        assert alive == []
