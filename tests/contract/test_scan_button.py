"""The scanner's own button: as drivers read it, and what it does at a whole kiosk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.scanner.fake import FakeScanner, FakeScannerConfig
from drivers.scanner.sane_scanner import SaneScannerConfig
from kioskd.app.auditing import Auditing
from kioskd.app.broker import broker_address
from kioskd.app.demo import CONFIG
from kioskd.app.kiosk import Kiosk
from kioskd.app.run import build_devices
from kioskd.documents.spool import Spool
from kioskd.errors import DeviceBusy, DeviceError
from kioskd.hal.device import DeviceState
from kioskd.hal.scanner import ScanSettings
from kioskd.runtime.watchdog import Watchdog
from kioskd.screen.messages import ScanView, View
from kioskd.screen.server import ScreenServer
from kioskd.settings import read_toml, validate
from kioskd.visit import events as ev
from kioskd.visit.state import Visit
from kioskd.visit.words import ScanStage, Scene
from tests.contract.scanner_rig import (
    QUICK,
    WITHIN_S,
    RealRig,
    scan,
)


async def test_the_button_is_read_as_it_is(real: RealRig, folder: Path) -> None:
    """No option of SANE's test backend moves by itself: one that a scan sets stands for it."""
    config = SaneScannerConfig(
        config_dir=real.config_dir, options={"read_limit": True}, button="read-limit"
    )
    scanner = config.build()
    assert scanner.has_button
    with pytest.raises(DeviceError):
        await scanner.button()
    async with scanner:
        assert await scanner.button() is False
        assert await scanner.button() is False
        assert len(await scan(scanner, QUICK, folder)) == 1
        assert await scanner.button() is True
        worker = scanner.worker_pid
        assert (await scanner.check()).state is DeviceState.READY
        assert await scanner.button() is True  # the check has not opened it anew
        assert scanner.worker_pid == worker


@pytest.mark.parametrize(
    ("button", "down"),
    [("", None), ("lid", None), ("bool-soft-detect", None), ("source", None), ("ppl-loss", False)],
)
async def test_what_is_no_button_is_none(real: RealRig, button: str, down: bool | None) -> None:
    async with SaneScannerConfig(config_dir=real.config_dir, button=button).build() as scanner:
        assert await scanner.button() is down
        assert scanner.has_button is bool(button)


async def test_the_fake_s_button() -> None:
    async with FakeScannerConfig().build() as scanner:
        assert await scanner.button() is None
    async with FakeScannerConfig(button=True).build() as scanner:
        assert await scanner.button() is False
        scanner.pressed = True
        assert await scanner.button() is True


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
    kiosk = Kiosk(settings, devices, address, screen, spool, Watchdog(), Auditing(settings))
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
