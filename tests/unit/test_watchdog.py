"""systemd's watchdog is fed while everything moves, and only then."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kioskd.runtime import watchdog
from kioskd.runtime.watchdog import Pulse

PERIOD_S = 0.15
WITHIN_S = 10.0


class Systemd:
    """The far end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(str(path))

    async def hears(self) -> bytes:
        async with asyncio.timeout(WITHIN_S):
            return await asyncio.get_running_loop().sock_recv(self.socket, 100)

    async def hears_nothing_for(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_recv(self.socket, 100)
                return False
        return True

    def forget(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv(100):
                continue


@contextlib.asynccontextmanager
async def watched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Systemd]:
    one = Systemd(folder / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", str(round(PERIOD_S * 1e6)))
    task = asyncio.create_task(watchdog.run())
    yield one
    task.cancel()
    await asyncio.wait([task])
    one.socket.close()


@pytest.fixture
async def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Systemd]:
    async with watched(tmp_path, monkeypatch) as one:
        yield one


async def test_it_is_fed_while_nothing_hangs(systemd: Systemd) -> None:
    pulse = Pulse("work")
    with pulse.within(WITHIN_S):
        for _ in range(3):
            assert await systemd.hears() == b"WATCHDOG=1"


async def test_it_starves_while_something_hangs_and_is_fed_again(systemd: Systemd) -> None:
    pulse = Pulse("work")
    pulse.expect(0.0)
    assert await systemd.hears() == b"WATCHDOG=1"  # the feeding that was under way
    await asyncio.sleep(PERIOD_S)
    systemd.forget()
    assert watchdog.overdue() == ["work"]
    assert await systemd.hears_nothing_for(4 * PERIOD_S)
    pulse.rest()
    assert await systemd.hears() == b"WATCHDOG=1"


async def test_what_rests_or_is_gone_does_not_hang() -> None:
    resting, gone = Pulse("resting"), Pulse("gone")
    resting.expect(0.0)
    resting.rest()
    gone.expect(0.0)
    del gone
    assert watchdog.overdue() == []


async def test_a_watchdog_meant_for_another_process_is_not_fed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    async with watched(tmp_path, monkeypatch) as systemd:
        assert await systemd.hears_nothing_for(4 * PERIOD_S)
