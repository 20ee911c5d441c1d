"""Trouble with a scan in the middle of a visit: real scanner, real spool, real state machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.camera.none import NoCamera
from drivers.microphone.none import NoMicrophone
from drivers.panel.none import NoPanel
from drivers.printer.none import NoPrinter
from drivers.scanner.sane_scanner import SaneScannerConfig
from drivers.speaker.none import NoSpeaker
from kioskd.app.devices import Devices
from kioskd.app.scanning import Scanning
from kioskd.documents.spool import Spool
from kioskd.errors import Reason
from kioskd.hal.scanner import ScanSettings
from kioskd.simulation.escl import NetworkScanner
from kioskd.visit import effects as do
from kioskd.visit import events as ev
from kioskd.visit.events import Event
from kioskd.visit.machine import step
from kioskd.visit.state import Scan, Visit
from kioskd.visit.words import ScanStage, Scene

WITHIN_S = 30.0


class Talk:
    """A visit in which a paper is asked for, and the hands that do what it wants."""

    def __init__(self, config_dir: Path, spool: Spool) -> None:
        self.visit = Visit(scene=Scene.TALKING)
        self.sent: tuple[int, ...] = ()
        self.on_page: Callable[[int], None] = lambda _: None
        devices = Devices(
            camera=NoCamera(),
            microphone=NoMicrophone(),
            speaker=NoSpeaker(),
            scanner=SaneScannerConfig(config_dir=config_dir).build(),
            printer=NoPrinter(),
            panel=NoPanel(),
        )
        self.scanning = Scanning(devices, spool, self.post)
        self._wanted: list[do.StartScan] = []
        self.post(ev.ScanAsked("r1", ScanSettings(dpi=75), by_agent=True))

    @property
    def scan(self) -> Scan:
        assert self.visit.scan is not None
        return self.visit.scan

    def post(self, event: Event) -> None:
        self.visit, effects = step(self.visit, event, 0.0)
        for effect in effects:
            if isinstance(effect, do.StartScan):
                self._wanted.append(effect)
            elif isinstance(effect, do.SendScan):
                self.sent = effect.pages
        if isinstance(event, ev.PageScanned):
            self.on_page(event.page)

    async def press_scan(self) -> None:
        self.post(ev.ScanStart())
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
        talk = Talk(tmp_path, spool)
        await talk.press_scan()
        assert (talk.scan.stage, talk.scan.reason) == (ScanStage.PREVIEW, Reason.PAPER_JAM)
        assert talk.scan.pages == (1, 2)
        network.jam_after = None
        await talk.press_scan()
        assert (talk.scan.stage, talk.scan.reason) == (ScanStage.PREVIEW, None)
        talk.post(ev.ScanSend())
        assert talk.sent == (1, 2, 3, 4)
        assert (await talk.scanning.assemble(talk.sent)).startswith(b"%PDF")


async def test_an_open_cover_then_the_paper(tmp_path: Path, spool: Spool) -> None:
    async with NetworkScanner(tmp_path) as network:
        network.feeder_pages, network.cover_open = 1, True
        talk = Talk(tmp_path, spool)
        await talk.press_scan()
        assert (talk.scan.stage, talk.scan.reason) == (ScanStage.FAILED, Reason.COVER_OPEN)
        network.cover_open = False
        await talk.press_scan()
        assert (talk.scan.stage, talk.scan.pages) == (ScanStage.PREVIEW, (1,))


async def test_a_full_spool_keeps_the_pages_so_far(tmp_path: Path, spool: Spool) -> None:
    async with NetworkScanner(tmp_path) as network:
        network.feeder_pages = 4
        talk = Talk(tmp_path, spool)

        def fill(page: int) -> None:
            if page == 2:
                spool.limit = spool.used()

        talk.on_page = fill
        await talk.press_scan()
        assert (talk.scan.stage, talk.scan.reason) == (ScanStage.PREVIEW, Reason.DISK_FULL)
        assert talk.scan.pages == (1, 2)
        assert all(talk.scanning.page(number) for number in talk.scan.pages)
