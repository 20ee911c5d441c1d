"""Levels, the silent microphone, and what volume and handset do to the devices."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from drivers.microphone.fake import FakeMicrophone, FakeMicrophoneConfig
from drivers.panel.fake import FakePanel
from drivers.speaker.fake import FakeSpeaker, FakeSpeakerConfig
from kioskd.app.levels import Meter, SilenceWatch, level
from kioskd.app.run import Daemon, build_devices
from kioskd.app.sensors import Sensors
from kioskd.app.sound import VOLUME, Sound
from kioskd.errors import Reason
from kioskd.hal.device import DeviceState
from kioskd.hal.microphone import CHUNK_SAMPLES, Route
from kioskd.hal.panel import PanelEvent
from kioskd.runtime.watchdog import Pulse
from kioskd.settings import validate
from kioskd.visit import events as ev
from kioskd.visit.state import Agent
from kioskd.visit.words import Scene


def wave(amplitude: float) -> bytes:
    at = np.arange(CHUNK_SAMPLES)
    return bytes((amplitude * np.sin(at / 10)).astype("<i2"))


def test_level_rises_with_loudness_and_stays_in_a_byte() -> None:
    levels = [level(wave(amplitude)) for amplitude in (0, 20, 200, 2000, 20000, 32767)]
    assert levels == sorted(levels)
    assert levels[0] == 0
    assert levels[3] == pytest.approx((1 - 27.3 / 60) * 255, abs=2)  # -27.3 dBFS
    assert level(bytes([0x00, 0x80]) * CHUNK_SAMPLES) == 255


def test_meter_shows_the_loudest_at_most_ten_times_a_second() -> None:
    shown: list[tuple[int, int]] = []
    meter = Meter(lambda own, agent: shown.append((own, agent)))
    meter.own(wave(2000))
    for _ in range(1000):
        meter.own(None)
        meter.agent(wave(8000))
    assert shown[0] == (level(wave(2000)), 0)
    assert len(shown) <= 11  # a thousand chunks in far less than a second


@pytest.mark.parametrize("quiet", [bytes(1920), wave(2.9), bytes([0xFE, 0xFF]) * 960])
def test_silence_is_told_after_five_seconds_and_healed_at_once(quiet: bytes) -> None:
    told: list[Reason | None] = []
    watch = SilenceWatch(lambda reason, _: told.append(reason))
    for number in range(251):
        watch.hear(quiet, number * 0.02)
    assert told == []
    watch.hear(quiet, 5.1)
    watch.hear(quiet, 9.0)
    assert told == [Reason.SILENT]
    watch.hear(wave(10), 9.1)
    watch.hear(quiet, 9.2)
    assert told == [Reason.SILENT, None]


def test_a_muted_or_a_quiet_resident_is_no_silence() -> None:
    told: list[Reason | None] = []
    watch = SilenceWatch(lambda reason, _: told.append(reason))
    for number in range(1000):
        watch.hear(None if number % 200 > 100 else bytes(1920), number * 0.02)
        watch.hear(wave(4), 100 + number * 0.02)
    assert told == []


DEVICES = ("camera", "microphone", "speaker", "scanner", "printer", "panel")
SETTINGS = validate(
    {
        "kiosk": {"id": "k", "name": "K"},
        "broker": {"host": "h"},
        "identity": {"unsigned": True},
        "services": [
            {
                "id": "caf",
                "name": "CAF",
                "description": {"fr": "x"},
                "colour": "#000000",
                "icon": "family",
                "languages": ["fr"],
                "hours": {},
            }
        ],
        **{kind: {"driver": "fake"} for kind in DEVICES},
        "microphone": FakeMicrophoneConfig(tone_hz=0).model_dump(),
        "speaker": FakeSpeakerConfig().model_dump(),
    }
)


async def test_a_silent_microphone_is_published_in_the_call_and_mended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kioskd.app.levels.SILENT_S", 0.1)
    devices = build_devices(SETTINGS)
    heard: list[bytes | None] = []
    sensors = Sensors(devices, lambda _: None, heard.append)
    looking = asyncio.create_task(devices.microphone.run())
    calling = asyncio.create_task(sensors.run())

    async def becomes(state: DeviceState) -> None:
        while devices.microphone.health.state is not state:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async with asyncio.timeout(20):
        await becomes(DeviceState.DEGRADED)
        assert devices.microphone.health.reason is Reason.SILENT
        sensors.muted = True
        await becomes(DeviceState.BUSY)
        assert heard[-1] is None
        sensors.muted = False
        await becomes(DeviceState.DEGRADED)
    for task in (calling, looking):
        task.cancel()
        await asyncio.wait([task])
    assert devices.microphone.health.state is not DeviceState.DEGRADED
    assert not devices.microphone.device.is_open  # type: ignore[attr-defined]


async def test_volume_and_handset_reach_the_devices() -> None:
    devices = build_devices(SETTINGS)
    speaker, microphone = devices.speaker.device, devices.microphone.device
    assert isinstance(speaker, FakeSpeaker)
    assert isinstance(microphone, FakeMicrophone)
    shown: list[float] = []
    sound = Sound(devices, on_volume=lambda: shown.append(sound.volume), on_levels=lambda *_: None)

    async def until(true: Callable[[], bool]) -> None:
        while not true():  # noqa: ASYNC110  (it is looked at)
            await asyncio.sleep(0)

    async with asyncio.timeout(5):
        sound.louder(1)
        await until(lambda: speaker.volume == 0.8)
        sound.set_volume(0.95)
        sound.louder(1)
        await until(lambda: speaker.volume == 1.0)
        sound.louder(-1)
        sound.reset()
        await until(lambda: speaker.volume == VOLUME)
        assert shown == [0.8, 0.95, 1.0, 0.9, VOLUME]
        assert not sound.replace()  # a handset that was not lifted hangs nothing up
        sound.lift()
        await until(lambda: speaker.routed is microphone.routed is Route.HANDSET)
        assert sound.replace()
        await until(lambda: speaker.routed is microphone.routed is Route.HANDS_FREE)


async def test_hook_and_buttons_of_the_panel_reach_sound_and_visit() -> None:
    kiosk = Daemon(SETTINGS, on_ready=lambda _: None).kiosk
    speaker = kiosk.devices.speaker.device
    assert isinstance(speaker, FakeSpeaker)
    panel = kiosk.devices.panel.device
    assert isinstance(panel, FakePanel)
    await panel.open()
    listening = asyncio.create_task(kiosk._front.run(Pulse("panel", math.inf), 1.0))

    async def press(event: PanelEvent) -> None:
        panel.push(event)
        for _ in range(20):
            await asyncio.sleep(0.005)

    async with asyncio.timeout(10):
        await press(PanelEvent.VOLUME_DOWN)
        assert speaker.volume == pytest.approx(VOLUME - 0.1)
        kiosk.visit = replace(
            kiosk.visit,
            scene=Scene.TALKING,
            service="caf",
            call="call-1",
            agent=Agent("lea", "Léa"),
        )
        await press(PanelEvent.HANDSET_REPLACED)  # never lifted: nothing to hang up
        assert (kiosk.visit.scene, speaker.routed) == (Scene.TALKING, Route.HANDS_FREE)
        await press(PanelEvent.HANDSET_LIFTED)
        assert (kiosk.visit.scene, speaker.routed) == (Scene.TALKING, Route.HANDSET)
        await press(PanelEvent.HANDSET_REPLACED)
        assert (kiosk.visit.scene, speaker.routed) == (Scene.ENDED, Route.HANDS_FREE)
        kiosk.post(ev.Wiped())
        kiosk.post(ev.Back())
        await press(PanelEvent.VOLUME_UP)
        assert kiosk.visit.scene is Scene.CHOOSING
        assert speaker.volume == pytest.approx(VOLUME + 0.1)  # the next one's, from the default
    listening.cancel()
    await asyncio.wait([listening])
