"""How much the far end may send while a queue of its making stands before us. Pure.

A browser that finds its queue goes back to 85 % of what the line carries (libwebrtc's AIMD), so
that what has gathered after a drop is heard as delay for many seconds. We see the same queue by
the speech, whose packets are 20 ms apart by their timestamps, and have it emptied first.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Final

from kioskd import rtp
from kioskd.rate.queue import STANDING_S, Movement, Queue
from kioskd.rate.sent import Report

LONG_S: Final = 0.1
"""A queue that is heard, and more than what a browser fills and empties by itself."""
STANDS_S: Final = 0.04
"""After a way that was closed for a moment all that waited comes at once, and nothing stands."""
FELL: Final = 0.6
"""A packet that is LONG_S late while so little of what came in BEFORE_S still comes: the line got
narrow, which is not waited for. Without that it is the far end that sent much at once."""
BEFORE_S: Final = 1.0
GAP: Final = 0.5
"""A way that is closed for a moment shows as a gap as long as the next packet is late; in a queue
packets come all the time, and its gaps are less than half of that."""
SHORT_S: Final = 0.03
"""It is left alone again from then on."""
SHARE: Final = 0.3
"""Of what the line carries: a queue of 0.7 s is gone after a second, and speech goes on."""
LEAST_BPS: Final = 60_000
"""Speech said twice, and its headers; a browser sends that anyway."""
MOVED_S: Final = 0.02
LITTLE: Final = 1.5
"""Times LEAST_BPS. A queue gives what the line carries: when less comes, the far end sends less."""
LONGEST_S: Final = 10.0
"""Nothing that is held back for longer gets better by it: the far end may not heed it."""
MOST_ARRIVALS: Final = 256
"""Packets that are looked back upon: a second of a large picture's."""
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
        self._bytes = 0
        self._arrivals: deque[tuple[float, int]] = deque(maxlen=MOST_ARRIVALS)
        self._movement = Movement(MOVED_S)
        self._begun_at = self._heard_at = float("-inf")

    def count(self, size: int, now: float) -> None:
        """Take any packet: its bytes, headers included. To be called before `hear`."""
        self._bytes += size
        self._arrivals.append((now, self._bytes))

    def hear(self, source: int, timestamp: int, now: float) -> None:
        """Take a packet of speech that was counted: its SSRC and RTP's timestamp."""
        if source != self._source:
            self._source, self._newest, self._queue = source, timestamp, Queue()
            self.limit_bps = self._long_since = None
        said = rtp.unwrapped(timestamp, self._newest, rtp.TIMESTAMPS)
        if said < self._newest:
            return  # overtaken: it tells of a way that is longer, not of a queue
        self._newest, self._heard_at = said, now
        self._queue.hear([Report(said / CLOCK, now, 0, self._bytes)])
        standing = self._queue.standing_s
        if self.limit_bps is None:
            self._look(standing, now)
        elif standing < SHORT_S and now - self._begun_at > STANDING_S:
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
        stands = self._long_since is not None and now - self._long_since >= STANDS_S
        if stands or self._got_narrow(now):
            self._long_since, self._begun_at = None, now
            self._movement.begin(standing, now)
            self._limit()

    def _got_narrow(self, now: float) -> bool:
        """Tell whether the last packet waited behind others that came all the while, but fewer."""
        late = self._queue.latest_s
        if late <= LONG_S:
            return False
        recent = [one for one in self._arrivals if one[0] >= now - late]
        before = [one for one in self._arrivals if 0 < now - late - one[0] <= BEFORE_S]
        if len(before) < 2:
            return False
        # Speech need not be counted: not every browser numbers it.
        ones = itertools.pairwise([before[-1], *recent, (now, self._bytes)])
        carried = (self._bytes - before[-1][1]) / late
        usual = (before[-1][1] - before[0][1]) / BEFORE_S
        return max(later[0] - one[0] for one, later in ones) < GAP * late and carried < FELL * usual

    def _hold(self, standing: float, now: float) -> None:
        carried = self._queue.carried_bps or 0.0
        stuck = self._movement.stuck(standing, now)
        if (stuck and carried <= LITTLE * LEAST_BPS) or now - self._begun_at > LONGEST_S:
            self._queue.take_as_empty()
            self.limit_bps = None
        else:
            self._limit()

    def _limit(self) -> None:
        carried = self._queue.carried_bps
        self.limit_bps = LEAST_BPS if carried is None else max(LEAST_BPS, SHARE * carried)
