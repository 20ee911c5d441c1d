"""The speaker's contract: the real driver on a private PipeWire, and the fake."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from drivers.microphone.pulse import server
from drivers.speaker.fake import FakeSpeakerConfig
from drivers.speaker.none import NoSpeakerConfig
from drivers.speaker.pipewire import PipewireSpeakerConfig
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.device import DeviceState
from kioskd.hal.microphone import CHUNK_BYTES, CHUNK_SAMPLES, Route
from kioskd.hal.speaker import Speaker
from kioskd.simulation.pipewire import PrivatePipewire
from tests.contract.sound import decibels, hearing, peak_hz, private_sound, until


async def play_tone(speaker: Speaker) -> None:
    """Play 440 Hz in real time until cancelled or the speaker is gone."""
    start = time.monotonic()
    number = 0
    while True:
        at = np.arange(number * CHUNK_SAMPLES, (number + 1) * CHUNK_SAMPLES)
        wave = 8000 * np.sin(2 * np.pi * 440 * at / 48000)
        await speaker.play(wave.astype("<i2").tobytes())
        number += 1
        await asyncio.sleep(max(0, start + number * 0.02 - time.monotonic()))


@pytest.fixture
async def sound(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PrivatePipewire]:
    async with private_sound(monkeypatch) as private:
        yield private


async def test_real_tone_arrives_and_unplug_is_told(sound: PrivatePipewire) -> None:
    speaker = PipewireSpeakerConfig(sink=sound.sink).build()
    async with asyncio.timeout(20), speaker:
        await speaker.check()
        async with hearing(sound.sink_monitor) as heard:
            talking = asyncio.create_task(play_tone(speaker))
            while abs(peak_hz(await heard.readexactly(19200)) - 440) > 5:
                pass
            await speaker.set_volume(0.0)
            while any(await heard.readexactly(1920)):
                pass
        await sound.remove_sink()
        with pytest.raises(DeviceError) as caught:
            await talking
        assert caught.value.reason is Reason.UNPLUGGED
        with pytest.raises(DeviceError):
            await speaker.check()


async def test_volume_is_kept_over_a_new_sink_and_mute_is_undone(sound: PrivatePipewire) -> None:
    speaker = PipewireSpeakerConfig(sink=sound.sink).build()
    await speaker.set_volume(0.4)
    for _ in range(2):
        async with server() as pulse:
            await pulse.sink_mute((await sink_of(pulse, sound.sink)).index, True)
        async with speaker, server() as pulse:
            sink = await sink_of(pulse, sound.sink)
            assert sink.volume.value_flat == pytest.approx(0.4, abs=0.02)
            assert not sink.mute
        await sound.remove_sink()
        await sound.add_sink()


async def test_lifted_handset_silences_the_loudspeaker_at_once(sound: PrivatePipewire) -> None:
    await sound.add_handset()
    config = PipewireSpeakerConfig(sink=sound.sink, handset_sink=sound.handset_sink)
    async with (
        asyncio.timeout(30),
        config.build() as speaker,
        hearing(sound.sink_monitor) as loudspeaker,
        hearing(f"{sound.handset_sink}.monitor") as handset,
    ):
        ears = {Route.HANDS_FREE: Ear(loudspeaker), Route.HANDSET: Ear(handset)}
        tasks = [asyncio.create_task(ear.listen()) for ear in ears.values()]
        tasks.append(asyncio.create_task(play_tone(speaker)))
        await until(lambda: ears[Route.HANDS_FREE].heard_at, 5)
        for route, other in [(Route.HANDSET, Route.HANDS_FREE), (Route.HANDS_FREE, Route.HANDSET)]:
            start = time.monotonic()
            await speaker.route(route)
            await until(lambda ear=ears[route], at=start: ear.heard_at > at, 5)  # type: ignore[misc]
            await until(lambda ear=ears[other]: ear.silent_s > 0.3, 5)  # type: ignore[misc]
            assert ears[other].heard_at - start < 0.25  # measured: 0.006 to 0.024 s
            async with server() as pulse:
                assert (await sink_of(pulse, sound.sink)).mute == (route is Route.HANDSET)
            assert (await speaker.check()).state is DeviceState.READY
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_handset_that_is_missing_leaves_the_loudspeaker(sound: PrivatePipewire) -> None:
    config = PipewireSpeakerConfig(sink=sound.sink, handset_sink=sound.handset_sink)
    async with asyncio.timeout(30), config.build() as speaker:
        await speaker.route(Route.HANDSET)
        health = await speaker.check()
        assert (health.state, health.reason) == (DeviceState.DEGRADED, Reason.NOT_FOUND)
        async with server() as pulse:
            assert not (await sink_of(pulse, sound.sink)).mute
        await sound.add_handset()  # plugged while it is off the hook: the sound goes there
        assert (await speaker.check()).state is DeviceState.READY
        async with server() as pulse:
            assert (await sink_of(pulse, sound.sink)).mute


class Ear:
    """When sound was last heard, on the monotonic clock, and how much silence came since."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self.heard_at = self.silent_s = 0.0
        self._stream = stream

    async def listen(self) -> None:
        while True:
            if decibels(await self._stream.readexactly(480)) > -50:
                self.heard_at, self.silent_s = time.monotonic(), 0.0
            else:
                self.silent_s += 0.005


