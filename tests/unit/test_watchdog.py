"""Pulses, vitals and the loop's lag. tests/peer/test_daemon_life.py has the whole daemon."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from kioskd.runtime.vitals import LoopLag, vitals
from kioskd.runtime.watchdog import Watchdog, interval_s

TICK_S = 0.05


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """A service manager that wants to hear from us each 150 ms."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", str(round(3 * TICK_S * 1e6)))
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    return listener


def pings(listener: socket.socket) -> int:
    count = 0
    while True:
        try:
            assert listener.recv(100) == b"WATCHDOG=1"
        except BlockingIOError:
            return count
        count += 1


async def hears(listener: socket.socket) -> None:
    async with asyncio.timeout(10):
        while not pings(listener):  # noqa: ASYNC110
            await asyncio.sleep(TICK_S)


async def falls_silent(listener: socket.socket) -> None:
    async with asyncio.timeout(10):
        pings(listener)
        await asyncio.sleep(4 * TICK_S)
        while pings(listener):  # noqa: ASYNC110
            await asyncio.sleep(4 * TICK_S)


async def test_it_is_silent_while_a_pulse_is_stale(
    manager: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    watchdog = Watchdog()
    pulse = watchdog.pulse("loop", 0.2)
    task = asyncio.create_task(watchdog.run())
    await hears(manager)
    await falls_silent(manager)
    assert watchdog.stuck() == ["loop"]
    pulse.beat()
    await hears(manager)
    task.cancel()
    manager.close()
    said = capsys.readouterr().out
    assert (said.count("watchdog.stuck"), said.count("watchdog.moves_again")) == (1, 1)


async def test_it_is_silent_while_something_is_overdue(manager: socket.socket) -> None:
    late: list[str] = []
    watchdog = Watchdog(overdue=lambda _: late)
    task = asyncio.create_task(watchdog.run())
    await hears(manager)
    late.append("scanner")
    await falls_silent(manager)
    assert watchdog.stuck() == ["worker scanner"]
    late.clear()
    await hears(manager)
    task.cancel()
    manager.close()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "9000000"}, 3.0),
        ({"WATCHDOG_USEC": "9000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "9000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_who_wants_to_hear_from_us(environment: dict[str, str], expected: float | None) -> None:
    assert interval_s(environment) == expected


async def test_a_blocked_loop_shows_in_the_lag() -> None:
    lag = LoopLag()
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0.2)
    time.sleep(0.3)  # noqa: ASYNC251  (the block that is measured)
    await asyncio.sleep(0.1)
    task.cancel()
    assert 240 < lag.figures_ms()[1] < 10_000


def test_the_percentile_is_the_99th() -> None:
    lag = LoopLag()
    for number in range(1, 201):
        lag.add(number / 1e3)
    p99, longest = lag.figures_ms()
    assert p99 == pytest.approx(198, abs=1)
    assert longest == pytest.approx(200)
    for _ in range(1200):
        lag.add(0.0)
    assert lag.figures_ms() == (0.0, 0.0), "a minute later all is forgotten"


async def test_vitals_are_those_of_the_process() -> None:
    before = vitals()
    process = psutil.Process()
    assert before.threads == process.num_threads()
    assert before.tasks == len(asyncio.all_tasks())
    assert 0.5 < before.rss_kb * 1024 / process.memory_info().rss < 2
    one, other = socket.socketpair()
    child = await asyncio.create_subprocess_exec("sleep", "600")
    after = vitals()
    child.kill()
    await child.wait()
    one.close()
    other.close()
    assert after.fds >= before.fds + 2
    assert after.children == before.children + 1
    assert vitals().children == before.children
