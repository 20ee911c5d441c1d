"""How speech is sent: as the line's loss and rate ask for. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

RICH_BIT_RATE: Final = 48_000
"""Where there is plenty of room. In-band FEC takes of a rate: at 2 % loss foreseen 32 kbit/s sound
as 24 do without (PESQ 3.78), and 48 better than 32 without (4.22 to 4.07; docs/lines.md)."""
RICH_BPS: Final = 160_000
"""What sound must have for that: a third of 480 kbit/s."""
FULL_BIT_RATE: Final = 32_000
"""Bits per second, full-band mono speech (RFC 6716, section 2.1.1: 28 to 40 kbit/s)."""
MIDDLE_BIT_RATE: Final = 24_000
LEAST_BIT_RATE: Final = 16_000
"""Wide-band speech (RFC 6716, section 2.1.1: 16 to 20 kbit/s)."""
SHORT_PACKETS_BPS: Final = 48_000
"""MIDDLE_BIT_RATE in packets of 20 ms, with their headers."""
FLOOR_BPS: Final = 26_000
"""What sound always has on the line: LEAST_BIT_RATE in packets of 60 ms, with their headers."""
HEADER_BITS: Final = 480
"""Of each packet: IPv4, UDP, RTP with its extensions, SRTP's tag."""
SAMPLE_RATE: Final = 48_000
FIRST_LOSS: Final = 0.05
"""What is protected against before the far end has told."""
LEAST_LOSS: Final = 0.02
"""Of a line that loses: the next loss comes before the report of it."""
NO_LOSS: Final = 0.005
"""Remembered after some twenty seconds without any. Then nothing is protected against: 32 kbit/s
with FEC for 2 % sound as 24 do without (docs/lines.md). The first loss is heard, once."""
MOST_LOSS: Final = 0.3
SHARE: Final = 0.35
"""Of what the far end takes the line to have for pictures: on 256 kbit/s that makes speech of
24 kbit/s, 48 with its headers, and leaves 150 for the picture."""
_MEMORY: Final = 0.9
"""Of the loss so much is kept from one second to the next: it falls slowly and rises at once."""


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """One way to send speech.

    `samples` a packet, at 48 kHz; `loss_percent` is what Opus protects against; `red` counts the
    packets repeated in each (RFC 2198), which need no FEC then; with `dtx` silence is not sent.
    """

    bit_rate: int = FULL_BIT_RATE
    samples: int = 960
    loss_percent: int = round(FIRST_LOSS * 100)
    red: int = 0
    dtx: bool = False

    @property
    def line_bps(self) -> float:
        """What it takes of the line, headers included."""
        return self.bit_rate * (1 + self.red) + HEADER_BITS * SAMPLE_RATE / self.samples


def choose(loss: float, available_bps: float | None, *, red: bool) -> SpeechSettings:
    """Return how to send with such a loss (share) on a line that has so much for sound.

    `available_bps` counts headers (480 bits a packet); None where nobody knows. `red` tells
    whether the far end takes it. Losses come in runs: the more there are, the more is repeated.
    """
    percent = 0 if loss < NO_LOSS else round(100 * min(MOST_LOSS, max(LEAST_LOSS, loss)))
    room = float("inf") if available_bps is None else available_bps
    if room < SHORT_PACKETS_BPS:
        # 60 ms save 16 kbit/s of headers and are 40 ms later: for the worst lines only.
        return SpeechSettings(LEAST_BIT_RATE, 2880, percent, 0, dtx=True)
    if room < 64_000:
        return SpeechSettings(MIDDLE_BIT_RATE, 960, percent)
    depth = 0
    if red and percent and room >= 96_000:
        depth = 2 if loss >= 0.06 and room >= 128_000 else 1
    full = SpeechSettings(FULL_BIT_RATE, 960, percent, depth)
    rich = replace(full, bit_rate=RICH_BIT_RATE)
    known = available_bps is not None
    return rich if known and room >= max(RICH_BPS, rich.line_bps) else full


def share(picture_bps: float) -> float:
    """Return what speech may have, in bits per second with headers, beside such an estimate.

    The far end estimates what pictures have on the line (REMB: only their packets carry the time
    that it goes by), and sees speech as what is missing from it.
    """
    return max(FLOOR_BPS, SHARE * picture_bps)


class LossMemory:
    """The loss to protect against, from the shares the far end reports."""

    def __init__(self) -> None:
        self.share = FIRST_LOSS

    def note(self, share: float) -> None:
        """Take what was reported in the last second."""
        self.share = max(share, self.share * _MEMORY)
