"""The scanner's own button at a whole kiosk: what it starts, and what the screen says of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.scanner.fake import FakeScanner
from kioskd.app.demo import CONFIG
from kioskd.app.kiosk import Kiosk
from kioskd.app.run import broker_address, build_devices
from kioskd.documents.spool import Spool
from kioskd.errors import DeviceBusy
from kioskd.hal.device import DeviceState
from kioskd.hal.scanner import ScanSettings
from kioskd.runtime.watchdog import Watchdog
from kioskd.screen.messages import ScanView, View
from kioskd.screen.server import ScreenServer
from kioskd.settings import read_toml, validate
from kioskd.visit import events as ev
from kioskd.visit.state import Visit
from kioskd.visit.words import ScanStage, Scene

WITHIN_S = 20.0


class Screen(ScreenServer):
    """Keeps what it shows; the server itself is not started."""

    seen: ScanView | None = None

    def show(self, view: View) -> None:
        self.seen = view.scan


@dataclass
class Hall:
    """A kiosk in a talk, without a broker, and its scanner."""

    kiosk: Kiosk
    scanner: FakeScanner
    screen: Screen

    async def until(self, condition: Callable[[ScanView], bool]) -> ScanView:
        """Wait until the screen shows a scan of which `condition` is true."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                if self.screen.seen is not None and condition(self.screen.seen):
                    return self.screen.seen
                await asyncio.sleep(0.01)


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Hall]:
    raw = read_toml(CONFIG / "demo.toml")
    raw["services"] = read_toml(CONFIG / raw.pop("services_file"))["services"]
    raw["broker"] = {"host": "127.0.0.1", "tls": False}
    raw["documents"] = {"spool": str(tmp_path / "spool")}
    raw["scanner"] = {"driver": "fake", "button": True}
    settings = validate(raw)
    spool = Spool(settings.documents.spool)
    spool.prepare()
    screen = Screen(web_root=tmp_path, on_action=lambda _: None, page_picture=lambda _, __: None)
    devices = build_devices(settings)
    address = broker_address(settings.kiosk.id, settings.broker)
    kiosk = Kiosk(settings, devices, address, screen, spool, Watchdog())
    kiosk.visit = Visit(scene=Scene.TALKING, talking_since=0.0)
    assert isinstance(devices.scanner.device, FakeScanner)
    yield Hall(kiosk, devices.scanner.device, screen)
    await kiosk.stop()


def ask(hall: Hall) -> None:
    hall.kiosk.post(ev.ScanAsked("r1", ScanSettings(dpi=75), by_agent=True))


async def test_a_press_scans_and_the_screen_tells_of_the_button(hall: Hall) -> None:
    ask(hall)
    await hall.until(lambda scan: scan.button)
    hall.scanner.pressed = True
    scan = await hall.until(lambda scan: scan.stage is ScanStage.PREVIEW and scan.button)
    assert len(scan.pages) == 1
    hall.kiosk.post(ev.ScanStart())
    assert hall.screen.seen is not None
    assert not hall.screen.seen.button
    scan = await hall.until(lambda scan: scan.stage is ScanStage.PREVIEW)
    assert len(scan.pages) == 2


async def test_the_end_of_the_visit_lets_go_of_the_scanner(hall: Hall) -> None:
    ask(hall)
    await hall.until(lambda scan: scan.button)
    scanner = hall.kiosk.devices.scanner
    with pytest.raises(DeviceBusy):
        async with scanner.lease():
            pass
    hall.kiosk.post(ev.End())
    assert hall.screen.seen is None
    async with asyncio.timeout(WITHIN_S):
        while scanner.health.state is not DeviceState.READY:
            assert hall.kiosk.visit.scan is None
            await asyncio.sleep(0.01)
        async with scanner.lease():
            pass
