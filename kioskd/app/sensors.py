"""Camera and microphone during a call: open only while the visit says so."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import cv2
import numpy as np

from kioskd.app.devices import Devices
from kioskd.app.levels import SilenceWatch
from kioskd.errors import DeviceError, Reason
from kioskd.hal.camera import Coded, Frame
from kioskd.hal.microphone import AudioChunk
from kioskd.runtime.queues import DropOldest, Latest
from kioskd.vision.judge import PictureJudge, Reopenings

RETRY_S: Final = 1.0
OWN_PICTURE_EVERY: Final = 3
"""One of three frames is shown to the resident: enough to see oneself."""
OWN_PICTURE_WIDTH: Final = 320
MOST_CODED: Final = 64
"""Pictures of the camera's own coding kept for a track that is busy: two seconds."""


class Sensors:
    """Feeds `frame` and `chunk`, the sources of the call's tracks, while `run` runs.

    `on_own_picture` gets a small JPEG of the resident's own picture, `on_own_sound` each
    20 ms of the microphone's, None while it is `muted`.
    """

    def __init__(
        self,
        devices: Devices,
        on_own_picture: Callable[[bytes], None],
        on_own_sound: Callable[[bytes | None], None],
    ) -> None:
        self.open = False
        self.muted = False
        self.watched = True
        """False while the resident has switched the picture off: nothing is judged then."""
        self._reopenings = Reopenings()
        self._devices = devices
        self._on_own_picture = on_own_picture
        self._on_own_sound = on_own_sound
        self._frames: Latest[Frame] = Latest()
        self._coded: deque[Coded] = deque(maxlen=MOST_CODED)
        self._chunks: DropOldest[AudioChunk] = DropOldest(10)

    async def frame(self) -> Frame:
        """Return the newest picture, waiting for one; the track bounds the wait."""
        frame = await self._frames.get()
        coded, self._coded = tuple(self._coded), deque(maxlen=MOST_CODED)
        return dataclasses.replace(frame, coded=coded) if coded else frame

    async def chunk(self) -> AudioChunk:
        """Return the next 20 ms of sound, waiting for it; the track bounds the wait."""
        return await self._chunks.get()

    async def run(self) -> None:
        """Keep camera and microphone open until cancelled, then close both."""
        self.open = True
        self._reopenings = Reopenings()
        self._forget()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_retry(self._film), name="sensors camera")
                group.create_task(_retry(self._listen), name="sensors microphone")
        finally:
            self.open = False
            self._forget()

    def _forget(self) -> None:
        """Keep nothing of one visit for the next one's agent."""
        for one in (self._frames, self._coded, self._chunks):
            one.clear()

    async def _film(self) -> None:
        async with self._devices.camera.lease() as camera:
            count = 0
            judge = PictureJudge(camera.format.fps)
            while True:
                frame = await camera.frame()
                judge = self._judge(frame, judge, camera.format.fps)
                if judge.verdict is Reason.FROZEN:
                    continue  # the track turns grey: an old picture is not shown as the present
                self._coded.extend(frame.coded)
                self._frames.put(frame)
                if count % OWN_PICTURE_EVERY == 0:
                    self._on_own_picture(_small_jpeg(frame))
                count += 1

    def _judge(self, frame: Frame, judge: PictureJudge, fps: int) -> PictureJudge:
        """Tell what the pictures show. Raises DeviceError where opening again may help."""
        before = judge.verdict
        if not self.watched:
            if before is not None:
                self._devices.camera.observe(None)
            return PictureJudge(fps)
        verdict = judge.see(frame)
        if verdict is not before:
            self._devices.camera.observe(verdict)
        if verdict is not None and self._reopenings.due(verdict, frame.captured_at):
            raise DeviceError(verdict, "it is opened again")
        return judge

    async def _listen(self) -> None:
        silence = SilenceWatch(self._devices.microphone.observe)
        async with self._devices.microphone.lease() as microphone:
            while True:
                chunk = await microphone.chunk()
                self._chunks.put(chunk)
                heard = None if self.muted else chunk.pcm
                silence.hear(heard, chunk.captured_at)
                self._on_own_sound(heard)


async def _retry(use: Callable[[], Awaitable[None]]) -> None:
    """Use a device until cancelled; the supervisor tells of its troubles."""
    while True:
        try:
            await use()
        except DeviceError:
            await asyncio.sleep(RETRY_S)


def _small_jpeg(frame: Frame) -> bytes:
    planes = np.frombuffer(frame.i420, np.uint8).reshape(frame.height * 3 // 2, frame.width)
    picture = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)
    height = OWN_PICTURE_WIDTH * frame.height // frame.width
    small = cv2.resize(picture, (OWN_PICTURE_WIDTH, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()
