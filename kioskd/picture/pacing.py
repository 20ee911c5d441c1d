"""When the next picture goes and its packets go. Pure: times in seconds, of any steady clock."""

from __future__ import annotations

import math
from typing import Final

KEY_INTERVAL_S: Final = 1.0
"""Least time between two key frames that were asked for."""
FACTOR: Final = 2.0
"""Packets leave at so many times the rate: those of a picture over half of its time, so that
a packet of sound never waits at the line behind a whole picture."""
EVEN: Final = 1.25
AHEAD_S: Final = 0.04
"""What is so much time's worth ahead of EVEN times the rate leaves no faster: a key picture is four
ordinary ones, and at twice the rate it would be a queue before the line that speech waits in."""
MOST_WAIT_S: Final = 0.25
MOST_PAYLOAD_BYTES: Final = 1200
"""With all headers it fits the 1280 bytes that every path carries (RFC 8200, section 5), but for a
tunnel's own."""
LEAST_PAYLOAD_BYTES: Final = 500
"""Headers are 13 % then."""
PAYLOAD_S: Final = 0.03
"""So long a packet is at the picture's rate, where that makes it smaller: on a line of 256 kbit/s
speech waits for one that has begun to leave, 20 ms in place of 40."""
RESEND_SHARE: Final = 0.5
"""Of the rate so much may be for what is sent once more."""
UNSENT_BYTES: Final = 28
"""UDP and IPv4, which are no part of a packet handed on."""


class Pacer:
    """How long to wait between packets at `bps`, headers included, and what is sent once more."""

    def __init__(self, bps: float) -> None:
        self.bps = bps
        self._free_at = float("-inf")
        self._even_at = float("-inf")
        """When all that left would have left at EVEN times the rate."""
        self._resent = 0.0
        self._resent_at = float("-inf")

    def sent(self, size: int, now: float) -> None:
        """Note a packet of so many bytes that left."""
        took = (size + UNSENT_BYTES) * 8 / self.bps
        even_at = max(self._even_at, now) + took / EVEN
        self._even_at = min(even_at, now + AHEAD_S + MOST_WAIT_S)
        free_at = max(max(self._free_at, now) + took / FACTOR, self._even_at - AHEAD_S)
        self._free_at = min(free_at, now + MOST_WAIT_S)

    def wait_s(self, now: float) -> float:
        """Return how long the next packet has to wait, 0 to MOST_WAIT_S."""
        return min(MOST_WAIT_S, max(0.0, self._free_at - now))

    def resend(self, size: int, now: float) -> bool:
        """Tell whether a packet of so many bytes may be sent once more.

        After a hole the far end asks for all that fell into it, again and again: that must not
        take the place of what is new.
        """
        bits, resent = (size + UNSENT_BYTES) * 8, self.resent_bps(now)
        if resent + bits > RESEND_SHARE * self.bps:
            return False
        self._resent, self._resent_at = resent + bits, now
        return True

    def resent_bps(self, now: float) -> float:
        """Return what was sent once more, over about the last second."""
        return self._resent * math.exp(min(0.0, self._resent_at - now))


def payload_bytes(bps: float) -> int:
    """Return how large the packets of a picture of such a rate may be, without headers."""
    return round(min(MOST_PAYLOAD_BYTES, max(LEAST_PAYLOAD_BYTES, bps * PAYLOAD_S / 8)))


class KeyFrames:
    """Key frames are sent when asked for, once in KEY_INTERVAL_S at most."""

    def __init__(self) -> None:
        self._wanted = False
        self._sent_at = float("-inf")

    def ask(self) -> None:
        """Want one; requests are merged until it is sent."""
        self._wanted = True

    def due(self, now: float) -> bool:
        """Tell whether the next picture is to be one."""
        return self._wanted and now - self._sent_at >= KEY_INTERVAL_S

    def sent(self, now: float) -> None:
        """Note that one was sent, asked for or not: it serves all who asked."""
        self._wanted = False
        self._sent_at = now


class Thinner:
    """Leaves pictures out, evenly, where fewer are to be sent than come."""

    def __init__(self) -> None:
        self._due = float("-inf")

    def takes(self, fps: int, at: float) -> bool:
        """Tell whether the picture taken at `at` is to be sent; 0 fps: none is."""
        if fps == 0:
            return False
        step = 1 / fps
        if at < self._due - step / 2:
            return False
        # A little late is made up for, a gap is not.
        self._due = (at if at > self._due + step else self._due) + step
        return True
