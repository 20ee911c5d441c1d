"""The same picture and the same speech for every end: raw for a kiosk's, as files for Chromium."""

from __future__ import annotations

import asyncio
import math
import time
import wave
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np

from bench.lines import clip
from bench.lines.senses import CHUNK_S, PATIENCE_S, Senses
from bench.lines.speech import RATE, speech
from kioskd.hal.camera import Frame
from kioskd.hal.microphone import CHUNK_BYTES, AudioChunk

SIZES: Final = {"640x480": (640, 480), "1280x720": (1280, 720)}


def make(folder: Path, width: int, height: int) -> None:
    """Write `pictures` (I420, forth and back), `speech` (s16), `camera.y4m` and `mic.wav`."""
    raw = folder / "clip"
    if not raw.exists():
        clip.make(raw)
    clips = [_fitted(one.tobytes(), width, height) for one in clip.load(raw)]
    pictures = clips + clips[::-1]
    (folder / "pictures").write_bytes(b"".join(pictures))
    (folder / "speech").write_bytes(speech().tobytes())
    with (folder / "camera.y4m").open("wb") as target:
        target.write(f"YUV4MPEG2 W{width} H{height} F{clip.FPS}:1 Ip A1:1 C420jpeg\n".encode())
        target.writelines(b"FRAME\n" + one for one in pictures)
    with wave.open(str(folder / "mic.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(speech().tobytes())


def _fitted(picture: bytes, width: int, height: int) -> bytes:
    planes, data = [], np.frombuffer(picture, np.uint8)
    for share in (1, 2, 2):
        across, down = clip.WIDTH // share, clip.HEIGHT // share
        plane, data = data[: across * down].reshape(down, across), data[across * down :]
        planes.append(cv2.resize(plane, (width // share, height // share)).tobytes())
    return b"".join(planes)


class Source(Senses):
    """Gives pictures and speech that lie ready, and throws away what it gets.

    Nothing is written down and nothing drawn, which would be CPU of the bench's own.
    """

    def __init__(self, folder: Path, width: int, height: int, *, decodes: bool) -> None:
        self._width, self._height = width, height
        data, size = (folder / "pictures").read_bytes(), width * height * 3 // 2
        self._ready = [data[at : at + size] for at in range(0, len(data), size)]
        sound = (folder / "speech").read_bytes()
        self._said = [
            sound[at : at + CHUNK_BYTES]
            for at in range(0, len(sound) - CHUNK_BYTES + 1, CHUNK_BYTES)
        ]
        self._decodes = decodes
        self._start: float | None = None
        self._count, self._taken = -1, 0
        self._vp8 = av.CodecContext.create("vp8", "r")
        self._vp8.thread_count = 1
        self._whole = False

    async def chunk(self) -> AudioChunk:
        """Say the next 20 ms, once they have passed."""
        begun = self._from()
        late = time.monotonic() - begun - (self._taken + 1) * CHUNK_S
        self._taken += 1 + max(0, math.ceil((late - PATIENCE_S) / CHUNK_S))
        at = begun + self._taken * CHUNK_S
        await asyncio.sleep(at - time.monotonic())
        return AudioChunk(self._said[self._taken % len(self._said)], at)

    async def frame(self) -> Frame:
        """Take the newest picture that was not taken yet."""
        begun = self._from()
        self._count = max(self._count + 1, int((time.monotonic() - begun) * clip.FPS))
        at = begun + self._count / clip.FPS
        await asyncio.sleep(at - time.monotonic())
        picture = self._ready[self._count % len(self._ready)]
        return Frame(self._width, self._height, picture, self._count, at)

    async def play(self, pcm: bytes) -> None:
        """Hear nothing."""

    def show_encoded(self, data: bytes, key: bool) -> bool:
        """Decode the picture, where this end is to."""
        self._whole = self._whole or key
        if self._decodes and self._whole:
            self._vp8.decode(av.Packet(data))
        return self._whole

    def show(self, frame: av.VideoFrame) -> None:
        """See nothing."""

    def _from(self) -> float:
        if self._start is None:
            self._start = time.monotonic()
        return self._start
