"""The speaker's contract: the real driver on a private PipeWire, and the fake."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from drivers.speaker.fake import FakeSpeakerConfig
from drivers.speaker.none import NoSpeakerConfig
from drivers.speaker.pipewire import PipewireSpeakerConfig
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.microphone import CHUNK_BYTES, CHUNK_SAMPLES
from kioskd.hal.speaker import Speaker
from kioskd.simulation.pipewire import PrivatePipewire


def peak_hz(pcm: bytes) -> float:
    wave = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(wave))) * 48000 / len(wave))


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
    with tempfile.TemporaryDirectory(prefix="pw") as folder:
        async with PrivatePipewire(Path(folder)) as private:
            for key, value in private.env.items():
                monkeypatch.setenv(key, value)
            yield private
    assert not psutil.Process().children()


async def test_real_tone_arrives_and_unplug_is_told(sound: PrivatePipewire) -> None:
    record = ("parec", "--raw", "--format=s16le", "--rate=48000", "--channels=1")
    monitor = f"--device={sound.sink_monitor}"
    recorder = await asyncio.create_subprocess_exec(*record, monitor, stdout=PIPE)
    assert recorder.stdout is not None
    speaker = PipewireSpeakerConfig(sink=sound.sink).build()
    async with asyncio.timeout(20), speaker:
        await speaker.check()
        playing = asyncio.create_task(play_tone(speaker))
        while abs(peak_hz(await recorder.stdout.readexactly(19200)) - 440) > 5:
            pass
        await speaker.set_volume(0.0)
        while any(await recorder.stdout.readexactly(1920)):
            pass
        recorder.kill()
        await recorder.communicate()
        await sound.remove_sink()
        with pytest.raises(DeviceError) as caught:
            await playing
        assert caught.value.reason is Reason.UNPLUGGED
        with pytest.raises(DeviceError):
            await speaker.check()


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
