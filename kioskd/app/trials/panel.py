"""The panel's trial: each lamp in turn, the camera looks on; the buttons if somebody is there."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kioskd.app.devices import Devices
from kioskd.app.trials.marks import Elsewhere, Marks
from kioskd.control.trial import Look, Untried
from kioskd.errors import DeviceError, Reason
from kioskd.hal.camera import Camera
from kioskd.hal.device import DeviceKind
from kioskd.hal.panel import Lamp, LampPattern, Panel, PanelEvent

RHYTHM: Final = tuple(one == "1" for one in "101100100110")
"""Of the lamp in the big button: no flicker of a room keeps to it."""
SHOWN_S: Final = 0.6
"""How long somebody at the kiosk has to see each pattern."""
STEP_S: Final = 0.35
SETTLE_S: Final = 0.15
"""From the acknowledgement until a picture shows it: exposure and the camera's own delay."""
BLOCKS: Final = (64, 48)
SEEN: Final = 0.95
"""Correlation with RHYTHM of one block's light. Of 3,072 blocks of noise the best has 0.85 by
chance, one time in three hundred 0.94."""
BRIGHTER: Final = 6.0
"""Levels of luma between lit and dark."""
_LOOKS: Final = {Lamp.CALL: Look.CALL_LAMP, Lamp.CAMERA: Look.CAMERA_LAMP}


async def try_panel(
    devices: Devices,
    marks: Marks,
    *,
    shown: Callable[[Lamp], LampPattern],
    press: Callable[[Panel], Awaitable[PanelEvent]],
    buttons_s: float,
) -> None:
    """Light each lamp, and give it back the pattern that `shown` names. Raises DeviceError.

    `press` waits for the next thing that somebody does at the panel.
    """
    async with devices.panel.lease() as panel:
        marks.device = panel.description
        try:
            for number, lamp in enumerate(Lamp):
                marks.progress(number / 10, _LOOKS[lamp])
                await _light(panel, lamp, marks)
            await _seen_by_camera(devices, panel, marks)
        finally:
            for lamp in Lamp:
                with contextlib.suppress(DeviceError):
                    await panel.set_lamp(lamp, shown(lamp))
        await _buttons(functools.partial(press, panel), marks, buttons_s)


async def _light(panel: Panel, lamp: Lamp, marks: Marks) -> None:
    """Turn a lamp on, let it blink, turn it off: each is acknowledged by the panel."""
    slowest_s = 0.0
    for pattern in (LampPattern.ON, LampPattern.BLINK, LampPattern.OFF):
        began = time.monotonic()
        await panel.set_lamp(lamp, pattern)
        slowest_s = max(slowest_s, time.monotonic() - began)
        await asyncio.sleep(SHOWN_S)
    marks.mark(_LOOKS[lamp], 30, 1, ms=round(slowest_s * 1000, 1))


async def _seen_by_camera(devices: Devices, panel: Panel, marks: Marks) -> None:
    try:
        async with devices.camera.lease() as camera:
            pictures = await _blink(camera, panel, marks)
    except Elsewhere as other:
        raise other.error from other
    except DeviceError:
        marks.untried(Look.LAMP_SEEN, 20, Untried.NO_CAMERA)
        return
    share, brighter = await asyncio.to_thread(_correlate, pictures)
    if share >= SEEN and brighter >= BRIGHTER:
        marks.mark(Look.LAMP_SEEN, 20, 1, percent=round(share * 100))
    else:  # most kiosks' lamps are not in the picture: that proves nothing
        marks.untried(Look.LAMP_SEEN, 20, Untried.NOT_IN_VIEW)


async def _blink(camera: Camera, panel: Panel, marks: Marks) -> list[NDArray[np.float64]]:
    await camera.frame()
    pictures = []
    for number, on in enumerate(RHYTHM):
        marks.progress(0.2 + 0.6 * number / len(RHYTHM), Look.LAMP_SEEN)
        try:
            await panel.set_lamp(Lamp.CALL, LampPattern.ON if on else LampPattern.OFF)
        except DeviceError as error:
            raise Elsewhere(error) from error
        since = time.monotonic()
        total, count = np.zeros(BLOCKS[::-1], np.float64), 0
        while time.monotonic() - since < STEP_S:
            frame = await camera.frame()
            if frame.captured_at - since < SETTLE_S:
                continue
            luma = np.frombuffer(frame.i420, np.uint8, frame.width * frame.height)
            small = cv2.resize(
                luma.reshape(frame.height, frame.width), BLOCKS, interpolation=cv2.INTER_AREA
            )
            total, count = total + small, count + 1
        pictures.append(total / max(1, count))
    return pictures


def _correlate(pictures: list[NDArray[np.float64]]) -> tuple[float, float]:
    """Return how well the best block keeps to RHYTHM, and how much brighter it is when lit."""
    light = np.stack(pictures)
    lit = np.array(RHYTHM)
    brighter = light[lit].mean(axis=0) - light[~lit].mean(axis=0)
    wanted = lit - lit.mean()
    moved = light - light.mean(axis=0)
    norm = np.sqrt((moved**2).sum(axis=0)) * np.sqrt((wanted**2).sum()) + 1e-6
    share = np.tensordot(wanted, moved, 1) / norm
    best = np.unravel_index(np.argmax(np.where(brighter >= BRIGHTER, share, -1)), share.shape)
    return float(share[best]), float(brighter[best])


async def _buttons(
    press: Callable[[], Awaitable[PanelEvent]], marks: Marks, buttons_s: float
) -> None:
    wanted = [one for one in PanelEvent if not one.value.startswith("handset")]
    pressed: set[PanelEvent] = set()
    if not buttons_s:
        marks.untried(Look.BUTTONS, 20, Untried.NOBODY_PRESSED, proves=True)
        return
    began = time.monotonic()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(buttons_s):
            while not pressed.issuperset(wanted):
                marks.progress((time.monotonic() - began) / buttons_s, Look.BUTTONS)
                pressed.add(await press())
    names = ", ".join(one.value for one in PanelEvent if one in pressed)
    if not pressed:
        marks.untried(Look.BUTTONS, 20, Untried.NOBODY_PRESSED, proves=True)
        return
    missing = ", ".join(one.value for one in wanted if one not in pressed) or "-"
    share = len(pressed.intersection(wanted)) / len(wanted)
    marks.mark(Look.BUTTONS, 20, share, pressed=names, missing=missing)
    if missing != "-":
        marks.wrong_device(DeviceKind.PANEL, Reason.NO_ANSWER, f"not seen: {missing}", fails=False)