async def sink_of(pulse: Any, name: str) -> Any:
    return next(sink for sink in await pulse.sink_list() if sink.name == name)


async def test_killed_server_is_told(sound: PrivatePipewire) -> None:
    async with asyncio.timeout(15), PipewireSpeakerConfig().build() as speaker:
        playing = asyncio.create_task(play_tone(speaker))
        os.kill(sound.server_pid, signal.SIGKILL)
        with pytest.raises(DeviceError) as caught:
            await playing
        assert caught.value.reason is Reason.NO_ANSWER


async def test_wrong_length_and_closed(sound: PrivatePipewire) -> None:
    for speaker in (PipewireSpeakerConfig().build(), FakeSpeakerConfig().build()):
        with pytest.raises(DeviceError):
            await speaker.play(bytes(CHUNK_BYTES))
        async with speaker:
            with pytest.raises(ValueError, match="bytes"):
                await speaker.play(b"")
            with pytest.raises(ValueError, match="volume"):
                await speaker.set_volume(1.1)
        await speaker.close()


async def test_what_waits_is_told(sound: PrivatePipewire) -> None:
    for speaker in (PipewireSpeakerConfig().build(), FakeSpeakerConfig().build()):
        assert speaker.backlog() is None
        async with asyncio.timeout(10), speaker:
            for _ in range(5):
                await speaker.play(bytes(CHUNK_BYTES))
            waits = speaker.backlog()
            assert waits is not None
            assert 0.03 < waits <= 0.1
            while (waits := speaker.backlog()) is not None and waits > 0:  # noqa: ASYNC110 (nothing tells)
                await asyncio.sleep(0.01)
            assert waits == 0
        assert speaker.backlog() is None


async def test_fake_plays_in_real_time_and_drops() -> None:
    speaker = FakeSpeakerConfig().build()
    async with asyncio.timeout(5), speaker:
        speaker.hold()
        for number in range(15):
            await speaker.play(bytes([number]) * CHUNK_BYTES)
        assert speaker.dropped == 5
        assert speaker.heard() == b""
        speaker.release()
        while len(speaker.heard()) < 10 * CHUNK_BYTES:  # noqa: ASYNC110 (it works lazily)
            await asyncio.sleep(0.01)
        assert [part[0] for part in np.frombuffer(speaker.heard(), np.uint8).reshape(10, -1)] == [
            *range(5, 15)
        ]
        speaker.fail_with(Reason.UNPLUGGED)
        with pytest.raises(DeviceAbsent):
            await speaker.play(bytes(CHUNK_BYTES))


async def test_no_speaker() -> None:
    speaker = NoSpeakerConfig().build()
    for use in (speaker.check(), speaker.open(), speaker.play(b""), speaker.set_volume(1)):
        with pytest.raises(DeviceAbsent) as caught:
            await use
        assert caught.value.reason is Reason.NOT_CONFIGURED
