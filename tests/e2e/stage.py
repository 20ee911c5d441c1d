"""What an end-to-end test stands on: a demo in a process of its own, and two browsers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import tempfile
import time
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from playwright.async_api import Browser, Page, Playwright, expect

from drivers.camera.picture import Painter

expect.set_options(timeout=30_000)  # as actions have: a busy machine is slow, not wrong
ARTEFACTS = Path(__file__).parents[2] / "build" / "e2e"
CHROMIUM = "/usr/bin/chromium"
AGENT_TONE_HZ = 1000
"""What the agent's microphone hears; the kiosk's hears KIOSK_TONE_HZ."""
KIOSK_TONE_HZ = 440
READ_STRIP = """(element) => {
  const width = 480, height = 360;
  const canvas = document.createElement('canvas');
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(element, 0, 0, width, height);
  let value = 0n;
  for (let bit = 0; bit < 48; bit++) {
    const row = Math.floor(bit / 24), column = bit % 24;
    const x = Math.round((column + 0.5) * width / 24);
    const y = Math.round((row + 0.5) * height / 16);
    const pixels = context.getImageData(x - 2, y - 2, 4, 4).data;
    let sum = 0;
    for (let i = 0; i < pixels.length; i += 4) sum += pixels[i];
    value = value * 2n + (sum / (pixels.length / 4) > 125 ? 1n : 0n);
  }
  return [Number(value >> 32n), Number(value & 0xffffffffn)];
}"""
"""Reads the strip of drivers/camera/picture.py from a video or a canvas."""


@dataclass
class Demo:
    """A running demo: its addresses, its process, and the folder with all it writes."""

    screen: str
    agent: str
    pid: int
    folder: Path


@contextlib.asynccontextmanager
async def demo(folder: Path, *arguments: str) -> AsyncIterator[Demo]:
    """Run `kioskd demo`; end it as Ctrl-C does, and insist that it ends within 5 s."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kioskd",
        "demo",
        "--folder",
        str(folder),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log = asyncio.create_task(_keep_log(process.stderr))
    try:
        async with asyncio.timeout(60):
            screen = await _address(process.stdout, "screen")
            agent = await _address(process.stdout, "page")
        yield Demo(screen, agent, process.pid, folder)
        assert await _interrupted(process) == 0
    finally:
        await _interrupted(process)  # its broker and its printer, of other users, end with it
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await log


async def _interrupted(process: asyncio.subprocess.Process) -> int | None:
    """End it as Ctrl-C does; return its exit code, None if it has not ended after 5 s."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await process.wait()
    return process.returncode


async def _keep_log(stream: asyncio.StreamReader) -> None:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    with (ARTEFACTS / "demo.log").open("ab") as target:
        while chunk := await stream.read(65536):
            target.write(chunk)
            target.flush()


async def _address(stream: asyncio.StreamReader, word: str) -> str:
    while line := (await stream.readline()).decode():
        found = re.search(rf"{word}:\s+(http://\S+)", line)
        if found:
            return found[1]
    raise AssertionError("the demo ended: see build/e2e/demo.log")


@contextlib.contextmanager
def stage_folder() -> Iterator[Path]:
    """Make a folder in RAM that the broker's and the printer's own users can pass."""
    with tempfile.TemporaryDirectory(prefix="kioskd-", dir="/dev/shm") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


async def chromium(playwright: Playwright, *arguments: str) -> Browser:
    """Start Debian's Chromium, with devices that need no click."""
    return await playwright.chromium.launch(
        executable_path=CHROMIUM,
        args=[
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            "--autoplay-policy=no-user-gesture-required",
            *arguments,
        ],
    )


def agent_media(folder: Path) -> list[str]:
    """Make the agent's camera and microphone as files; return Chromium's arguments."""
    video, sound = folder / "agent.y4m", folder / "agent.wav"
    painter = Painter(640, 480)
    with video.open("wb") as target:
        target.write(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n")
        for number in range(90):
            target.write(b"FRAME\n" + painter.paint(number, number * 33))
    seconds = np.arange(48_000 * 2) / 48_000
    tone = (12_000 * np.sin(2 * np.pi * AGENT_TONE_HZ * seconds)).astype("<i2")
    with wave.open(str(sound), "wb") as target_wave:
        target_wave.setparams((1, 2, 48_000, 0, "NONE", "none"))
        target_wave.writeframes(tone.tobytes())
    return [
        f"--use-file-for-fake-video-capture={video}",
        f"--use-file-for-fake-audio-capture={sound}",
    ]


async def strip(page: Page, selector: str) -> tuple[int, int]:
    """Read frame counter and time of the picture that `selector` shows now."""
    number, milliseconds = await page.locator(selector).evaluate(READ_STRIP)
    return number, milliseconds


async def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Look every 50 ms until `condition` holds; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


def peak_hz(pcm: bytes, rate: int = 48_000) -> float:
    """Return the strongest frequency of mono S16LE sound, 0 in silence."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    if not len(samples) or np.abs(samples).max() < 100:
        return 0.0
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum[10:]) + 10) * rate / len(samples)


def make_pdf(path: Path, words: list[str]) -> None:
    """Make a PDF with one A4 page per word, set large enough to be read back by OCR."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(words)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(words)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for n, word in enumerate(words):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * n} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        text = f"BT /F1 48 Tf 60 600 Td ({word}) Tj ET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text))
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        start,
    )
    path.write_bytes(bytes(out))
