"""A scanner that comes, goes, hangs and is plugged in elsewhere: what its state says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from drivers.scanner.presence import escl_url, still_there, usb_node
from drivers.scanner.sane_scanner import SaneScanner, SaneScannerConfig
from drivers.scanner.sane_worker import PAGES, matching
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.scanner import ScannedPage, ScanSettings, ScanSource
from kioskd.runtime.supervisor import Supervised
from kioskd.simulation.escl import NetworkScanner
from kioskd.simulation.sane import write_sane_config

TRUE_WITHIN_S = 15.0  # the promise is 5 s; a test machine may be slow
FLATBED = ScanSettings(ScanSource.FLATBED, dpi=75)
AUTO = ScanSettings(ScanSource.AUTO, dpi=75)
FEEDER = ScanSettings(ScanSource.FEEDER, dpi=75)


@pytest.fixture
def config_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "sane"
    folder.mkdir()
    return write_sane_config(folder)


@pytest.fixture
def pages_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "pages"
    folder.mkdir()
    return folder


@pytest.fixture
async def network(config_dir: Path) -> AsyncIterator[NetworkScanner]:
    async with NetworkScanner(config_dir) as network:
        yield network


class Watched:
    """A supervised scanner whose states can be waited for."""

    def __init__(self, scanner: SaneScanner) -> None:
        self.changes: asyncio.Queue[DeviceHealth] = asyncio.Queue()
        self.supervised = Supervised(scanner, on_change=self.changes.put_nowait)

    async def until(self, state: DeviceState) -> DeviceHealth:
        async with asyncio.timeout(TRUE_WITHIN_S):
            while self.supervised.health.state is not state:
                await self.changes.get()
        return self.supervised.health

    async def until_not_usable(self) -> DeviceHealth:
        async with asyncio.timeout(TRUE_WITHIN_S):
            while self.supervised.health.state.usable:
                await self.changes.get()
        return self.supervised.health


@pytest.fixture
async def watched(network: NetworkScanner, config_dir: Path) -> AsyncIterator[Watched]:
    await network.switch_off()
    watched = Watched(SaneScannerConfig(config_dir=config_dir).build())
    run = asyncio.create_task(watched.supervised.run())
    yield watched
    run.cancel()
    await asyncio.wait([run])


async def test_switched_on_late_off_and_on_again(network: NetworkScanner, watched: Watched) -> None:
    await watched.supervised.looked.wait()
    assert not watched.supervised.health.state.usable
    for _ in range(2):
        await network.switch_on()
        await watched.until(DeviceState.READY)
        await network.switch_off()
        assert (await watched.until(DeviceState.ABSENT)).reason is Reason.NOT_FOUND


async def test_silence_is_told_and_passes(network: NetworkScanner, watched: Watched) -> None:
    await network.switch_on()
    await watched.until(DeviceState.READY)
    network.hang()
    assert (await watched.until(DeviceState.FAILED)).reason is Reason.NO_ANSWER
    network.go_on()
    await watched.until(DeviceState.READY)


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_what_answers_with_an_error_is_no_scanner(
    network: NetworkScanner, watched: Watched, status: int
) -> None:
    await network.switch_on()
    await watched.until(DeviceState.READY)
    network.errors = {"": status}
    await watched.until_not_usable()
    network.errors = {}
    await watched.until(DeviceState.READY)


async def test_a_scanner_that_does_not_tell_its_status_is_opened(
    network: NetworkScanner, config_dir: Path
) -> None:
    network.errors = {"ScannerStatus": 404}
    scanner = SaneScannerConfig(config_dir=config_dir).build()
    for _ in range(3):
        opened = network.opened
        assert (await scanner.check()).state is DeviceState.READY
        assert network.opened > opened
    await scanner.close()


async def test_a_scanner_with_a_flatbed_alone(config_dir: Path, pages_dir: Path) -> None:
    async with (
        NetworkScanner(config_dir, feeder=False),
        SaneScannerConfig(config_dir=config_dir).build() as scanner,
    ):
        assert len(await _scan(scanner, AUTO, pages_dir)) == 1
        with pytest.raises(DeviceError) as caught:
            await _scan(scanner, FEEDER, pages_dir)
    assert caught.value.reason is Reason.UNSUPPORTED


async def test_a_scanner_with_a_feeder_alone(config_dir: Path, pages_dir: Path) -> None:
    async with (
        NetworkScanner(config_dir, flatbed=False) as network,
        SaneScannerConfig(config_dir=config_dir).build() as scanner,
    ):
        network.feeder_pages = 2
        assert len(await _scan(scanner, AUTO, pages_dir)) == 2
        for settings, reason in ((AUTO, Reason.NO_PAPER), (FLATBED, Reason.UNSUPPORTED)):
            with pytest.raises(DeviceError) as caught:
                await _scan(scanner, settings, pages_dir)
            assert caught.value.reason is reason


async def test_a_slow_search_is_not_begun_anew(network: NetworkScanner, config_dir: Path) -> None:
    scanner = SaneScannerConfig(config_dir=config_dir).build()
    network.hang()
    with pytest.raises(DeviceError) as caught:
        await scanner.check()
    assert caught.value.reason is Reason.NO_ANSWER
    worker = scanner.worker_pid
    assert worker is not None
    network.go_on()
    assert (await scanner.check()).state is DeviceState.READY
    assert scanner.worker_pid == worker
    await scanner.close()


async def test_closing_ends_a_search(network: NetworkScanner, config_dir: Path) -> None:
    scanner = SaneScannerConfig(config_dir=config_dir).build()
    network.hang()
    with pytest.raises(DeviceError):
        await scanner.check()
    async with asyncio.timeout(TRUE_WITHIN_S):
        await scanner.close()
    assert scanner.worker_pid is None


async def test_switched_off_it_is_not_found_however_often_it_is_looked_for(
    network: NetworkScanner, config_dir: Path
) -> None:
    scanner = SaneScannerConfig(config_dir=config_dir).build()
    await scanner.check()
    await network.switch_off()
    for _ in range(3):
        with pytest.raises(DeviceAbsent) as caught:
            await scanner.check()
        assert caught.value.reason is Reason.NOT_FOUND
    await network.switch_on()
    assert (await scanner.check()).state is DeviceState.READY
    await scanner.close()


async def test_a_scanner_at_rest_is_not_opened(network: NetworkScanner, config_dir: Path) -> None:
    scanner = SaneScannerConfig(config_dir=config_dir).build()
    await scanner.check()
    opened = network.opened
    assert opened > 0
    for _ in range(5):
        assert (await scanner.check()).state is DeviceState.READY
    assert network.opened == opened
    await scanner.close()


async def test_it_is_opened_again_after_an_error(
    network: NetworkScanner, config_dir: Path, pages_dir: Path
) -> None:
    async with SaneScannerConfig(config_dir=config_dir).build() as scanner:
        with pytest.raises(DeviceError):
            await _scan(scanner, FEEDER, pages_dir)
        opened = network.opened
        await scanner.check()
        assert network.opened > opened


async def test_a_pile_is_scanned_fifty_pages_at_a_time(
    network: NetworkScanner, config_dir: Path, pages_dir: Path
) -> None:
    network.feeder_pages = PAGES + 1
    async with SaneScannerConfig(config_dir=config_dir).build() as scanner:
        assert len(await _scan(scanner, FEEDER, pages_dir)) == PAGES
        rest = pages_dir / "rest"
        rest.mkdir()
        assert len(await _scan(scanner, FEEDER, rest)) == 1  # none was lost in between


async def _scan(scanner: SaneScanner, settings: ScanSettings, folder: Path) -> list[ScannedPage]:
    async with asyncio.timeout(30), aclosing(scanner.scan(settings, folder)) as pages:
        return [page async for page in pages]


@pytest.mark.parametrize(("device", "name"), [("", "test:0"), ("test:1", "test:1")])
async def test_a_device_among_several(config_dir: Path, device: str, name: str) -> None:
    config = config_dir / "test.conf"
    config.write_text(config.read_text().replace("number_of_devices 1", "number_of_devices 3"))
    scanner = SaneScannerConfig(device=device, config_dir=config_dir).build()
    await scanner.open()
    assert scanner.opened_name == name
    await scanner.close()


async def test_a_device_by_a_part_of_vendor_and_model(config_dir: Path, pages_dir: Path) -> None:
    scanner = SaneScannerConfig(device="Noname frontend", config_dir=config_dir).build()
    async with scanner:
        assert scanner.opened_name == "test:0"
        assert len(await _scan(scanner, FLATBED, pages_dir)) == 1


DEVICES = [
    ("genesys:libusb:001:009", "Canon", "LiDE 400", "flatbed scanner"),
    ("fujitsu:libusb:002:003", "Fujitsu", "fi-7030", "scanner"),
]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("", DEVICES[0][0]),
        ("genesys:libusb:001:004", DEVICES[0][0]),
        ("fujitsu", DEVICES[1][0]),
        ("Canon LiDE", DEVICES[0][0]),
        ("epson", None),
    ],
)
def test_a_replugged_scanner_is_found(wanted: str, name: str | None) -> None:
    assert matching(wanted, DEVICES) == name


async def test_a_usb_scanner_is_where_its_node_is(tmp_path: Path) -> None:
    name = "genesys:libusb:001:004"
    node = usb_node(name, tmp_path)
    assert node == tmp_path / "001" / "004"
    node.parent.mkdir()
    node.touch()
    assert await still_there(name, None, tmp_path)
    node.unlink()
    with pytest.raises(DeviceAbsent) as caught:
        await still_there(name, None, tmp_path)
    assert caught.value.reason is Reason.UNPLUGGED


async def test_of_other_names_only_opening_tells(tmp_path: Path) -> None:
    assert not await still_there("test:0", tmp_path)
    assert not await still_there("airscan:e0:Unknown", tmp_path)


def test_addresses_of_network_scanners(tmp_path: Path) -> None:
    (tmp_path / "airscan.conf").write_text('[devices]\n"Hall" = https://hall/eSCL/, eSCL\n')
    assert escl_url("airscan:e0:Hall", tmp_path) == "https://hall/eSCL/"
    assert escl_url("airscan:escl:Any:http://h:8080/eSCL", None) == "http://h:8080/eSCL"
    assert escl_url("escl:http://h:80", None) is None
