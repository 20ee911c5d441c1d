"""The call's trial: the kiosk calls itself with its own camera and microphone."""

from __future__ import annotations

import contextlib
from typing import Final

from kioskd.app.devices import Devices
from kioskd.app.trials.marks import Marks
from kioskd.call.loopback import Looped, call_itself
from kioskd.control.trial import Look
from kioskd.diagnostics.findings import Trouble
from kioskd.errors import CallError, DeviceError

SET_UP_S: Final = (2.0, 5.0)
"""No network is between: beyond the one the machine is busy, beyond the other it is ill."""
RATE: Final = 0.7
"""The share of the camera's pictures that must get through; the mirror codes them a second time,
which a real call does not."""
SOUND: Final = 0.9
STILL_FPS: Final = 2.0
"""Grey pictures, in place of a camera that gives none, come at this rate (kioskd/call/media.py)."""
LOSS: Final = 0.02


async def try_call(devices: Devices, marks: Marks) -> None:
    """Hold a call with itself."""
    async with contextlib.AsyncExitStack() as stack:
        for one in (devices.camera, devices.microphone):
            try:
                await stack.enter_async_context(one.lease())
            except DeviceError as error:
                marks.broken(one.device.kind, error)
                return
        camera, microphone = devices.camera.device, devices.microphone.device
        marks.device = f"{camera.description}, {microphone.description}"
        promised = camera.format.fps
        try:
            done = await call_itself(
                camera.frame, microphone.chunk, lambda share: marks.progress(share, Look.SET_UP)
            )
        except CallError as error:
            marks.mark(Look.SET_UP, 100, 0, ms="-", first="-")
            marks.wrong(Trouble.SELF_CALL, str(error))
            return
    _judge(marks, done, promised)


def _judge(marks: Marks, done: Looped, promised: int) -> None:
    quick, slow = SET_UP_S
    first = done.first_picture_s
    share = 1.0 if done.set_up_s <= quick else 0.6 if done.set_up_s <= slow else 0.3
    marks.mark(
        Look.SET_UP,
        20,
        share,
        ms=round(done.set_up_s * 1000),
        first="-" if first is None else round(first * 1000),
    )
    wanted = RATE * promised
    for look, rate in (
        (Look.PICTURE_OUT, done.pictures_out),
        (Look.PICTURE_BACK, done.pictures_back),
    ):
        flows = rate > STILL_FPS or promised <= STILL_FPS
        marks.mark(look, 20, min(1.0, rate / wanted) if flows else 0, fps=round(rate, 1))
    for look, share in ((Look.SOUND_OUT, done.sound_out), (Look.SOUND_BACK, done.sound_back)):
        marks.mark(look, 15, share / SOUND, percent=round(min(1.0, share) * 100))
    loss = max(done.loss_out or 0.0, done.loss_back or 0.0)
    marks.mark(Look.LOSS, 10, 1 if loss <= LOSS else 0.4, percent=round(loss * 100, 1))
    least = min(done.pictures_out, done.pictures_back)
    if least <= STILL_FPS < promised or min(done.sound_out, done.sound_back) <= 0:
        marks.wrong(Trouble.SELF_CALL, f"{least:.1f} of {promised} pictures a second came through")
    elif least < wanted or min(done.sound_out, done.sound_back) < SOUND or loss > LOSS:
        detail = f"{least:.1f} of {promised} pictures a second, {loss:.1%} lost"
        marks.wrong(Trouble.SELF_CALL, detail, fails=False)
