"""A scanner behind SANE's network daemon, which dies and hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers.scanner.sane_scanner import SaneScanner, SaneScannerConfig
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceState
from kioskd.runtime.supervisor import Supervised
from tests.contract.saned import Saned
from tests.contract.scanner_rig import QUICK, WITHIN_S, begin, files, scan

TOLD_WITHIN_S = 15.0  # the promise is 5 s; a test machine may be slow
STALL_S = 1.5
SLOW: dict[str, str | bool | int | float] = {"read_delay": True, "read_delay_duration": 20_000}


@pytest.fixture
async def saned(tmp_path: Path) -> AsyncIterator[Saned]:
    async with Saned(tmp_path) as saned:
        yield saned


def make(saned: Saned, *, slow: bool = False) -> SaneScanner:
    return SaneScannerConfig(
        device=saned.device,
        config_dir=saned.config_dir,
        options=SLOW if slow else {},
        next_line_s=STALL_S,
    ).build()


async def test_killed_in_a_page(saned: Saned, folder: Path) -> None:
    async with make(saned, slow=True) as scanner:
        run = await begin(scanner, folder, lambda: None)
        await saned.kill()
        with pytest.raises(DeviceError) as caught:
            async with asyncio.timeout(WITHIN_S):
                await run.first
        assert caught.value.reason in (Reason.IO_ERROR, Reason.NO_ANSWER)
        assert files(folder) == []
        await saned.start()
        assert len(await scan(scanner, QUICK, folder)) == 1


async def test_stopped_in_a_page(saned: Saned, folder: Path) -> None:
    async with make(saned, slow=True) as scanner:
        run = await begin(scanner, folder, lambda: None)
        saned.stop()
        with pytest.raises(DeviceError) as caught:
            async with asyncio.timeout(WITHIN_S):
                await run.first
        assert caught.value.reason is Reason.NO_ANSWER
        assert files(folder) == []
        saned.go_on()
        assert len(await scan(scanner, QUICK, folder)) == 1


async def test_stopped_at_rest(saned: Saned, folder: Path) -> None:
    changed = asyncio.Event()
    supervised = Supervised(make(saned), on_change=lambda _: changed.set())

    async def until(state: DeviceState) -> None:
        async with asyncio.timeout(TOLD_WITHIN_S):
            while supervised.health.state is not state:
                changed.clear()
                await changed.wait()

    run = asyncio.create_task(supervised.run())
    await until(DeviceState.READY)
    saned.stop()
    await until(DeviceState.FAILED)
    assert supervised.health.reason is Reason.NO_ANSWER
    saned.go_on()
    await until(DeviceState.READY)
    async with supervised.lease() as scanner:
        assert len(await scan(scanner, QUICK, folder)) == 1
    run.cancel()
    await asyncio.wait([run])
