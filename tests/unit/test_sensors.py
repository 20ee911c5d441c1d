"""The camera during a call: a bad picture is told, and opened again where that helps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

from drivers.camera.fake import FakeCamera
from drivers.microphone.none import NoMicrophoneConfig
from drivers.panel.none import NoPanelConfig
from drivers.printer.none import NoPrinterConfig
from drivers.scanner.none import NoScannerConfig
from drivers.speaker.none import NoSpeakerConfig
from kioskd.app.devices import Devices
from kioskd.app.sensors import Sensors
from kioskd.errors import Reason
from kioskd.hal.camera import Coded, Frame, VideoFormat
from kioskd.hal.device import DeviceState


class Broken(FakeCamera):
    """Delivers the same picture for ever (`still`) or a black one, and counts its openings."""

    def __init__(self) -> None:
        super().__init__(VideoFormat(320, 240, 30))
        self.still = self.black = False
        self.openings = 0

    async def open(self) -> None:
        if not self.is_open:
            self.openings += 1
        await super().open()

    async def frame(self) -> Frame:
        frame = await super().frame()
        picture = np.frombuffer(frame.i420, np.uint8).copy()
        if self.still or self.black:
            picture[:] = 17 if self.black else np.arange(picture.size) // 997 % 200
        if self.black:
            picture[frame.number % 1000] = 16
        return Frame(frame.width, frame.height, picture.tobytes(), frame.number, frame.captured_at)


@pytest.fixture
async def stand() -> AsyncIterator[tuple[Broken, Devices, Sensors]]:
    camera = Broken()
    devices = devices_with(camera)
    sensors = Sensors(devices, lambda _: None, lambda _: None)
    running = asyncio.create_task(sensors.run())
    yield camera, devices, sensors
    running.cancel()
    await asyncio.wait([running])
    assert not camera.is_open


async def until(devices: Devices, reason: Reason | None) -> None:
    changed = asyncio.Event()
    devices.on_change = changed.set
    while devices.camera.health.reason is not reason or not devices.camera.health.state.usable:
        await changed.wait()
        changed.clear()


async def test_a_frozen_camera_is_opened_again_and_healed(
    stand: tuple[Broken, Devices, Sensors],
) -> None:
    camera, devices, sensors = stand
    async with asyncio.timeout(30):
        await sensors.frame()
        camera.still = True
        while camera.openings < 2:
            await sensors.frame()
        camera.still = False
        await until(devices, None)
        await sensors.frame()
    assert devices.camera.health.state is DeviceState.BUSY


async def test_a_black_picture_is_opened_again_once_and_stays_told(
    stand: tuple[Broken, Devices, Sensors],
) -> None:
    camera, devices, sensors = stand
    async with asyncio.timeout(30):
        await sensors.frame()
        camera.black = True
        while camera.openings < 2:
            await sensors.frame()
        await until(devices, Reason.BLACK)
        assert devices.camera.health.state is DeviceState.DEGRADED
        for _ in range(60):
            await sensors.frame()
    assert camera.openings == 2


async def test_nothing_is_judged_while_the_picture_is_switched_off(
    stand: tuple[Broken, Devices, Sensors],
) -> None:
    camera, devices, sensors = stand
    async with asyncio.timeout(30):
        await sensors.frame()
        sensors.watched = False
        camera.still = True
        for _ in range(150):
            await sensors.frame()
    assert devices.camera.health.reason is None
    assert camera.openings == 1


class Coding(FakeCamera):
    """Codes its pictures itself."""

    def __init__(self) -> None:
        super().__init__(VideoFormat(320, 240, 30), 200_000)


def devices_with(camera: FakeCamera) -> Devices:
    return Devices(
        camera=camera,
        microphone=NoMicrophoneConfig().build(),
        speaker=NoSpeakerConfig().build(),
        scanner=NoScannerConfig().build(),
        printer=NoPrinterConfig().build(),
        panel=NoPanelConfig().build(),
    )


async def test_what_the_camera_has_coded_comes_whole_however_late() -> None:
    sensors = Sensors(devices_with(Coding()), lambda _: None, lambda _: None)
    running = asyncio.create_task(sensors.run())
    coded: list[Coded] = []
    async with asyncio.timeout(20):
        for _ in range(4):
            coded += (await sensors.frame()).coded
            await asyncio.sleep(0.15)  # the track, while a large picture leaves
    numbers = [one.number for one in coded]
    assert len(numbers) > 4
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    running.cancel()
    await asyncio.wait([running])


async def test_the_next_visit_gets_no_picture_of_the_one_before() -> None:
    sensors = Sensors(devices_with(Coding()), lambda _: None, lambda _: None)
    ended_at = 0.0
    for _ in range(2):
        running = asyncio.create_task(sensors.run())
        async with asyncio.timeout(20):
            frame = await sensors.frame()
            assert frame.captured_at > ended_at
            assert all(one.captured_at > ended_at for one in frame.coded)
            await asyncio.sleep(0.1)  # some that nobody takes
        running.cancel()
        await asyncio.wait([running])
        ended_at = time.monotonic()
