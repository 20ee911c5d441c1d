"""How much may be sent. Pure: times in seconds, of any steady clock.

The line is taken to be full when a queue stands in it, or when much is lost at once; then what it
has carried is what it can. Little and even loss is a property of the line and slows nobody down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kioskd.rate.known import START_BPS
from kioskd.rate.queue import Movement, Queue
from kioskd.rate.sent import Report
from kioskd.rate.silence import AGAIN, Silence

LEAST_BPS: Final = 30_000
"""Speech at its least, and a little."""
MOST_BPS: Final = 20e6
FULL_S: Final = 0.03
"""A standing queue of so long is ours: the line is full."""
EMPTY_S: Final = 0.017
LONG_S: Final = 0.12
"""A queue of so long is heard for ten seconds after it is gone."""
DRAIN_S: Final = 0.25
"""A queue of so many seconds would stop all but LEAST_SHARE of what the line carries."""
LEAST_SHARE: Final = 0.15
USED: Final = 0.9
"""Of what the line carries so much is used once the queue is gone."""
FAST: Final = 0.45
"""A second, the rate grows by so much where the line's capacity is unknown or far."""
SLOW: Final = 0.02
DOUBLES_S: Final = 3.0
"""Near the capacity it grows slowly at first, and faster the longer no queue is seen."""
NEAR: Final = 0.85
SAME: Final = 0.15
"""A capacity that differs from the one before by a smaller share is the same."""
HOLD_S: Final = 3.0
MOST_HOLD_S: Final = 9.0
"""Each time that the capacity is met again it is tried that much later: each trial is a queue,
which a jitter buffer remembers for ten seconds and more."""
OPENED: Final = 1.5
"""What stood in a queue came so many times as fast at its end: the line was narrow for a moment."""
FORGOTTEN_S: Final = 30.0
"""A capacity not met again for so long may have changed."""
AHEAD: Final = 1.4
AHEAD_BPS: Final = 40_000
"""The rate does not grow beyond what is sent by more: it would be a guess."""
ASSUMED_BPS: Final = 300_000
"""So much is guessed: who sits still sends little, and is to be heard well all the same, with each
packet of speech twice where some are lost."""
LOSSY: Final = 0.1
"""Much loss: what libwebrtc's loss controller takes for a full line too."""
LOSSY_FOR_S: Final = 1.0
"""That in the seconds before and after: of seventy packets a second, eight are lost by chance."""
MOVED_S: Final = 0.01
BLIND: Final = 0.3
"""Of the rate, once nothing is heard for longer than usual: when both ways get narrow at once, what
the far end tells of our queue waits in its own."""
WARNED: Final = 0.15
"""Of the rate, for as long as it takes to know more: speech, and the picture stands still."""
KNOWN_S: Final = 3.0
"""A far end that is heard for less is still finding out what the line carries: its queues are its
own."""
NOTHING_S: Final = 10.0
"""For so long nothing warns after a warning for nothing: the far end sends in bursts."""
OWN_S: Final = 0.2
"""A tick that comes so long after the one before: we were late, and what is told lies unread."""
HALVES_S: Final = 0.25


