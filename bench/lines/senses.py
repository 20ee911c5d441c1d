"""A perfect microphone, camera, speaker and screen for the kiosk's end of a call.

They stand where kioskd's devices stand, keep their time to the clock, and write down what goes
through them. Times written down are of the wall clock, the only one that a browser shares.
"""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from bench.lines import clip
from bench.lines.card import play
from bench.lines.recording import Concealment, Recording, Shown
from bench.lines.speech import speech
from drivers.camera.picture import Plane, draw, read
from kioskd.hal.camera import Frame
from kioskd.hal.microphone import CHUNK_SAMPLES, SAMPLE_RATE, AudioChunk

CHUNK_S: Final = CHUNK_SAMPLES / SAMPLE_RATE
PATIENCE_S: Final = 0.2
MS: Final = 1000
WRAP: Final = 1 << 32


class Senses:
    """What one kiosk says and shows, and what it hears and sees."""

    def __init__(self, pictures: Path) -> None:
        self._speech = np.tile(speech(), 2)  # a chunk may begin at its very end
        self._round = len(speech())
        self._pictures = clip.load(pictures)
        self._wall = time.time() - time.monotonic()
        self._begun: float | None = None
        self._chunks = 0
        self._number = -1
        self._painted: dict[int, int] = {}
        self._heard: list[tuple[float, bytes]] = []
        self._decoder: VideoCodecContext | None = None
        self._shown: list[Shown] = []

    async def chunk(self) -> AudioChunk:
        """Say the next 20 ms, once they have passed (`Microphone.chunk`).

        Who asks late loses the oldest, as the contract says: what waited would come in a burst.
        """
        begun = self._begin()
        late = time.monotonic() - begun - (self._chunks + 1) * CHUNK_S
        self._chunks += 1 + max(0, math.ceil((late - PATIENCE_S) / CHUNK_S))
        at = begun + self._chunks * CHUNK_S
        await asyncio.sleep(at - time.monotonic())
        first = (self._chunks - 1) * CHUNK_SAMPLES % self._round
        return AudioChunk(self._speech[first : first + CHUNK_SAMPLES].tobytes(), at)

    async def frame(self) -> Frame:
        """Take the newest picture that was not taken yet (`Camera.frame`)."""
        begun = self._begin()
        newest = int((time.monotonic() - begun) * clip.FPS)
        self._number = max(self._number + 1, newest)
        at = begun + self._number / clip.FPS
        await asyncio.sleep(at - time.monotonic())
        picture = self._pictures[clip.place(self._number)]
        painted = round((at + self._wall) * MS)
        draw(picture[: clip.HEIGHT], self._number, painted)
        self._painted[self._number] = painted % WRAP
        return Frame(clip.WIDTH, clip.HEIGHT, picture.tobytes(), self._number, at)

    async def play(self, pcm: bytes) -> None:
        """Hear 20 ms (`Speaker.play`)."""
        self._heard.append((self._now(), pcm))

    def show_encoded(self, data: bytes, key: bool) -> bool:
        """See a VP8 frame, as the screen page does; tell whether the decoder could go on.

        It cannot begin but with a key frame, nor go on after what it could not decode.
        """
        at = self._now()
        if self._decoder is None:
            if not key:
                return False
            self._decoder = _decoder()
        try:
            frames = self._decoder.decode(av.Packet(data))
        except av.error.FFmpegError:
            self._decoder = None
            return False
        self._shown += [_seen(at, frame) for frame in frames]
        return True

    def show(self, frame: av.VideoFrame) -> None:
        """See a decoded picture."""
        self._shown.append(_seen(self._now(), frame))

    def recording(self, concealment: list[Concealment]) -> Recording:
        """Return what was written down."""
        heard = play(self._heard)
        return Recording(
            said_from=self._begin() + self._wall,
            heard_from=heard.begin,
            heard=heard.samples,
            real=heard.real,
            shown=self._shown,
            painted=self._painted,
            concealment=concealment,
            notes={
                "chunks_dropped_by_the_card": heard.dropped,
                "clock_moved_ms": (time.time() - time.monotonic() - self._wall) * MS,
            },
        )

    def _begin(self) -> float:
        if self._begun is None:
            self._begun = time.monotonic()
        return self._begun

    def _now(self) -> float:
        return time.monotonic() + self._wall


def _decoder() -> VideoCodecContext:
    decoder = av.CodecContext.create("vp8", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1  # with more it holds pictures back, which then get others' times
    return decoder


def _seen(at: float, frame: av.VideoFrame) -> Shown:
    plane = frame.planes[0]
    luma: Plane = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    number, painted = read(luma[: frame.height, : frame.width])
    return Shown(at, number, painted, frame.width, frame.height)
