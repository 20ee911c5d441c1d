"""A sound card by calculation: what a listener hears of chunks that come when they come.

It is the contract of kioskd/hal/speaker.py: at most 200 ms wait, the oldest is dropped. It
starts LATENCY_S after a chunk has found it idle, and falls silent when nothing waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.lines.speech import RATE, Samples

Flags: TypeAlias = NDArray[np.bool_]

CHUNK: Final = 960
CHUNK_S: Final = CHUNK / RATE
LATENCY_S: Final = 0.02
"""What PipeWire is asked for by the speaker's driver."""
WAITING: Final = 10


@dataclass(frozen=True, slots=True)
class Heard:
    """Sound as heard: sample n at `begin` + n / RATE. `real` tells what was not mere silence
    of a card without work; `dropped` counts the chunks that found too many before them.
    """

    begin: float
    samples: Samples
    real: Flags
    dropped: int


def missing(real: Flags, begin: float, start: float, end: float) -> float:
    """Return the share of the time from `start` to `end` with nothing to play, 0 to 1.

    `real` has a flag for each sample from `begin` on; times in seconds.
    """
    first, last = (round((at - begin) * RATE) for at in (start, end))
    return 1 - float(real[max(0, first) : max(0, last)].sum()) / (last - first)


def play(chunks: Iterable[tuple[float, bytes]]) -> Heard:
    """Play chunks of 20 ms (mono, S16LE, 48 kHz), each with its time in seconds."""
    waiting: deque[bytes] = deque()
    played: list[tuple[float, bytes]] = []
    clock, dropped = float("-inf"), 0

    def advance(now: float) -> None:
        nonlocal clock
        while waiting and clock <= now:
            played.append((clock, waiting.popleft()))
            clock += CHUNK_S

    for at, pcm in chunks:
        advance(at)
        if not waiting and clock <= at:
            clock = at + LATENCY_S
        waiting.append(pcm)
        if len(waiting) > WAITING:
            waiting.popleft()
            dropped += 1
    advance(float("inf"))
    return _laid_out(played, dropped)


def _laid_out(played: list[tuple[float, bytes]], dropped: int) -> Heard:
    if not played:
        return Heard(0.0, np.zeros(0, np.int16), np.zeros(0, np.bool_), dropped)
    begin = played[0][0]
    length = round((played[-1][0] - begin) * RATE) + CHUNK
    samples, real = np.zeros(length, np.int16), np.zeros(length, np.bool_)
    for at, pcm in played:
        place = round((at - begin) * RATE)
        samples[place : place + CHUNK] = np.frombuffer(pcm, "<i2")
        real[place : place + CHUNK] = True
    return Heard(begin, samples, real, dropped)
