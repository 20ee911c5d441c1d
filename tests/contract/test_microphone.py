"""The microphone's contract: the real driver on a private PipeWire, and the fake."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from drivers.microphone.fake import FakeMicrophoneConfig
from drivers.microphone.none import NoMicrophoneConfig
from drivers.microphone.pipewire import PipewireMicrophoneConfig
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.microphone import CHUNK_BYTES, Microphone
from kioskd.simulation.pipewire import PrivatePipewire


def peak_hz(pcm: bytes) -> float:
    wave = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(wave))) * 48000 / len(wave))


def tone(seconds: float) -> bytes:
    at = np.arange(int(48000 * seconds))
    return (8000 * np.sin(2 * np.pi * 440 * at / 48000)).astype("<i2").tobytes()


@pytest.fixture
async def sound(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PrivatePipewire]:
    with tempfile.TemporaryDirectory(prefix="pw") as folder:
        async with PrivatePipewire(Path(folder)) as private:
            for key, value in private.env.items():
                monkeypatch.setenv(key, value)
            yield private
    assert not psutil.Process().children()


async def hears_the_tone(microphone: Microphone) -> None:
    async with asyncio.timeout(10):
        while True:
            chunks = [await microphone.chunk() for _ in range(10)]
            assert all(len(chunk.pcm) == CHUNK_BYTES for chunk in chunks)
            pcm = b"".join(chunk.pcm for chunk in chunks)
            if abs(peak_hz(pcm) - 440) <= 5:
                return


async def drain(microphone: Microphone) -> None:
    while True:
        await microphone.chunk()


async def test_fake_hears_a_tone() -> None:
    async with FakeMicrophoneConfig().build() as microphone:
        await hears_the_tone(microphone)


async def test_real_hears_a_tone_and_tells_of_unplug(sound: PrivatePipewire) -> None:
    play = ("pacat", "--raw", "--format=s16le", "--rate=48000", "--channels=1", "-d", sound.feed)
    player = await asyncio.create_subprocess_exec(*play, stdin=asyncio.subprocess.PIPE)
    assert player.stdin is not None
    player.stdin.write(tone(10))
    microphone = PipewireMicrophoneConfig(source=sound.source).build()
    await microphone.check()
    async with microphone:
        await hears_the_tone(microphone)
        await sound.remove_source()
        start = time.monotonic()
        with pytest.raises(DeviceError) as caught:
            await asyncio.wait_for(drain(microphone), 5)
        assert caught.value.reason is Reason.UNPLUGGED
        assert time.monotonic() - start < 1.5
    player.kill()
    await player.wait()
    player.stdin.close()
    with pytest.raises(DeviceAbsent):
        await microphone.check()


async def test_killed_server_is_told(sound: PrivatePipewire) -> None:
    async with PipewireMicrophoneConfig().build() as microphone:
        await microphone.chunk()
        os.kill(sound.server_pid, signal.SIGKILL)
        with pytest.raises(DeviceError) as caught:
            await asyncio.wait_for(drain(microphone), 8)
        assert caught.value.reason is Reason.NO_ANSWER


async def test_fake_faults() -> None:
    microphone = FakeMicrophoneConfig().build()
    async with microphone:
        microphone.fail_with(Reason.UNPLUGGED)
        with pytest.raises(DeviceAbsent):
            await microphone.chunk()
        microphone.fail_with(None)
        microphone.hold()
        with pytest.raises(DeviceError) as caught:
            await microphone.chunk()
        assert caught.value.reason is Reason.NO_ANSWER
    with pytest.raises(DeviceError):
        await microphone.chunk()


async def test_no_microphone() -> None:
    microphone = NoMicrophoneConfig().build()
    for use in (microphone.check, microphone.open, microphone.chunk):
        with pytest.raises(DeviceAbsent) as caught:
            await use()
        assert caught.value.reason is Reason.NOT_CONFIGURED
