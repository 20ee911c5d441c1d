"""The agent's picture waits for the agent's voice. Pure.

What was said and seen at one instant comes by two ways, and the voice is played later: it waits
so that what is late or lost is still there when it is due. The sender's reports tell of both by
one clock (RFC 3550, section 6.4.1). A picture goes on to be shown when its voice is heard: to
decode and to paint it takes 20 ms, and a browser reports of a voice from after it has taken it up,
some 60 ms late. Nobody notices sound that is up to 125 ms late or 45 ms early (ITU-R BT.1359).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from kioskd import rtp

MOST_S: Final = 0.4
"""A picture that would have to wait longer is shown at once: the reports are not to be believed."""
_JUMP_S: Final = 0.15
_LEARNS: Final = 0.02
"""Of each 20 ms of sound: the voice's delay is followed in a second."""


class Clock(IntEnum):
    """Ticks of RTP timestamps per second."""

    SOUND = 48_000
    PICTURE = 90_000


@dataclass(frozen=True, slots=True)
class _Report:
    source: int
    timestamp: int
    ntp_s: float


class LipSync:
    """Tells how long a picture is to wait. Times are seconds of one steady clock.

    A source is an SSRC and a timestamp RTP's, of 32 bits.
    """

    def __init__(self) -> None:
        self._reports: dict[Clock, _Report] = {}
        self._late: float | None = None

    def report(self, clock: Clock, source: int, timestamp: int, ntp_s: float) -> None:
        """Take a sender's report: its time of `timestamp`, in seconds."""
        self._reports[clock] = _Report(source, timestamp, ntp_s)

    def heard(self, source: int, timestamp: int, at: float) -> None:
        """Note that the sound of `timestamp` is heard at `at`; to be called every 20 ms."""
        said = self._taken(Clock.SOUND, source, timestamp)
        if said is None:
            self._late = None
            return
        late = at - said
        if self._late is None or abs(late - self._late) > _JUMP_S:
            self._late = late
        else:
            self._late += _LEARNS * (late - self._late)

    def wait(self, source: int, timestamp: int, now: float) -> float:
        """Return how many seconds from `now` a picture is to wait; 0 while nobody knows."""
        seen = self._taken(Clock.PICTURE, source, timestamp)
        if seen is None or self._late is None:
            return 0.0
        left = seen + self._late - now
        return left if 0 < left <= MOST_S else 0.0

    def _taken(self, clock: Clock, source: int, timestamp: int) -> float | None:
        """Return when this was said or seen, by the sender's clock."""
        report = self._reports.get(clock)
        if report is None or report.source != source:
            return None
        ahead = rtp.unwrapped(timestamp, report.timestamp, rtp.TIMESTAMPS) - report.timestamp
        return report.ntp_s + ahead / clock
