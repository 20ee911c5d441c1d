"""Transport-wide feedback: which packets came and when, as the wire has it.

draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1. Every browser speaks it. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kioskd.rtp import unwrapped

NUMBERS: Final = 1 << 16
"""Packets of all media are counted together, modulo this."""
TICK_S: Final = 0.000_25
REFERENCE_TICKS: Final = 256
"""A reference time counts 64 ms, modulo 2**24."""
_REFERENCES: Final = 1 << 24
MOST_PACKETS: Final = 1024
"""In one feedback: at a hundred a second ten times what is told at once after a hole."""
REMEMBERED: Final = 64
"""So many packets back one may come late and still be told."""
_SMALL: Final = 1
_LARGE: Final = 2
_SYMBOLS: Final = 7
"""Of two bits, in one chunk."""
_MOST_RUN: Final = (1 << 13) - 1
_RTPFB: Final = 205
_FORMAT: Final = 15


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the far end tells of the packets from number `base` on.

    `arrivals` are seconds by its clock, from nobody knows when, None for what has not come.
    """

    base: int
    arrivals: tuple[float | None, ...]


def parse(fci: bytes) -> Feedback:
    """Read what follows the two sources of a feedback packet. Raises ValueError."""
    if len(fci) < 8:
        raise ValueError("the feedback is too short")
    base, count = int.from_bytes(fci[:2], "big"), int.from_bytes(fci[2:4], "big")
    if count > MOST_PACKETS:
        raise ValueError("the feedback tells of too many packets")
    ticks = int.from_bytes(fci[4:7], "big") * REFERENCE_TICKS
    symbols, place = _symbols(fci, count)
    arrivals: list[float | None] = []
    for symbol in symbols:
        if symbol == 0:
            arrivals.append(None)
            continue
        size = symbol  # 1: a byte without a sign, 2: two with one
        if symbol > _LARGE or place + size > len(fci):
            raise ValueError("the feedback ends early")
        ticks += int.from_bytes(fci[place : place + size], "big", signed=symbol == _LARGE)
        place += size
        arrivals.append(ticks * TICK_S)
    return Feedback(base, tuple(arrivals))


def _symbols(fci: bytes, count: int) -> tuple[list[int], int]:
    found: list[int] = []
    place = 8
    while len(found) < count:
        chunk = int.from_bytes(fci[place : place + 2], "big")
        if place + 2 > len(fci):
            raise ValueError("the feedback ends early")
        place += 2
        if not chunk & 0x8000:
            found += [chunk >> 13 & 3] * (chunk & _MOST_RUN)
        elif chunk & 0x4000:
            found += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            found += [chunk >> shift & 1 for shift in range(13, -1, -1)]
        if len(found) > count + MOST_PACKETS:
            raise ValueError("the feedback tells of too many packets")
    return found[:count], place


def build(base: int, arrivals: Sequence[int | None], number: int) -> bytes:
    """Return what follows the two sources: arrivals in ticks, the first of which has come.

    `number` counts feedbacks, modulo 256. Arrivals must lie within 8 s of the one before.
    """
    first = next(ticks for ticks in arrivals if ticks is not None)
    reference = first // REFERENCE_TICKS
    before = reference * REFERENCE_TICKS
    symbols: list[int] = []
    deltas = b""
    for ticks in arrivals:
        if ticks is None:
            symbols.append(0)
            continue
        delta, before = ticks - before, ticks
        small = 0 <= delta < 256
        symbols.append(_SMALL if small else _LARGE)
        deltas += delta.to_bytes(1, "big") if small else delta.to_bytes(2, "big", signed=True)
    head = base.to_bytes(2, "big") + len(arrivals).to_bytes(2, "big")
    times = (reference % _REFERENCES).to_bytes(3, "big") + (number % 256).to_bytes(1, "big")
    return head + times + b"".join(_chunks(symbols)) + deltas


def _chunks(symbols: Sequence[int]) -> Iterator[bytes]:
    place = 0
    while place < len(symbols):
        run = len(list(itertools.takewhile(symbols[place].__eq__, symbols[place:])))
        if run > _SYMBOLS:
            run = min(run, _MOST_RUN)
            yield (symbols[place] << 13 | run).to_bytes(2, "big")
            place += run
            continue
        chunk = 0xC000
        for shift, symbol in zip(range(12, -1, -2), symbols[place:], strict=False):
            chunk |= symbol << shift
        yield chunk.to_bytes(2, "big")
        place += _SYMBOLS


def packet(source: int, media: int, fci: bytes) -> bytes:
    """Return the RTCP packet (RFC 4585, section 6.1), padded (RFC 3550, section 6.4.1)."""
    padding = -len(fci) % 4
    body = source.to_bytes(4, "big") + media.to_bytes(4, "big") + fci
    if padding:
        body += bytes(padding - 1) + bytes([padding])
    first = 0x80 | (0x20 if padding else 0) | _FORMAT
    return bytes([first, _RTPFB]) + (len(body) // 4).to_bytes(2, "big") + body


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """Take the feedbacks out of a compound packet: their FCI, and the packet without them.

    What cannot be read is left in it.
    """
    found: list[bytes] = []
    rest = b""
    place = 0
    while place + 4 <= len(data):
        end = place + 4 + 4 * int.from_bytes(data[place + 2 : place + 4], "big")
        part = data[place:end]
        if data[place] & 0x1F == _FORMAT and data[place + 1] == _RTPFB and len(part) == end - place:
            padding = part[-1] if part[0] & 0x20 else 0
            found.append(part[12 : len(part) - padding])
        else:
            rest += part
        place = end
    return found, rest + data[place:]


class Arrivals:
    """Notes what came, and tells the far end of it; what comes late is told once more."""

    def __init__(self) -> None:
        self._came: dict[int, int] = {}
        self._newest: int | None = None
        self._told = -1
        """The newest number told of."""
        self._late: int | None = None
        self._count = 0

    def note(self, number: int, now: float) -> None:
        """Take a packet's number; `now` in seconds of a steady clock."""
        if self._newest is None:
            self._newest = self._told = NUMBERS + number
            self._told -= 1
        whole = unwrapped(number, self._newest, NUMBERS)
        if abs(whole - self._newest) > MOST_PACKETS or whole in self._came:
            return
        self._newest = max(self._newest, whole)
        self._came[whole] = round(now / TICK_S)
        if whole <= self._told:
            self._late = whole if self._late is None else min(whole, self._late)

    def take(self) -> list[bytes]:
        """Return the FCI of the feedbacks that are due: none where nothing came."""
        if self._newest is None or (self._newest <= self._told and self._late is None):
            return []
        first = self._told + 1 if self._late is None else self._late
        last = self._told = self._newest
        self._late = None
        fcis: list[bytes] = []
        while (start := self._first_from(first, last)) is not None:
            numbers = range(start, min(last + 1, start + MOST_PACKETS))
            arrivals = [self._came.get(one) for one in numbers]
            fcis.append(build(start % NUMBERS, arrivals, self._count))
            self._count += 1
            first = numbers.stop
        for old in [one for one in self._came if one < last - REMEMBERED]:
            del self._came[old]
        return fcis

    def _first_from(self, first: int, last: int) -> int | None:
        return next((one for one in range(first, last + 1) if one in self._came), None)