class Controller:
    """`bps` may be sent, headers included, LEAST_BPS to MOST_BPS; `start_bps` to begin with."""

    def __init__(self, start_bps: float = START_BPS) -> None:
        self.bps = start_bps
        self.queue = Queue()
        self.capacity_bps: float | None = None
        """What the line carried when it was full, None while it never was."""
        self._hold_s = 0.0
        self._full_at = float("-inf")
        self._full_since: float | None = None
        self._longest_s = 0.0
        self.queues_gone = 0
        """How many queues of more than LONG_S there were."""
        self._movement = Movement(MOVED_S)
        self._before_bps = start_bps
        self._lossy_since: float | None = None
        self._heard_at: float | None = None
        self._first_at: float | None = None
        self._silence = Silence()
        self._for_nothing_at = float("-inf")
        self._tick_at = float("-inf")

    @property
    def full(self) -> bool:
        """Whether the line has been met to carry no more, at any time."""
        return self._full_at > float("-inf")

    @property
    def emptying(self) -> bool:
        """Whether less is sent than the line carries, until a queue is gone or somebody tells."""
        return self._full_since is not None or self._silence.before_bps is not None

    def hear(self, reports: Sequence[Report], sending_bps: float, now: float) -> None:
        """Take what the far end tells; `sending_bps` is what has been sent of late."""
        if not reports:
            return
        if self._silence.hear(reports, now):
            self._end_silence(now)
        self._first_at = now if self._first_at is None else self._first_at
        elapsed = 0.0 if self._heard_at is None else min(now - self._heard_at, 0.3)
        self._heard_at = now
        self.queue.hear(reports)
        if self.queue.lost <= LOSSY:
            self._lossy_since = None
        elif self._lossy_since is None:
            self._lossy_since = now
        if self.queue.standing_s > FULL_S:
            self._drain(now)
        elif self._full_since is not None:
            if self.queue.standing_s < EMPTY_S:
                self._emptied()
        elif self._lossy_since is not None and now - self._lossy_since > LOSSY_FOR_S:
            self._lossy_since = now
            self._lower(now)
            self._set(min(self.bps, USED * (self.queue.carried_bps or self.bps)))
        elif (
            self._silence.before_bps is None
            and self.queue.standing_s < EMPTY_S
            and self._lossy_since is None
        ):
            self._grow(elapsed, sending_bps, now)

    def tick(self, now: float, unheard_at: float | None) -> None:
        """Send less and less while nothing is heard; to be called ten times a second or so.

        `unheard_at` is when the oldest packet left that nobody told of; None: there is none.
        """
        ours = now - self._tick_at > OWN_S
        if self._silence.is_late(unheard_at, now) and not ours and self._heard_at is not None:
            if self._silence.before_bps is None:
                self._send_less(BLIND, now, warned=False)
            else:
                self._set(self.bps * 0.5 ** ((now - self._tick_at) / HALVES_S))
            self._silence.prove()
        self._tick_at = now

    def warn(self, now: float) -> None:
        """Send less, because a queue has come up before us in the other way.

        Lines get narrow both ways, mostly, and what the far end tells of ours then stands in that
        queue. Holds until something that left since is told of in time, as without a queue of
        ours it soon is.
        """
        known = self._first_at is not None and now - self._first_at > KNOWN_S
        if known and self._silence.before_bps is None and now - self._for_nothing_at > NOTHING_S:
            self._send_less(WARNED, now, warned=True)

    def _send_less(self, share: float, now: float, *, warned: bool) -> None:
        self._silence.begin(self.bps, now, warned=warned)
        self._set(share * self.bps)

    def _end_silence(self, now: float) -> None:
        # What was lost in it was no queue's.
        self._lossy_since = now
        again = self._silence.end()
        if self.capacity_bps is not None and self._full_at >= self._silence.begun_at:
            again = min(again, USED * self.capacity_bps)  # so that was why
        elif not self._silence.proven:
            self._for_nothing_at = now
        self._set(max(self.bps, again))

    def _drain(self, now: float) -> None:
        if self._full_since is None:
            self._full_since = now
            self._longest_s = 0.0
            self._before_bps = self.bps
            self._movement.begin(self.queue.standing_s, now)
            self._meet()
        self._lower(now)
        standing = self.queue.standing_s
        self._longest_s = max(self._longest_s, standing)
        if self._movement.stuck(standing, now):
            # We send far less than was carried, and it stands as before: so the way got longer.
            self.queue.take_as_empty()
            self._full_since = None
            self._set(AGAIN * self._before_bps)
            return
        assert self.capacity_bps is not None
        share = min(USED, max(LEAST_SHARE, 1 - (standing - EMPTY_S) / DRAIN_S))
        self._set(min(self.bps, share * self.capacity_bps))

    def _emptied(self) -> None:
        self._full_since = None
        self.queues_gone += self._longest_s > LONG_S
        self._silence.end()  # what told of the queue had waited as long
        assert self.capacity_bps is not None
        carried = self.queue.carried_bps or 0.0
        self._set(USED * max(self.capacity_bps, carried))
        if carried > OPENED * self.capacity_bps:
            self.capacity_bps = None

    def _meet(self) -> None:
        known, carried = self.capacity_bps, self.queue.carried_bps
        same = known is not None and carried is not None and abs(carried / known - 1) < SAME
        self._hold_s = min(MOST_HOLD_S, self._hold_s + HOLD_S) if same else 0.0

    def _lower(self, now: float) -> None:
        self._full_at = now
        self.capacity_bps = self.queue.carried_bps or self.bps

    def _grow(self, elapsed: float, sending_bps: float, now: float) -> None:
        capacity = self.capacity_bps
        if capacity is not None and (
            now - self._full_at > FORGOTTEN_S or self.bps > capacity / NEAR
        ):
            capacity = self.capacity_bps = None
        near = capacity is not None and self.bps > NEAR * capacity
        since = now - self._full_at - self._hold_s
        speed = min(FAST, SLOW * 2 ** (since / DOUBLES_S)) if near else FAST
        room = 1 - self.queue.standing_s / EMPTY_S
        grown = self.bps * (1 + speed) ** (room * elapsed)
        # What is not tried is not known.
        most = max(ASSUMED_BPS, AHEAD * sending_bps + AHEAD_BPS)
        self._set(max(self.bps, min(grown, most)))

    def _set(self, bps: float) -> None:
        self.bps = min(MOST_BPS, max(LEAST_BPS, bps))
