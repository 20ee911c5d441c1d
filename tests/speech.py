"""A voice made of sums: pitch that glides, vowels, hisses, pauses. And a line with a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kioskd.hal.microphone import CHUNK_BYTES, CHUNK_SAMPLES, SAMPLE_RATE
from kioskd.sound.opus import Encoder
from kioskd.sound.playout import Playout
from kioskd.sound.red import Block

_VOWELS: Final = ((700, 1200, 2500), (300, 2200, 3000), (400, 800, 2400), (500, 1700, 2500))


@cache
def voice(seconds: float, seed: int = 1, pauses: bool = True) -> NDArray[np.int16]:
    """Return so much of something like speech, mono, 48 kHz, peaks at -6 dBFS."""
    rng = np.random.default_rng(seed)
    count = int(seconds * SAMPLE_RATE)
    out = np.zeros(count)
    at = 0
    while at < count:
        length = int(rng.uniform(0.12, 0.3) * SAMPLE_RATE)
        kind = rng.random()
        if kind < 0.75 or not pauses:
            part = _vowel(rng, length)
        elif kind < 0.87:
            part = 0.1 * rng.standard_normal(length) * np.hanning(length)
        else:
            part = np.zeros(length)
        out[at : at + length] = part[: count - at]
        at += length
    scaled: NDArray[np.int16] = np.rint(16_384 * out / np.abs(out).max()).astype(np.int16)
    return scaled


def _vowel(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    start, end = rng.uniform(90, 220, 2)
    pitch = np.linspace(start, end, length)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    formants = _VOWELS[rng.integers(len(_VOWELS))]
    out = np.zeros(length)
    for harmonic in range(1, 40):
        frequency = harmonic * float(pitch.mean())
        gain = sum(1 / (1 + ((frequency - f) / 120) ** 2) for f in formants) / harmonic**0.3
        out += gain * np.sin(harmonic * phase)
    ramp = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / 480)
    return out * ramp


@cache
def packets(
    seconds: float, *, loss: int = 20, dtx: bool = False, pauses: bool = True, samples: int = 960
) -> tuple[bytes, ...]:
    """Encode the voice."""
    encoder = Encoder(32_000)
    encoder.set_loss(loss)
    encoder.set_dtx(dtx)
    pcm = voice(seconds, pauses=pauses).tobytes()
    size = 2 * samples
    return tuple(encoder.encode(pcm[i : i + size]) for i in range(0, len(pcm) - size + 1, size))


@dataclass(frozen=True)
class Sent:
    """A packet on its way: what it carries, and when it leaves, in seconds."""

    number: int
    timestamp: int
    blocks: tuple[Block, ...]
    at: float


def stream(
    bank: tuple[bytes, ...], seconds: float, *, first: int = 0, ppm: float = 0, red: int = 0
) -> Iterator[Sent]:
    """Send the bank over and over, by a clock that is `ppm` too fast, `red` blocks deep."""
    for number in range(int(seconds * 50)):
        old = [
            Block(111, 960 * back, bank[(number - back) % len(bank)])
            for back in range(min(red, number), 0, -1)
        ]
        yield Sent(
            number,
            (first + number * CHUNK_SAMPLES) % (1 << 32),
            (*old, Block(111, 0, bank[number % len(bank)])),
            (number + 1) * 0.02 / (1 + ppm / 1e6),
        )


def random_loss(share: float, seed: int = 1) -> Callable[[Sent], float | None]:
    """Lose each packet for itself; the others take no time."""
    rng = random.Random(seed)
    return lambda _: None if rng.random() < share else 0.0


def burst_loss(share: float, length: float = 2.5, seed: int = 1) -> Callable[[Sent], float | None]:
    """Lose runs of `length` packets in the mean (Gilbert's model)."""
    rng = random.Random(seed)
    bad = False

    def carry(_: Sent) -> float | None:
        nonlocal bad
        bad = rng.random() < (1 - 1 / length if bad else share / (length * (1 - share)))
        return None if bad else 0.0

    return carry


def jitter(most: float, seed: int = 1) -> Callable[[Sent], float | None]:
    """Delay each packet by 0 to `most` seconds, evenly; they may overtake each other."""
    rng = random.Random(seed)
    return lambda _: rng.uniform(0, most)


def held(start: float, seconds: float) -> Callable[[Sent], float | None]:
    """Hold what is sent for some seconds from `start` on; it comes all at once."""
    return lambda sent: max(0.0, start + seconds - sent.at) if sent.at >= start else 0.0


def run(
    sent: Iterator[Sent],
    carry: Callable[[Sent], float | None],
    seconds: float,
    *,
    playout: Playout | None = None,
    on_tick: Callable[[float, bytes, Playout], None] = lambda *_: None,
) -> Playout:
    """Carry a stream to a playout that is asked every 20 ms, in simulated time."""
    playout = Playout() if playout is None else playout
    arriving = [(s.at + late, s.number, s) for s in sent if (late := carry(s)) is not None]
    arriving.sort()
    index = 0
    for tick in range(int(seconds * 50)):
        now = 0.013 + tick * 0.02
        while index < len(arriving) and arriving[index][0] <= now:
            at, _, packet = arriving[index]
            playout.put(7, packet.timestamp, packet.blocks, at)
            index += 1
        chunk = playout.pull(now)
        assert len(chunk) == CHUNK_BYTES
        on_tick(now, chunk, playout)
    return playout
