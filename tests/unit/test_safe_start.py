"""Devices that are left out come back by themselves, but never under a resident."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.camera.fake import FakeCameraConfig
from drivers.microphone.fake import FakeMicrophoneConfig
from drivers.panel.fake import FakePanelConfig
from drivers.printer.fake import FakePrinterConfig
from drivers.scanner.fake import FakeScannerConfig
from drivers.speaker.fake import FakeSpeakerConfig
from kioskd.app import safe_start
from kioskd.app.devices import Devices
from kioskd.app.safe_start import SafeStart
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind
from kioskd.runtime.starts import FAILED_STARTS, FILE, LEFT_OUT_S, Starts
from kioskd.runtime.watchdog import Watchdog


@dataclass
class Rig:
    devices: Devices
    safe: SafeStart
    note: Path
    now: float = 1_800_000_000.0
    idle: bool = True
    looks: int = 0

    def reason(self, kind: DeviceKind) -> Reason | None:
        return self.devices.of(kind).health.reason

    def is_idle(self) -> bool:
        self.looks += 1
        return self.idle

    async def until(self, kind: DeviceKind, reason: Reason | None) -> None:
        async with asyncio.timeout(10):
            while self.reason(kind) is not reason:  # noqa: ASYNC110 (polls health)
                await asyncio.sleep(0.01)


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """A daemon's devices after a start that died while the scanner was tried."""
    monkeypatch.setattr(safe_start, "SETTLED_S", 0.0)
    monkeypatch.setattr(safe_start, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(safe_start, "SETTLE_S", 0.0)
    devices = Devices(
        camera=FakeCameraConfig().build(),
        microphone=FakeMicrophoneConfig().build(),
        speaker=FakeSpeakerConfig().build(),
        scanner=FakeScannerConfig().build(),
        printer=FakePrinterConfig().build(),
        panel=FakePanelConfig().build(),
    )
    dead = Starts(tmp_path, now=lambda: one.now)
    one = Rig(devices, SafeStart(Starts(tmp_path, now=lambda: one.now), devices), tmp_path / FILE)
    dead.begin()
    dead.trying(DeviceKind.SCANNER)
    await one.safe.prepare()
    tasks = [
        asyncio.create_task(devices.run(Watchdog())),
        asyncio.create_task(one.safe.run(one.is_idle)),
    ]
    await devices.looked()
    yield one
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_device_comes_back_after_a_day_when_nobody_is_there(rig: Rig) -> None:
    assert rig.reason(DeviceKind.SCANNER) is Reason.LEFT_OUT
    assert rig.reason(DeviceKind.PRINTER) is None
    rig.idle = False
    rig.now += LEFT_OUT_S
    async with asyncio.timeout(10):
        while rig.looks < 10:  # noqa: ASYNC110 (nobody tells of a look)
            await asyncio.sleep(0.01)
    assert rig.reason(DeviceKind.SCANNER) is Reason.LEFT_OUT
    rig.idle = True
    await rig.until(DeviceKind.SCANNER, None)
    async with asyncio.timeout(10):
        while '"left_out":{}' not in rig.note.read_text():  # noqa: ASYNC110 (polls a file)
            await asyncio.sleep(0.01)


async def test_a_device_that_is_not_left_out_cannot_be_readmitted(rig: Rig) -> None:
    answer = await rig.safe.readmit(DeviceKind.PRINTER)
    assert not answer.passed
    assert "is not left out" in answer.message
    assert (await rig.safe.readmit(DeviceKind.SCANNER)).passed


async def test_a_safe_start_tries_each_device_by_itself(tmp_path: Path) -> None:
    devices = Devices(
        camera=FakeCameraConfig().build(),
        microphone=FakeMicrophoneConfig().build(),
        speaker=FakeSpeakerConfig().build(),
        scanner=FakeScannerConfig().build(),
        printer=FakePrinterConfig().build(),
        panel=FakePanelConfig().build(),
    )
    for _ in range(FAILED_STARTS):
        Starts(tmp_path).begin()
    notes: list[str] = []
    file = tmp_path / FILE
    for one in devices.all:
        check = one.device.check

        async def noted(check: object = check) -> object:
            notes.append(file.read_text())
            return await check()  # type: ignore[operator]

        one.device.check = noted
    await SafeStart(Starts(tmp_path), devices).prepare()
    assert len(notes) == len(devices.all)
    for one, note in zip(devices.all, notes, strict=True):
        assert f'"trying":"{one.kind}"' in note
    assert not devices.camera.device.is_open  # type: ignore[attr-defined]
