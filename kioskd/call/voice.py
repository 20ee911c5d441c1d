"""The agent's voice, from the line to the speaker, by the speaker's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket

from kioskd.call.description import RED_TYPE
from kioskd.call.media import CHUNK_S, Outage
from kioskd.call.statistics import SoundStats
from kioskd.hal.microphone import CHUNK_BYTES
from kioskd.picture.lipsync import LipSync
from kioskd.sound import red
from kioskd.sound.playout import Playout

log = structlog.get_logger(__name__)

SPEAKER_PATIENCE_S: Final = 0.2
SPEAKER_RETRY_S: Final = 1.0
STALL_S: Final = 0.1
"""A clock that is later than that goes on from now: the speaker has long run out. Where nothing
waits at it, it has sooner, and what came at once afterwards would wait there for good."""
PACE_TICKS: Final = 50
PACE_S: Final = 0.005
"""Each second the clock may move so much: up to 0.5 % of difference is followed."""
BACKLOG_LEAST_S: Final = 0.005
BACKLOG_MOST_S: Final = 0.03
"""What the speaker should have before it, at the least moment of a second."""


class Pace:
    """When the next 20 ms are due, so that the speaker neither runs out nor falls behind."""

    def __init__(self) -> None:
        self._backlogs: list[float] = []

    def step(self, backlog: float | None) -> float:
        """Return the seconds to the next tick; `backlog`, if known, waits at the speaker."""
        if backlog is None:
            return CHUNK_S
        self._backlogs.append(backlog)
        if len(self._backlogs) < PACE_TICKS:
            return CHUNK_S
        least = min(self._backlogs)
        self._backlogs.clear()
        if least > BACKLOG_MOST_S:
            return CHUNK_S + PACE_S
        return CHUNK_S - PACE_S if least < BACKLOG_LEAST_S else CHUNK_S


class Voice:
    """One remote voice. Its packets may come from any number of sources, one after another.

    `lips` is told what is heard when.
    """

    def __init__(self, lips: LipSync) -> None:
        self._lips = lips
        self._playout = Playout()
        self._outage = Outage("speaker")
        self._retry_at = float("-inf")

    def take(self, packet: RtpPacket) -> None:
        """Take a packet that has just come, of Opus or of RED with Opus."""
        if not packet.payload:
            return
        if packet.payload_type == RED_TYPE:
            try:
                blocks = red.unpack(packet.payload)
            except ValueError:
                self._playout.store.arrivals.malformed += 1
                return
        else:
            blocks = [red.Block(packet.payload_type, 0, packet.payload)]
        now = asyncio.get_running_loop().time()
        self._playout.put(packet.ssrc, packet.timestamp, blocks, now)

    def queue_gone(self) -> None:
        """Wait no longer for what is as late as it was in a queue that is gone."""
        self._playout.store.estimator.forget()

    def stats(self) -> SoundStats:
        """Return the totals since the beginning."""
        return SoundStats.of(self._playout)

    async def play(
        self,
        track: MediaStreamTrack,
        speaker_play: Callable[[bytes], Awaitable[None]],
        backlog: Callable[[], float | None],
    ) -> None:
        """Hand on 20 ms (CHUNK_BYTES) at a time from the first packet until the track ends.

        A speaker that fails is tried again after SPEAKER_RETRY_S; the sound goes on meanwhile.
        `backlog` tells the seconds that wait at the speaker, None if nobody knows.
        """
        clock = asyncio.create_task(self._tick(speaker_play, backlog), name="voice clock")
        try:
            while True:
                await track.recv()
        except MediaStreamError:
            pass
        finally:
            clock.cancel()
            await asyncio.gather(clock, return_exceptions=True)

    async def _tick(
        self,
        speaker_play: Callable[[bytes], Awaitable[None]],
        backlog: Callable[[], float | None],
    ) -> None:
        loop = asyncio.get_running_loop()
        pace = Pace()
        due = loop.time()
        while True:
            chunk = self._pull(loop.time())
            waiting = backlog() if self._playout.playing else None
            if (last := self._playout.last) is not None:
                self._lips.heard(*last, loop.time() + (waiting or 0.0))
                await self._hand_on(chunk, speaker_play)
            due += pace.step(waiting)
            due = max(due, loop.time() - (STALL_S if waiting else CHUNK_S))
            await asyncio.sleep(due - loop.time())

    def _pull(self, now: float) -> bytes:
        try:
            return self._playout.pull(now)
        except Exception:
            log.exception("sound.playing_failed")
            self._playout = Playout()  # what was wrong with the old one must not end the talk
            return bytes(CHUNK_BYTES)

    async def _hand_on(
        self, chunk: bytes, speaker_play: Callable[[bytes], Awaitable[None]]
    ) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._retry_at:
            return
        try:
            async with asyncio.timeout(SPEAKER_PATIENCE_S):
                await speaker_play(chunk)
        except Exception as error:  # noqa: BLE001  # whatever it is, the sound goes on
            self._outage.note(error)
            self._retry_at = loop.time() + SPEAKER_RETRY_S
        else:
            self._outage.note(None)
