"""The jitter buffer: packets in when they come, 20 ms of sound out whenever a clock asks.

It never blocks and always gives sound. Sound that is not there when it is due is recovered
from what came after it (RED, in-band FEC) or else concealed. The delay follows the line: a
burst's is played off a little faster than it was spoken, and a clock that runs differently
is followed in the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kioskd import rtp
from kioskd.hal.microphone import CHUNK_BYTES, CHUNK_SAMPLES, SAMPLE_RATE
from kioskd.sound import opus, stretch
from kioskd.sound.red import Block
from kioskd.sound.store import PacketStore, Waiting

SPEED: Final = 0.25
"""How much faster or slower speech goes at most: it stays easy to follow."""
MOST_SURPLUS_S: Final = 0.6
"""More than that is cut off: played off at SPEED it lasts 2.4 s."""
TICK_S: Final = CHUNK_SAMPLES / SAMPLE_RATE
SETTLED_S: Final = 0.005
"""More than a tick and that must be left over before a packet is taken earlier."""
_RECENT: Final = 15
"""Ticks, 0.3 s: what is surplus must have been so for that long."""
_PATIENT_S: Final = 0.05
"""Less than that in surplus can wait ten ticks for a better place to shorten."""
_FADE_FROM: Final = SAMPLE_RATE // 10
_FADE_TO: Final = SAMPLE_RATE * 2 // 5
"""A guess is heard for 0.1 s and gone after 0.4 s; the decoder's own would hum for a second."""
_RISE: Final = SAMPLE_RATE // 100
_STRETCHED: Final = max(stretch.NEEDED, CHUNK_SAMPLES + stretch.LONGEST)
"""Samples to choose a period from: without it a chunk must be left."""
_DTX_BYTES: Final = 2
"""The largest packet that only says that there is silence."""


@dataclass(slots=True)
class Played:
    """What was played, in samples."""

    total: int = 0
    concealed: int = 0
    """Guessed, since it was lost or late."""
    gaps: int = 0
    """Runs of such guesses."""
    comfort: int = 0
    """Silence that the far end did not send (DTX)."""
    recovered_fec: int = 0
    recovered_red: int = 0
    accelerated: int = 0
    """Taken out to lessen the delay."""
    expanded: int = 0
    """Put in to grow the delay."""
    discarded: int = 0
    """Left out at once, after a long burst."""


