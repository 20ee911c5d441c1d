"""Trouble with a scan in the middle of a visit: real scanner, real spool, real state machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from drivers.camera.none import NoCamera
from drivers.microphone.none import NoMicrophone
from drivers.panel.none import NoPanel
from drivers.printer.none import NoPrinter
from drivers.scanner.fake import FakeScanner, FakeScannerConfig
from drivers.scanner.sane_scanner import SaneScannerConfig
from drivers.speaker.none import NoSpeaker
from kioskd.app import scanning
from kioskd.app.devices import Devices
from kioskd.app.scanning import Scanning
from kioskd.documents.spool import Spool
from kioskd.errors import Reason
from kioskd.hal.device import DeviceState
from kioskd.hal.scanner import Scanner, ScanSettings
from kioskd.simulation.escl import NetworkScanner
from kioskd.simulation.sane import write_sane_config
from kioskd.visit import effects as do
from kioskd.visit import events as ev
from kioskd.visit.events import Event
from kioskd.visit.machine import step
from kioskd.visit.state import Scan, Visit
from kioskd.visit.words import ScanStage, Scene

WITHIN_S = 30.0


class Talk:
    """A visit in which a paper is asked for, and the hands that do what it wants."""

    def __init__(self, scanner: Scanner, spool: Spool) -> None:
        self.visit = Visit(scene=Scene.TALKING)
        self.sent: tuple[int, ...] = ()
        self.on_page: Callable[[int], None] = lambda _: None
        devices = Devices(
            camera=NoCamera(),
            microphone=NoMicrophone(),
            speaker=NoSpeaker(),
            scanner=scanner,
            printer=NoPrinter(),
            panel=NoPanel(),
        )
        self.supervised = devices.scanner
        self.scanning = Scanning(devices, spool, self.post, self._changed)
        self._change = asyncio.Event()
        self._wanted: list[do.StartScan] = []
        self.post(ev.ScanAsked("r1", ScanSettings(dpi=75), by_agent=True))

    @property
    def scan(self) -> Scan:
        assert self.visit.scan is not None
        return self.visit.scan

    def _changed(self) -> None:
        self._change.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not condition():
                self._change.clear()
                await self._change.wait()

    def post(self, event: Event) -> None:
        self.visit, effects = step(self.visit, event, 0.0)
        for effect in effects:
            if isinstance(effect, do.StartScan):
                self._wanted.append(effect)
            elif isinstance(effect, do.SendScan):
                self.sent = effect.pages
        self.scanning.follow(self.visit.scan.stage if self.visit.scan else None)
        self._changed()
        if isinstance(event, ev.PageScanned):
            self.on_page(event.page)

    async def press_scan(self) -> None:
        self.post(ev.ScanStart())
        await self.scan_as_wanted()

    async def scan_as_wanted(self) -> None:
        [start] = self._wanted
        self._wanted.clear()
        async with asyncio.timeout(WITHIN_S):
            await self.scanning.scan(start.settings, start.first_page)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    return spool


async def test_a_jam_at_page_three_and_the_rest_is_sent_too(tmp_path: Path, spool: Spool) -> None:
    async with NetworkScanner(tmp_path) as network:
        network.feeder_pages, network.jam_after = 4, 2
        talk = Talk(SaneScannerConfig(config_dir=tmp_path).build(), spool)
        await talk.press_scan()
        assert (talk.scan.stage, talk.scan.reason) == (ScanStage.PREVIEW, Reason.PAPER_JAM)
        assert talk.scan.pages == (1, 2)
        network.jam_after = None
        await talk.press_scan()
        assert (talk.scan.stage, talk.scan.reason) == (ScanStage.PREVIEW, None)
        talk.post(ev.ScanSend())
        assert talk.sent == (1, 2, 3, 4)
        assert (await talk.scanning.assemble(talk.sent, ())).startswith(b"%PDF")


async def test_an_open_cover_then_the_paper(tmp_path: Path, spool: Spool) -> None:
    async with NetworkScanner(tmp_path) as network:
        network.feeder_pages, network.cover_open = 1, True
        talk = Talk(SaneScannerConfig(config_dir=tmp_path).build(), spool)
        await talk.press_scan()
        assert (talk.scan.stage, talk.scan.reason) == (ScanStage.FAILED, Reason.COVER_OPEN)
        network.cover_open = False
        await talk.press_scan()
        assert (talk.scan.stage, talk.scan.pages) == (ScanStage.PREVIEW, (1,))


async def test_a_full_spool_keeps_the_pages_so_far(tmp_path: Path, spool: Spool) -> None:
    async with NetworkScanner(tmp_path) as network:
        network.feeder_pages = 4
        talk = Talk(SaneScannerConfig(config_dir=tmp_path).build(), spool)

        def fill(page: int) -> None:
            if page == 2:
                spool.limit = spool.used()

        talk.on_page = fill
        await talk.press_scan()
        assert (talk.scan.stage, talk.scan.reason) == (ScanStage.PREVIEW, Reason.DISK_FULL)
        assert talk.scan.pages == (1, 2)
        assert all(talk.scanning.page(number) for number in talk.scan.pages)


@pytest.fixture
async def pressing(spool: Spool) -> AsyncIterator[tuple[Talk, FakeScanner]]:
    """A talk at a scanner with a button, which is heard."""
    scanner = FakeScannerConfig(feeder_pages=1, button=True).build()
    talk = Talk(scanner, spool)
    await talk.supervised.look()
    await talk.until(lambda: talk.scanning.button_heard)
    yield talk, scanner
    talk.scanning.follow(None)
    await talk.until(lambda: not talk.scanning.button_heard)


async def press_and_let_go(talk: Talk, scanner: FakeScanner) -> None:
    scanner.pressed = True
    await talk.until(lambda: talk.scan.stage is ScanStage.SCANNING)
    scanner.pressed = False
    await talk.scan_as_wanted()


async def test_the_scanner_s_button_scans_and_never_sends(
    pressing: tuple[Talk, FakeScanner],
) -> None:
    talk, scanner = pressing
    await press_and_let_go(talk, scanner)
    assert (talk.scan.stage, talk.scan.pages) == (ScanStage.PREVIEW, (1,))
    await talk.until(lambda: talk.scanning.button_heard)
    await press_and_let_go(talk, scanner)
    assert (talk.scan.stage, talk.scan.pages) == (ScanStage.PREVIEW, (1, 2))
    assert talk.sent == ()


async def test_a_button_held_down_scans_once(pressing: tuple[Talk, FakeScanner]) -> None:
    talk, scanner = pressing
    scanner.pressed = True
    await talk.until(lambda: talk.scan.stage is ScanStage.SCANNING)
    await talk.scan_as_wanted()
    reads = scanner.button_reads
    async with asyncio.timeout(WITHIN_S):
        while scanner.button_reads < reads + 3:
            assert (talk.scan.stage, talk.scan.pages) == (ScanStage.PREVIEW, (1,))
            await asyncio.sleep(0.05)


async def test_the_button_is_read_only_where_a_press_would_scan(
    pressing: tuple[Talk, FakeScanner], monkeypatch: pytest.MonkeyPatch
) -> None:
    talk, scanner = pressing
    # A listener that should have ended would read at each turn of the loop.
    monkeypatch.setattr(scanning, "BUTTON_EVERY_S", 0)
    await talk.press_scan()
    await talk.until(lambda: talk.scanning.button_heard)
    talk.post(ev.ScanSend())
    await talk.until(lambda: not talk.scanning.button_heard)
    reads = scanner.button_reads
    scanner.pressed = True
    for event in (ev.ScanDelivered(), ev.ScanClose()):
        for _ in range(100):
            await asyncio.sleep(0)
        assert scanner.button_reads == reads
        talk.post(event)
    assert talk.visit.scan is None
    talk.post(ev.ScanAsked("r2", ScanSettings(dpi=75), by_agent=True))
    await talk.until(lambda: talk.scanning.button_heard)
    assert scanner.button_reads == reads + 1


async def test_a_press_on_the_screen_does_not_wait_for_the_button(
    pressing: tuple[Talk, FakeScanner],
) -> None:
    talk, _ = pressing
    await talk.press_scan()
    assert (talk.scan.stage, talk.scan.reason) == (ScanStage.PREVIEW, None)


async def test_a_lost_button_does_not_lose_the_scanner(
    pressing: tuple[Talk, FakeScanner],
) -> None:
    talk, scanner = pressing
    scanner.fail_with(Reason.NO_ANSWER)
    await talk.until(lambda: not talk.scanning.button_heard)
    scanner.fail_with(None)
    await talk.press_scan()
    assert talk.scan.stage is ScanStage.PREVIEW


async def test_without_a_button_nothing_is_opened_before_the_press(spool: Spool) -> None:
    scanner = FakeScannerConfig().build()
    talk = Talk(scanner, spool)
    await talk.supervised.look()
    talk.post(ev.ScanMoved(0.0))
    await asyncio.sleep(0)
    assert not talk.scanning.button_heard
    assert talk.supervised.health.state is DeviceState.READY
    assert scanner.button_reads == 0


async def test_the_button_of_a_sane_device_on_the_way_to_a_scan(
    tmp_path: Path, spool: Spool
) -> None:
    """The test backend's option is set from the start, and so is no press; it gives way."""
    write_sane_config(tmp_path, "read_limit true")
    scanner = SaneScannerConfig(config_dir=tmp_path, button="read-limit").build()
    talk = Talk(scanner, spool)
    await talk.supervised.look()
    await talk.until(lambda: talk.scanning.button_heard)
    assert talk.scan.stage is ScanStage.ASKING
    await talk.press_scan()
    assert (talk.scan.stage, len(talk.scan.pages)) == (ScanStage.PREVIEW, 10)  # its feeder's
    talk.scanning.follow(None)
    await talk.until(lambda: not talk.scanning.button_heard)
    await scanner.close()


async def test_a_press_while_the_button_s_device_is_being_opened(
    tmp_path: Path, spool: Spool
) -> None:
    write_sane_config(tmp_path)
    scanner = SaneScannerConfig(config_dir=tmp_path, button="read-limit").build()
    talk = Talk(scanner, spool)
    await asyncio.sleep(0)  # the listener begins
    await talk.press_scan()
    assert (talk.scan.stage, len(talk.scan.pages)) == (ScanStage.PREVIEW, 10)
    await talk.until(lambda: talk.scanning.button_heard)
    talk.scanning.follow(None)
    await talk.until(lambda: not talk.scanning.button_heard)
    await scanner.close()
