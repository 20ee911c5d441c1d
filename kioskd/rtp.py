"""RTP's numbers, which go round. Pure."""

from __future__ import annotations

from typing import Final

TIMESTAMPS: Final = 1 << 32
SEQUENCE_NUMBERS: Final = 1 << 16
"""Both of RFC 3550, section 5.1."""


def unwrapped(number: int, near: int, turn: int) -> int:
    """Return which of the numbers that are `number` modulo `turn` lies nearest to `near`."""
    return near + (number - near + turn // 2) % turn - turn // 2
