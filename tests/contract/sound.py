"""A private sound server for a test, tones, and what a source hears."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from kioskd.simulation.pipewire import PrivatePipewire

FORMAT = ("--raw", "--format=s16le", "--rate=48000", "--channels=1", "--latency-msec=20")


@contextlib.asynccontextmanager
async def private_sound(
    monkeypatch: pytest.MonkeyPatch, *, configuration: str = ""
) -> AsyncIterator[PrivatePipewire]:
    """Run a sound server that this process's clients find; no child outlives it.

    `configuration` is a file in pipewire.conf.d.
    """
    with tempfile.TemporaryDirectory(prefix="pw") as folder:
        if configuration:
            target = Path(folder) / "config" / "pipewire" / "pipewire.conf.d" / "kioskd.conf"
            target.parent.mkdir(parents=True)
            target.write_text(configuration)
        async with PrivatePipewire(Path(folder)) as private:
            for key, value in private.env.items():
                monkeypatch.setenv(key, value)
            yield private
    assert not psutil.Process().children()


def peak_hz(pcm: bytes) -> float:
    wave = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(wave))) * 48000 / len(wave))


def tone(seconds: float, hz: int = 440) -> bytes:
    at = np.arange(int(48000 * seconds))
    return (8000 * np.sin(2 * np.pi * hz * at / 48000)).astype("<i2").tobytes()


def speech(seconds: int) -> bytes:
    """Make noise with the colour and the pauses of speech."""
    chance = np.random.default_rng(1)
    noise = np.convolve(chance.normal(size=48000 * seconds), np.exp(-np.arange(64) / 8), "same")
    syllables = (chance.random(10 * seconds) > 0.4).astype(float).repeat(4800)
    wave = noise / np.abs(noise).max() * np.convolve(syllables, np.ones(480) / 480, "same")
    return bytes((20000 * wave).astype("<i2"))


def decibels(pcm: bytes) -> float:
    """Return the level of sound in dBFS, -100 for silence."""
    wave = np.frombuffer(pcm, "<i2").astype(float) / 32768
    return float(10 * np.log10(np.mean(wave**2) + 1e-10))


@contextlib.asynccontextmanager
async def playing(sink: str, pcm: bytes) -> AsyncIterator[None]:
    """Play `pcm` (less than 10 s) into a sink as long as the block lasts."""
    process = await asyncio.create_subprocess_exec("pacat", *FORMAT, f"--device={sink}", stdin=PIPE)
    assert process.stdin is not None
    process.stdin.write(pcm)
    try:
        yield
    finally:
        process.kill()
        await process.wait()
        process.stdin.close()


@contextlib.asynccontextmanager
async def hearing(source: str) -> AsyncIterator[asyncio.StreamReader]:
    """Record a source as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        "parec", *FORMAT, f"--device={source}", stdout=PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.communicate()


async def until(condition: Callable[[], object], seconds: float) -> float:
    """Wait until `condition()` is true; return how long that took, fail after `seconds`."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not come true"
        await asyncio.sleep(0.002)
    return time.monotonic() - start
