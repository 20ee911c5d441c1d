"""Who may have how much of the rate: speech first, then the picture, then documents. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kioskd.sound.ladder import FLOOR_BPS

SPEECH_SHARE: Final = 0.33
"""Of 256 kbit/s that is speech of 32 kbit/s, 56 with its headers; from 290 on it may be said twice
where packets are lost, so from the first one on."""
DOCUMENT_SHARE: Final = 0.25
"""Of what speech leaves, a document under way has so much at least: the agent waits for it."""
DOCUMENT_LEAST_BPS: Final = 8_000
BURST_S: Final = 0.02
"""So much of its rate a document may send at once: it is looked after as often."""
MOST_ROOM: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Shares:
    """Bits per second, all headers included."""

    speech: float
    """At the most; it takes one of its steps."""
    picture: float
    documents: float


def share(bps: float, speech_bps: float, picture_need: float, sent_bps: float | None) -> Shares:
    """Divide `bps`.

    `speech_bps` is what speech takes now. `picture_need` is what the picture needs to look well,
    and `sent_bps` what speech and picture have sent of late, None where no document is under way.
    """
    left = max(0.0, bps - speech_bps)
    speech = max(FLOOR_BPS, SPEECH_SHARE * bps)
    if sent_bps is None:
        return Shares(speech, left, DOCUMENT_LEAST_BPS)
    least = max(DOCUMENT_LEAST_BPS, DOCUMENT_SHARE * left)
    # A picture that looks well does not look better to one who waits for a paper.
    picture = max(0.0, min(left - least, picture_need))
    return Shares(speech, picture, max(least, bps - sent_bps))


class Bucket:
    """What of documents may be handed to the line now, in bytes."""

    def __init__(self) -> None:
        self.bps: float = DOCUMENT_LEAST_BPS
        self._room = 0.0
        self._at: float | None = None

    def room(self, now: float) -> int:
        """Return the bytes that may be taken."""
        if self._at is not None:
            most = max(2_000.0, min(MOST_ROOM, self.bps / 8 * 2 * BURST_S))
            self._room = min(most, self._room + self.bps / 8 * max(0.0, now - self._at))
        self._at = now
        return int(self._room)

    def take(self, size: int) -> None:
        """Note bytes that were handed on."""
        self._room -= size
