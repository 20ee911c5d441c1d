"""How much the far end may send while a queue of its making stands before us. Pure.

A browser that finds its queue goes back to 85 % of what the line carries (libwebrtc's AIMD), so
that what has gathered after a drop is heard as delay for many seconds. We see the same queue by
the speech, whose packets are 20 ms apart by their timestamps, and have it emptied first.
"""

from __future__ import annotations

from typing import Final

from kioskd import rtp
from kioskd.rate.queue import Queue
from kioskd.rate.sent import Report

LONG_S: Final = 0.1
"""A queue that is heard, and more than what a browser fills and empties by itself."""
STANDS_S: Final = 0.04
"""After a way that was closed for a moment all that waited comes at once, and nothing stands."""
SHORT_S: Final = 0.03
"""It is left alone again from then on."""
SHARE: Final = 0.3
"""Of what the line carries: a queue of 0.7 s is gone after a second, and speech goes on."""
LEAST_BPS: Final = 60_000
"""Speech said twice, and its headers; a browser sends that anyway."""
STUCK_S: Final = 1.0
"""A queue that has not changed by MOVED_S for so long, though little comes, is none."""
MOVED_S: Final = 0.02
LITTLE: Final = 1.5
"""Times LEAST_BPS. A queue gives what the line carries: when less comes, the far end sends less."""
LONGEST_S: Final = 10.0
"""Nothing that is held back for longer gets better by it: the far end may not heed it."""
UNHEARD_S: Final = 1.0
"""A voice that has stopped for so long tells of no queue any more."""
CLOCK: Final = 48_000
"""Ticks of speech per second (RFC 7587, section 4.1)."""


class Brake:
    """`limit_bps` is what the far end may send, headers included; None: what it likes.

    Times are seconds of a steady clock.
    """

    def __init__(self) -> None:
        self.limit_bps: float | None = None
        self._queue = Queue()
        self._source: int | None = None
        self._newest = 0
        self._long_since: float | None = None
        self._last_s = 0.0
        self._moved_at = self._begun_at = self._heard_at = float("-inf")

    def hear(self, source: int, timestamp: int, total: int, now: float) -> None:
        """Take a packet of speech: its SSRC and RTP's timestamp, and the bytes of all that came.

        `total` counts this packet and those of pictures, headers included.
        """
        if source != self._source:
            self._source, self._newest, self._queue = source, timestamp, Queue()
            self.limit_bps = self._long_since = None
        said = rtp.unwrapped(timestamp, self._newest, rtp.TIMESTAMPS)
        if said < self._newest:
            return  # overtaken: it tells of a way that is longer, not of a queue
        self._newest, self._heard_at = said, now
        self._queue.hear([Report(said / CLOCK, now, 0, total)])
        standing = self._queue.standing_s
        if self.limit_bps is None:
            self._look(standing, now)
        elif standing < SHORT_S:
            self.limit_bps = None
        else:
            self._hold(standing, now)

    def tick(self, now: float) -> None:
        """Hold nothing back that nobody tells of; to be called some times a second."""
        if now - self._heard_at > UNHEARD_S:
            self.limit_bps = self._long_since = None

    def _look(self, standing: float, now: float) -> None:
        if standing <= LONG_S:
            self._long_since = None
        elif self._long_since is None:
            self._long_since = now
        elif now - self._long_since >= STANDS_S:
            self._long_since, self._last_s = None, standing
            self._moved_at = self._begun_at = now
            self._limit()

    def _hold(self, standing: float, now: float) -> None:
        if abs(standing - self._last_s) > MOVED_S:
            self._last_s, self._moved_at = standing, now
        carried = self._queue.carried_bps or 0.0
        stuck = now - self._moved_at > STUCK_S and carried <= LITTLE * LEAST_BPS
        if stuck or now - self._begun_at > LONGEST_S:
            self._queue.take_as_empty()
            self.limit_bps = None
        else:
            self._limit()

    def _limit(self) -> None:
        carried = self._queue.carried_bps
        self.limit_bps = LEAST_BPS if carried is None else max(LEAST_BPS, SHARE * carried)
