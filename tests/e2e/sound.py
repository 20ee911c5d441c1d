"""Sound in an end-to-end test: into the virtual microphone, out of the virtual speaker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
from playwright.async_api import Page

from kioskd.hal.microphone import SAMPLE_RATE
from kioskd.simulation.pipewire import PrivatePipewire
from tests.e2e.stage import peak_hz

FORMAT = ("--raw", "--format=s16le", f"--rate={SAMPLE_RATE}", "--channels=1")
HEARD_S = 15.0
TOLERANCE_HZ = 12.0

PAGE_PEAK = """async () => {
  const video = document.querySelector('[data-testid=remote-video]');
  const stream = video.srcObject;
  const context = new AudioContext({ sampleRate: 48000 });
  await context.resume();
  const analyser = context.createAnalyser();
  analyser.fftSize = 8192;
  analyser.smoothingTimeConstant = 0;
  context.createMediaStreamSource(stream).connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  let best = 0;
  const until = performance.now() + 500;
  while (performance.now() < until) await new Promise(requestAnimationFrame);
  analyser.getFloatFrequencyData(bins);
  for (let i = 5; i < bins.length; i++) if (bins[i] > bins[best]) best = i;
  await context.close();
  return bins[best] < -80 ? 0 : best * 48000 / 8192;
}"""


def pulse(demo: Path) -> PrivatePipewire:
    """Return the demo's sound server, which runs in `demo`/pipewire."""
    return PrivatePipewire(demo / "pipewire")


@contextlib.asynccontextmanager
async def play_into_microphone(demo: Path, hz: int) -> AsyncIterator[None]:
    """Play a tone where the kiosk's microphone hears it, as long as the block lasts."""
    sound = pulse(demo)
    process = await asyncio.create_subprocess_exec(
        "pacat",
        "--playback",
        f"--device={sound.feed}",
        *FORMAT,
        stdin=asyncio.subprocess.PIPE,
        env={**os.environ, **sound.env},
    )
    feeding = asyncio.create_task(_feed(process, hz))
    try:
        yield
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])
        process.kill()
        await process.wait()


async def _feed(process: asyncio.subprocess.Process, hz: int) -> None:
    assert process.stdin is not None
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE  # whole periods: it can be repeated
    tone = (10_000 * np.sin(2 * np.pi * hz * seconds)).astype("<i2").tobytes()
    while True:
        process.stdin.write(tone)
        await process.stdin.drain()


async def heard_in_page(page: Page, hz: int) -> None:
    """Wait until the agent's page hears a tone of `hz`."""
    await _until(lambda: page.evaluate(PAGE_PEAK), hz, "the agent's page")


async def heard_at_speaker(demo: Path, hz: int) -> None:
    """Wait until the kiosk's speaker plays a tone of `hz`."""
    sound = pulse(demo)
    process = await asyncio.create_subprocess_exec(
        "parec",
        f"--device={sound.sink_monitor}",
        *FORMAT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **sound.env},
    )
    assert process.stdout is not None
    stream = process.stdout

    async def listen() -> float:
        return peak_hz(await stream.readexactly(SAMPLE_RATE))  # half a second

    try:
        await _until(listen, hz, "the kiosk's speaker")
    finally:
        process.kill()
        await process.wait()


async def _until(listen: object, hz: int, who: str) -> None:
    assert callable(listen)
    deadline = time.monotonic() + HEARD_S
    heard: list[float] = []
    while not heard or abs(heard[-1] - hz) > TOLERANCE_HZ:
        assert time.monotonic() < deadline, f"{who} heard {heard[-5:]} Hz in place of {hz}"
        heard.append(float(await listen()))
