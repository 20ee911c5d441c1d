"""`kioskctl test DEVICE`: one real use of a device, with something to look at."""

from __future__ import annotations

import asyncio
import contextlib
import math
import tempfile
from array import array
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from kioskd.app.devices import Devices
from kioskd.control.api import TestResult
from kioskd.documents.assembly import assemble
from kioskd.documents.spool import Spool
from kioskd.hal.device import DeviceKind
from kioskd.hal.microphone import CHUNK_SAMPLES, SAMPLE_RATE
from kioskd.hal.panel import Lamp, LampPattern
from kioskd.hal.scanner import ScanSettings

LISTEN_CHUNKS: Final = 100
TONE_HZ: Final = 880
TONE_CHUNKS: Final = 50
DARK: Final = 20
SETTLE_FRAMES: Final = 10
"""A camera's exposure settles within its first frames."""


async def try_device(devices: Devices, kind: DeviceKind, spool: Spool) -> TestResult:
    """Use a device once. Raises DeviceError when it cannot be used."""
    match kind:
        case DeviceKind.CAMERA:
            return await _camera(devices, spool)
        case DeviceKind.MICROPHONE:
            return await _microphone(devices)
        case DeviceKind.SPEAKER:
            return await _speaker(devices)
        case DeviceKind.SCANNER:
            return await _scanner(devices, spool)
        case DeviceKind.PRINTER:
            return await _printer(devices)
        case DeviceKind.PANEL:
            return await _panel(devices)


def _keep(folder: Path, suffix: str, data: bytes) -> str:
    """Write a file for the technician, in RAM and for root only; the next visit's wipe removes it.

    A picture of the hall may show somebody.
    """
    with tempfile.NamedTemporaryFile(
        prefix="test-", suffix=suffix, dir=folder, delete=False
    ) as target:
        target.write(data)
        return target.name


async def _camera(devices: Devices, spool: Spool) -> TestResult:
    async with devices.camera.lease() as camera:
        for _ in range(SETTLE_FRAMES):
            frame = await camera.frame()
    planes = np.frombuffer(frame.i420, np.uint8).reshape(frame.height * 3 // 2, frame.width)
    light = float(planes[: frame.height].mean())
    picture = cv2.imencode(".png", cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420))[1].tobytes()
    size = f"{frame.width}x{frame.height}, brightness {light:.0f} of 255"
    if light < DARK:
        return TestResult(
            device=DeviceKind.CAMERA,
            passed=False,
            message=f"the picture is black ({size}): is the lens covered?",
            file=_keep(spool.root, ".png", picture),
        )
    return TestResult(
        device=DeviceKind.CAMERA,
        passed=True,
        message=f"a picture: {size}",
        file=_keep(spool.root, ".png", picture),
    )


async def _microphone(devices: Devices) -> TestResult:
    sound = bytearray()
    async with devices.microphone.lease() as microphone:
        for _ in range(LISTEN_CHUNKS):
            sound += (await microphone.chunk()).pcm
    samples = np.frombuffer(bytes(sound), "<i2").astype(np.float64)
    rms = math.sqrt(float((samples**2).mean()))
    level = -96.0 if rms < 1 else 20 * math.log10(rms / 32768)
    return TestResult(
        device=DeviceKind.MICROPHONE,
        passed=rms >= 1,
        message=f"2 s of sound, level {level:.0f} dBFS"
        + ("" if rms >= 1 else ": total silence, is it muted?"),
    )


async def _speaker(devices: Devices) -> TestResult:
    step = 2 * math.pi * TONE_HZ / SAMPLE_RATE
    async with devices.speaker.lease() as speaker:
        for number in range(TONE_CHUNKS):
            start = number * CHUNK_SAMPLES
            tone = array(
                "h",
                (int(8000 * math.sin(step * (start + n))) for n in range(CHUNK_SAMPLES)),
            )
            await speaker.play(tone.tobytes())
            await asyncio.sleep(CHUNK_SAMPLES / SAMPLE_RATE)
    return TestResult(
        device=DeviceKind.SPEAKER,
        passed=True,
        message=f"1 s of {TONE_HZ} Hz was played: did you hear it?",
    )


async def _scanner(devices: Devices, spool: Spool) -> TestResult:
    count, size = 0, ""
    with tempfile.TemporaryDirectory(dir=spool.root) as folder:
        async with devices.scanner.lease() as scanner:
            pages = scanner.scan(ScanSettings(), Path(folder))
            async with contextlib.aclosing(pages):
                async for page in pages:
                    count += 1
                    size = f"{page.width}x{page.height} at {page.dpi} dpi"
    return TestResult(
        device=DeviceKind.SCANNER, passed=count > 0, message=f"{count} page(s), {size}"
    )


async def _printer(devices: Devices) -> TestResult:
    with tempfile.TemporaryDirectory() as folder:
        document = await asyncio.to_thread(_test_page, Path(folder))
        async with devices.printer.lease() as printer:
            number = await printer.submit(document, title="test")
            status = await printer.job(number)
    return TestResult(
        device=DeviceKind.PRINTER,
        passed=True,
        message=f"a page was handed over; its job is {status.state.value}",
    )


def _test_page(folder: Path) -> Path:
    page = np.full((3508, 2480), 255, np.uint8)  # A4 at 300 dpi
    cv2.putText(page, "kioskd", (300, 600), cv2.FONT_HERSHEY_SIMPLEX, 8, 0, 20)
    picture, document = folder / "page.jpg", folder / "page.pdf"
    picture.write_bytes(cv2.imencode(".jpg", page)[1].tobytes())
    document.write_bytes(assemble([picture]))
    return document


async def _panel(devices: Devices) -> TestResult:
    panel = devices.panel.device
    await panel.set_lamp(Lamp.CALL, LampPattern.BLINK)
    return TestResult(
        device=DeviceKind.PANEL, passed=True, message="the big button blinks: do you see it?"
    )
