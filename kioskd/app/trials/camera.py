"""The camera's trial: what comes out of it for some seconds, and one picture of that."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from kioskd.app.devices import Devices
from kioskd.app.trials.marks import Marks
from kioskd.control.trial import Look
from kioskd.errors import Reason
from kioskd.hal.camera import Camera, Frame
from kioskd.hal.device import DeviceKind
from kioskd.vision.judge import SLOW_SHARE, PictureJudge

WATCH_S: Final = 4.5
"""Longer than the judge takes to tell of a black, a frozen or a covered picture."""
SETTLE_S: Final = 0.7
"""A camera's exposure settles within its first frames; they do not count for its rate."""
FIRST_S: Final = (2.0, 5.0)
"""A first picture after the one is well, after the other slow."""
LIGHT: Final = (60.0, 200.0)
"""Mean luma in which a face is seen well; beyond it the room is too dark or too bright."""
SHARP: Final = 25.0
"""Variance of the Laplacian of the luma at 640 pixels' width: a wall and a door in focus give
some hundreds, a smeared lens less than this."""
SHARP_WIDTH: Final = 640


@dataclass(slots=True)
class _Seen:
    first_s: float
    last: Frame
    rate: float
    verdict: Reason | None
    alive: bool


async def try_camera(devices: Devices, marks: Marks) -> None:
    """Open the camera and judge it. Raises DeviceError."""
    async with devices.camera.lease() as camera:
        marks.device = camera.description
        seen = await _watch(camera, marks)
        promised = camera.format.fps
    picture, sharp, light = await asyncio.to_thread(_measure, seen.last)
    marks.show("camera.png", picture)
    size = {"width": seen.last.width, "height": seen.last.height}
    first = 1.0 if seen.first_s <= FIRST_S[0] else 0.5 if seen.first_s <= FIRST_S[1] else 0.2
    marks.mark(Look.PICTURE, 25, first, **size, ms=round(seen.first_s * 1000))
    marks.mark(Look.LIFE, 20, seen.alive)
    slow = seen.rate < SLOW_SHARE * promised
    share = min(1.0, seen.rate / promised) if slow else 1.0
    marks.mark(Look.RATE, 20, share, fps=round(seen.rate, 1), promised=promised)
    unseen = seen.verdict in (Reason.BLACK, Reason.COVERED)
    lit = 0.0 if unseen else 1.0 if LIGHT[0] <= light <= LIGHT[1] else 0.6
    marks.mark(Look.LIGHT, 20, lit, light=round(light))
    focus = 0.0 if unseen else min(1.0, 0.2 + 0.8 * sharp / SHARP)
    marks.mark(Look.SHARPNESS, 15, focus, sharpness=round(sharp), good=round(SHARP))
    if seen.verdict in (Reason.BLACK, Reason.COVERED, Reason.FROZEN):
        marks.wrong_device(DeviceKind.CAMERA, seen.verdict, _detail(seen, light))
    elif slow:
        detail = f"{seen.rate:.1f} of {promised} fps"
        marks.wrong_device(DeviceKind.CAMERA, Reason.SLOW, detail, fails=False)


def _detail(seen: _Seen, light: float) -> str:
    return f"{seen.last.width}x{seen.last.height}, brightness {light:.0f} of 255"


async def _watch(camera: Camera, marks: Marks) -> _Seen:
    began = time.monotonic()
    judge = PictureJudge(camera.format.fps)
    frame = await camera.frame()
    first_s, before, alive = time.monotonic() - began, frame.i420, False
    settled: Frame | None = None
    while (watched := time.monotonic() - began - first_s) < WATCH_S:
        marks.progress(watched / WATCH_S, Look.PICTURE)
        frame = await camera.frame()
        alive = alive or frame.i420 != before
        before = frame.i420
        if watched >= SETTLE_S and settled is None:
            settled = frame
        judge.see(frame)
    taken = frame.number - settled.number if settled else 0
    seconds = frame.captured_at - settled.captured_at if settled else 0.0
    return _Seen(first_s, frame, taken / seconds if seconds else 0.0, judge.verdict, alive)


def _measure(frame: Frame) -> tuple[bytes, float, float]:
    """Return a PNG, how sharp it is and how bright."""
    planes = np.frombuffer(frame.i420, np.uint8).reshape(frame.height * 3 // 2, frame.width)
    luma = planes[: frame.height]
    height = max(1, SHARP_WIDTH * frame.height // frame.width)
    small = cv2.resize(luma, (SHARP_WIDTH, height), interpolation=cv2.INTER_AREA)
    sharp = float(cv2.Laplacian(small, cv2.CV_64F).var())
    picture = cv2.imencode(".png", cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420))[1]
    return picture.tobytes(), sharp, float(luma.mean())
