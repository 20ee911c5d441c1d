"""The scanner's contract: SANE with its `test` backend, and the fake."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from drivers.scanner.fake import FakeScannerConfig
from drivers.scanner.none import NoScannerConfig
from drivers.scanner.sane_scanner import SaneScannerConfig
from drivers.scanner.sane_worker import reason_of
from kioskd.errors import DeviceAbsent, DeviceBusy, DeviceError, Reason
from kioskd.hal.device import DeviceState
from kioskd.hal.scanner import (
    ScanMode,
    Scanner,
    ScanProgress,
    ScanSettings,
    ScanSource,
)
from kioskd.simulation.escl import NetworkScanner
from tests.contract.scanner_rig import (
    FEEDER,
    FEEDER_PAGES,
    QUICK,
    WITHIN_S,
    FakeRig,
    RealRig,
    Rig,
    begin,
    check_whole,
    files,
    scan,
)


@pytest.fixture(params=["sane", "fake"])
def rig(request: pytest.FixtureRequest, real: RealRig) -> Rig:
    return real if request.param == "sane" else FakeRig()


@pytest.fixture
async def network(real: RealRig) -> AsyncIterator[NetworkScanner]:
    async with NetworkScanner(real.config_dir) as network:
        yield network


class Paper(Protocol):
    """What lies in a feeder, and after how many pages it jams."""

    feeder_pages: int
    jam_after: int | None


@dataclass
class Feeder:
    scanner: Scanner
    source: Paper


@pytest.fixture(params=["airscan", "fake"])
async def feeder(request: pytest.FixtureRequest, real: RealRig) -> AsyncIterator[Feeder]:
    if request.param == "fake":
        fake = FakeScannerConfig().build()
        yield Feeder(fake, fake)
        return
    async with NetworkScanner(real.config_dir) as network:
        yield Feeder(real.make(), network)


@pytest.mark.parametrize("mode", list(ScanMode))
async def test_flatbed_gives_one_a4_page(rig: Rig, folder: Path, mode: ScanMode) -> None:
    progress: list[ScanProgress] = []
    settings = ScanSettings(ScanSource.FLATBED, mode, 300)
    async with rig.make() as scanner:
        [page] = await scan(scanner, settings, folder, progress.append)
    assert (page.number, page.path, page.dpi) == (1, folder / "page-0001.jpg", 300)
    assert page.width == pytest.approx(2480, rel=0.02)
    assert page.height == pytest.approx(3508, rel=0.02)
    check_whole(page, "RGB" if mode is ScanMode.COLOUR else "L")
    assert progress
    assert all(moved.page == 1 and 0 <= moved.done <= 1 for moved in progress)


async def test_feeder_gives_all_its_pages(rig: Rig, folder: Path) -> None:
    async with rig.make() as scanner:
        pages = await scan(scanner, FEEDER, folder)
    assert [page.number for page in pages] == list(range(1, FEEDER_PAGES + 1))
    for page in pages:
        check_whole(page, "RGB")
    assert files(folder) == [page.path for page in pages]


async def test_auto_takes_the_feeder_then_the_flatbed(feeder: Feeder, folder: Path) -> None:
    feeder.source.feeder_pages = 2
    async with feeder.scanner as scanner:
        for pages in (2, 1):
            taken = await scan(scanner, ScanSettings(ScanSource.AUTO, dpi=75), folder)
            assert len(taken) == pages
        with pytest.raises(DeviceError) as caught:
            await scan(scanner, FEEDER, folder)
    assert caught.value.reason is Reason.NO_PAPER


async def test_a_jam_keeps_the_pages_before(feeder: Feeder, folder: Path) -> None:
    feeder.source.feeder_pages, feeder.source.jam_after = 5, 3
    async with feeder.scanner as scanner:
        pages = scanner.scan(FEEDER, folder)
        async with aclosing(pages), asyncio.timeout(WITHIN_S):
            taken = [await anext(pages) for _ in range(3)]
            with pytest.raises(DeviceError) as caught:
                await anext(pages)
        assert caught.value.reason is Reason.PAPER_JAM
        assert [page.number for page in taken] == [1, 2, 3]
        assert files(folder) == [page.path for page in taken]
        for page in taken:
            check_whole(page, "RGB")
        feeder.source.jam_after = None
        assert len(await scan(scanner, FEEDER, folder)) == 2


async def test_the_fake_fails_as_told(folder: Path) -> None:
    async with FakeScannerConfig(feeder_pages=1).build() as scanner:
        scanner.fail_with(Reason.COVER_OPEN)
        with pytest.raises(DeviceError) as caught:
            await scan(scanner, FEEDER, folder)
    assert caught.value.reason is Reason.COVER_OPEN
    assert files(folder) == []


async def test_cancelling_leaves_no_file_and_a_usable_scanner(rig: Rig, folder: Path) -> None:
    async with rig.make(slow=True) as scanner:
        run = await begin(scanner, folder, rig.pause)
        run.first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.first
        await run.pages.aclose()
        assert files(folder) == []
        rig.go_on()
        [page] = await scan(scanner, QUICK, folder)
        check_whole(page, "RGB")


async def test_two_scans_at_a_time_are_refused(rig: Rig, folder: Path) -> None:
    async with rig.make(slow=True) as scanner:
        run = await begin(scanner, folder, rig.pause)
        with pytest.raises(DeviceBusy):
            await scan(scanner, QUICK, folder)
        assert not run.first.done()
        rig.go_on()
        async with aclosing(run.pages), asyncio.timeout(WITHIN_S):
            check_whole(await run.first, "RGB")


async def test_stopping_between_pages_keeps_those_taken(rig: Rig, folder: Path) -> None:
    async with rig.make() as scanner:
        async with aclosing(scanner.scan(FEEDER, folder)) as pages:
            page = await anext(pages)
        assert files(folder) == [page.path]
        check_whole(page, "RGB")
        [page] = await scan(scanner, QUICK, folder)


async def test_opens_and_closes_twice(rig: Rig, folder: Path) -> None:
    scanner = rig.make()
    assert (await scanner.check()).state is DeviceState.READY
    await scanner.open()
    await scanner.open()
    assert (await scanner.check()).state is DeviceState.READY
    assert len(await scan(scanner, QUICK, folder)) == 1
    await scanner.close()
    await scanner.close()
    with pytest.raises(DeviceError):
        await scan(scanner, QUICK, folder)


async def test_a_worker_killed_during_a_scan(real: RealRig, folder: Path) -> None:
    async with real.make(slow=True) as scanner:
        run = await begin(scanner, folder, real.pause)
        assert scanner.worker_pid is not None
        os.kill(scanner.worker_pid, signal.SIGKILL)
        with pytest.raises(DeviceError) as caught:
            await run.first
        assert caught.value.reason is Reason.CRASHED
        assert files(folder) == []
        assert len(await scan(scanner, QUICK, folder)) == 1


async def test_check_does_not_disturb_a_scan(real: RealRig, folder: Path) -> None:
    async with real.make(slow=True) as scanner:
        run = await begin(scanner, folder, real.pause)
        async with aclosing(run.pages), asyncio.timeout(WITHIN_S):
            assert (await scanner.check()).state is DeviceState.READY
            assert not run.first.done()
            check_whole(await run.first, "RGB")


async def test_a_scanner_that_is_not_there_is_absent(real: RealRig) -> None:
    scanner = real.make(device="test:7")
    with pytest.raises(DeviceAbsent) as caught:
        await scanner.open()
    assert caught.value.reason is Reason.NOT_FOUND
    (real.config_dir / "dll.conf").write_text("")
    await scanner.close()
    scanner = real.make()
    with pytest.raises(DeviceAbsent):
        await scanner.check()
    await scanner.close()


async def test_an_option_that_it_has_not_is_told(real: RealRig, folder: Path) -> None:
    scanner = SaneScannerConfig(config_dir=real.config_dir, options={"colour_of_lid": 1}).build()
    async with scanner:
        with pytest.raises(DeviceError) as caught:
            await scan(scanner, QUICK, folder)
    assert caught.value.reason is Reason.UNSUPPORTED


async def test_a_network_scanner_s_open_cover_is_told(
    network: NetworkScanner, real: RealRig, folder: Path
) -> None:
    network.feeder_pages, network.cover_open = 1, True
    async with real.make() as scanner:
        with pytest.raises(DeviceError) as caught:
            await scan(scanner, FEEDER, folder)
    assert caught.value.reason is Reason.COVER_OPEN


async def test_a_cut_connection_yields_no_page(
    network: NetworkScanner, real: RealRig, folder: Path
) -> None:
    network.drops = True
    async with real.make() as scanner:
        with pytest.raises(DeviceError) as caught:
            await scan(scanner, QUICK, folder)
        assert caught.value.reason is Reason.IO_ERROR
        assert files(folder) == []
        network.drops = False
        assert len(await scan(scanner, QUICK, folder)) == 1


async def test_none_is_honest(folder: Path) -> None:
    scanner = NoScannerConfig().build()
    for call in (scanner.check(), scanner.open(), scan(scanner, QUICK, folder)):
        with pytest.raises(DeviceAbsent) as caught:
            await call
        assert caught.value.reason is Reason.NOT_CONFIGURED
    await scanner.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Document feeder out of documents", Reason.NO_PAPER),
        ("Document feeder jammed", Reason.PAPER_JAM),
        ("Scanner cover is open", Reason.COVER_OPEN),
        ("Device busy", Reason.BUSY),
        ("Error during device I/O", Reason.IO_ERROR),
        ("Access to resource has been denied", Reason.PERMISSION),
        ("Out of memory", Reason.OUT_OF_MEMORY),
        ("Operation was cancelled", Reason.CANCELLED),
        ("Lamp not warmed up", Reason.WARMING_UP),
        ("Unknown SANE status code 12", Reason.WARMING_UP),
        ("Unknown SANE status code 13", Reason.BUSY),
        ("Something new", Reason.IO_ERROR),
    ],
)
def test_texts_of_sane_are_translated(text: str, reason: Reason) -> None:
    assert reason_of(text) is reason