class Playout:
    """One remote voice. `now` and `at` are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.played = Played()
        self.delay_s = 0.0
        """How much later than the fastest packet's the sound was played at the last tick."""
        self._store = PacketStore()
        self._generation = 0
        self._decoder = opus.Decoder()
        self._sound: opus.Samples = np.zeros(0, np.int16)
        self._idle = 0
        self._silent = False
        self._guessed = 0
        self._resting = 0
        self._left = 0
        self._credit = 0.0
        self._reaches: deque[float] = deque(maxlen=_RECENT)
        self._levels: deque[float] = deque(maxlen=_RECENT)

    @property
    def store(self) -> PacketStore:
        """Where the packets wait, with what is known of their arrival."""
        return self._store

    @property
    def playing(self) -> bool:
        """Whether there has been sound to play."""
        return self._store.played_to is not None

    @property
    def last(self) -> tuple[int, int] | None:
        """The SSRC and RTP's timestamp of what the last chunk began with; None before any."""
        if self._store.source is None or not self.playing:
            return None
        start = self._next + self._idle - len(self._sound) - CHUNK_SAMPLES
        return self._store.source, start % rtp.TIMESTAMPS

    def put(self, source: int, timestamp: int, blocks: Sequence[Block], at: float) -> None:
        """Take a packet of RTP: its SSRC, its timestamp and its blocks of Opus, its own last."""
        self._store.put(source, timestamp, blocks, at)

    def pull(self, now: float) -> bytes:
        """Return the next CHUNK_BYTES of sound; silence before the first packet."""
        if self._generation != self._store.generation:
            self._begin_stream()
        self.played.total += CHUNK_SAMPLES
        if not self._started(now):
            return bytes(CHUNK_BYTES)
        self._look(now)
        self._skip()
        while len(self._sound) < CHUNK_SAMPLES:
            self._sound = np.concatenate((self._sound, self._decode()))
        self._stretch()
        out, self._sound = self._sound[:CHUNK_SAMPLES], self._sound[CHUNK_SAMPLES:]
        return out.tobytes()

    def _begin_stream(self) -> None:
        self._generation = self._store.generation
        self._decoder = opus.Decoder()
        self._sound = np.zeros(0, np.int16)
        self._idle, self._guessed, self._silent = 0, 0, False
        self._reaches.clear()
        self._levels.clear()

    def _started(self, now: float) -> bool:
        if self._store.played_to is not None:
            return True
        first, base = self._store.earliest(), self._store.estimator.base
        if first is None or base is None:
            return False
        if now - first.start / SAMPLE_RATE - base < self._store.estimator.target_s:
            return False
        self._store.played_to = first.start
        return True

    @property
    def _next(self) -> int:
        assert self._store.played_to is not None
        return self._store.played_to

    def _look(self, now: float) -> None:
        """Measure where the playing is."""
        coming = self._next + self._idle
        base = self._store.estimator.base
        assert base is not None
        reach = now - coming / SAMPLE_RATE - base
        self.delay_s = reach + len(self._sound) / SAMPLE_RATE
        # The next packet is decoded at the first tick that what is here does not fill.
        whole, self._left = divmod(len(self._sound), CHUNK_SAMPLES)
        self._reaches.append(reach + whole * TICK_S)
        head = self._next - len(self._sound)
        self._levels.append(max(0, self._store.end - head) / SAMPLE_RATE)

    def _surplus(self) -> float:
        """Seconds that could be done without: of delay, and of sound that is there."""
        return min(
            min(self._reaches) - self._store.estimator.target_s,
            min(self._levels) - 2 * CHUNK_SAMPLES / SAMPLE_RATE,
        )

    def _skip(self) -> None:
        """Cut off what is left of a long burst beyond what can be played off soon."""
        over = round((self._surplus() - MOST_SURPLUS_S) * SAMPLE_RATE)
        if over <= 0:
            return
        before = self._next
        self._store.played_to = before + over
        first = self._store.earliest()
        self._store.played_to = before + over if first is None else first.start
        self.played.discarded += self._next - before
        self._reaches.append(min(self._reaches) - (self._next - before) / SAMPLE_RATE)
        # The decoder goes on from a guess to what follows without a click.
        guess = self._decoder.conceal(CHUNK_SAMPLES // 2)
        self._sound = np.concatenate((self._sound, guess))
        self._idle = 0

    def _decode(self) -> opus.Samples:
        """Return some more sound, 2.5 to 120 ms, whatever there is."""
        first = self._store.earliest()
        if first is None:
            # Late or lost, nobody knows yet; if late, it will be played all the same.
            self._idle += CHUNK_SAMPLES
            return self._guess(CHUNK_SAMPLES)
        gap = first.start - self._next
        bridged = min(gap, self._idle)
        self._store.played_to = self._next + bridged
        self._idle = 0
        gap = (gap - bridged) // opus.STEP_SAMPLES * opus.STEP_SAMPLES
        if gap > 0:
            return self._bridge(first, gap)
        return self._play(first)

    def _bridge(self, following: Waiting, gap: int) -> opus.Samples:
        if gap <= following.samples and opus.has_recovery(following.payload):
            self._store.played_to = self._next + gap
            try:
                sound = self._decoder.recover(following.payload, gap)
            except ValueError:
                return self._guess(gap)
            self.played.recovered_fec += gap
            return self._rise(sound)
        step = min(gap, CHUNK_SAMPLES)
        if gap > following.samples:
            step = min(step, gap - following.samples)
        step = max(opus.STEP_SAMPLES, step)
        self._store.played_to = self._next + step
        return self._guess(step)

    def _play(self, waiting: Waiting) -> opus.Samples:
        self._store.take(waiting)
        self._store.played_to = waiting.end
        try:
            sound = self._decoder.decode(waiting.payload)
        except ValueError:
            self._store.arrivals.malformed += 1
            return self._guess(min(waiting.samples, CHUNK_SAMPLES))
        self._silent = len(waiting.payload) <= _DTX_BYTES
        if waiting.redundant:
            self.played.recovered_red += len(sound)
        return self._rise(sound)

    def _guess(self, samples: int) -> opus.Samples:
        if self._silent:
            self.played.comfort += samples
            return self._decoder.conceal(samples)
        self.played.concealed += samples
        self.played.gaps += self._guessed == 0
        before, self._guessed = self._guessed, self._guessed + samples
        if before >= _FADE_TO:
            return np.zeros(samples, np.int16)
        sound = self._decoder.conceal(samples)
        if self._guessed <= _FADE_FROM:
            return sound
        left = (_FADE_TO - before - np.arange(samples)) / (_FADE_TO - _FADE_FROM)
        return np.rint(sound * np.clip(left, 0.0, 1.0)).astype(np.int16)

    def _rise(self, sound: opus.Samples) -> opus.Samples:
        """Come back from a guess that had faded."""
        if self._guessed > _FADE_FROM:
            count = min(_RISE, len(sound))
            sound[:count] = np.rint(sound[:count] * (np.arange(count) / count))
        self._guessed = 0
        return sound

    def _stretch(self) -> None:
        """Take out or put in one period, where that is wanted and hardly heard.

        Packets are taken at ticks: less than a tick taken out of what is left over between
        them lessens the delay, and no packet is needed earlier for it.
        """
        self._credit = min(float(stretch.LONGEST), self._credit + SPEED * CHUNK_SAMPLES)
        self._resting = max(0, self._resting - 1)
        if len(self._reaches) < _RECENT or self._resting:
            return
        surplus = self._surplus()
        missing = self._store.estimator.target_s - max(self._reaches)
        room = self._left if surplus < TICK_S + SETTLED_S else stretch.LONGEST
        if missing <= 0 and (surplus <= 0 or room < stretch.SHORTEST):
            return
        while len(self._sound) < _STRETCHED:
            first = self._store.earliest()
            if first is None or first.start != self._next:
                return
            self._sound = np.concatenate((self._sound, self._play(first)))
        self._stretch_by(stretch.find_period(self._sound), missing, surplus, room)

    def _stretch_by(
        self, period: stretch.Period, missing: float, surplus: float, room: int
    ) -> None:
        # The more there is to get rid of, the less choosy.
        alike = 0.6 if missing > 0 else max(0.3, 0.85 - 2 * surplus)
        if period.likeness < alike or (missing <= 0 and period.samples > room):
            self._resting = 0 if surplus > _PATIENT_S else 10
            return
        if period.samples > self._credit and not period.quiet:
            return
        if missing > 0:
            self._sound = stretch.lengthen(self._sound, period.samples)
            self.played.expanded += period.samples
        else:
            self._sound = stretch.shorten(self._sound, period.samples)
            self.played.accelerated += period.samples
        self._credit = max(0.0, self._credit - period.samples)
