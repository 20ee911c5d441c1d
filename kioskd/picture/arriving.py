"""The far end's packets of pictures, in whatever order they come, to whole pictures in order. Pure.

A picture is whole with the packet that carries RTP's marker (RFC 7741, section 4.1). What is
missing is asked for again and again, at the pace of the answers; when it does not come, only a
key picture helps, and what comes before that is not shown: it would be wrong. Nothing that came
before a key picture is waited for once that is whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kioskd import rtp

MOST_PACKETS: Final = 512
"""That may wait for a missing one: a second of 5 Mbit/s."""
FIRST_ANSWER_S: Final = 0.15
"""How long an answer is waited for before any has come."""
LEAST_ANSWER_S: Final = 0.04
MOST_ANSWER_S: Final = 1.0
PATIENCE: Final = 1.25
"""Times the usual answer: then the request, or its answer, is taken for lost."""
REPEAT_S: Final = 0.02
"""A request is made twice, so far apart: it may be lost as well, and costs little. Who has answered
answers no second time within a round trip (libwebrtc)."""
GIVE_UP_S: Final = 0.8
GIVE_UP_ANSWERS: Final = 4
"""Given up after so many answers' time, GIVE_UP_S at least: several in a row were lost."""
CLOSED_S: Final = 1.5
"""After a way on which nothing came for so long, what was lost is old and much."""
FIRST_KEY_S: Final = 0.3
"""A source begins with a key picture; it is asked for when that is not whole by then."""
KEY_AGAIN_S: Final = 1.0
MOST_ASKED: Final = 100
_LEARNS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Whole:
    """A picture as it was encoded; `timestamp` is RTP's, 32 bits."""

    data: bytes
    timestamp: int
    key: bool


@dataclass(frozen=True, slots=True)
class _Packet:
    data: bytes
    timestamp: int
    marker: bool


@dataclass(slots=True)
class _Missing:
    since: float
    asked_at: float = float("-inf")
    repeated: bool = True
    """Whether the request that was made last has been made twice."""


class Arriving:
    """One source of pictures. `now` is seconds of any steady clock.

    `is_key(data)` tells of a picture whether it can be decoded without those before it.
    """

    def __init__(self, is_key: Callable[[bytes], bool]) -> None:
        self.answer_s = FIRST_ANSWER_S
        """How long what was asked for usually takes to come."""
        self._is_key = is_key
        self._packets: dict[int, _Packet] = {}
        self._missing: dict[int, _Missing] = {}
        self._next: int | None = None
        self._newest = 0
        self._begun = False
        self._broken = True
        self._key_asked_at = float("-inf")
        self._key_at: int | None = None
        """Where the newest key picture begins."""
        self._came_at = float("-inf")

    def add(
        self, sequence: int, timestamp: int, data: bytes, *, marker: bool, now: float
    ) -> list[Whole]:
        """Take a packet's part of a picture, empty for padding; return what is whole by it."""
        number = self._unwrap(sequence)
        if self._next is None:
            self._next, self._newest = number, number - 1
            self._key_asked_at = now + FIRST_KEY_S - KEY_AGAIN_S
        elif not self._begun and self._next - MOST_PACKETS < number < self._next:
            self._missing |= {lost: _Missing(now) for lost in range(number + 1, self._next)}
            self._next = number
        if number < self._next or number in self._packets:
            return []
        for lost in range(max(self._newest + 1, number - MOST_PACKETS), number):
            self._missing[lost] = _Missing(now)
        closed, self._came_at = now - self._came_at > CLOSED_S, now
        if number > self._newest and self._is_key(data):
            self._key_at = number
        self._newest = max(self._newest, number)
        self._answered(self._missing.pop(number, None), now)
        self._packets[number] = _Packet(data, timestamp, marker)
        if self._newest - self._next >= MOST_PACKETS or (closed and self._missing):
            self._give_up()
        return self._whole()

    def ask(self, now: float) -> list[int]:
        """Return the sequence numbers to be asked for now; to be called when `due`."""
        patience = max(GIVE_UP_S, GIVE_UP_ANSWERS * self.answer_s)
        if any(now - one.since > patience for one in self._missing.values()):
            self._give_up()
        asked: list[int] = []
        for number, one in self._missing.items():
            if now >= self._due_at(one) and len(asked) < MOST_ASKED:
                one.repeated = not one.repeated
                if not one.repeated:
                    one.asked_at = now
                asked.append(number & 0xFFFF)
        return sorted(asked)  # as aiortc packs them

    def wants_key(self, now: float) -> bool:
        """Tell whether a key picture is to be asked for now: once in KEY_AGAIN_S."""
        if not self._broken or now - self._key_asked_at < KEY_AGAIN_S:
            return False
        self._key_asked_at = now
        return True

    def due(self, now: float) -> float | None:
        """Return in how many seconds `ask` and `wants_key` are to be called; None: nothing is."""
        times = [self._due_at(one) for one in self._missing.values()]
        if self._broken and self._next is not None:
            times.append(self._key_asked_at + KEY_AGAIN_S)
        return max(0.0, min(times) - now) if times else None

    def _due_at(self, one: _Missing) -> float:
        wait = max(LEAST_ANSWER_S, PATIENCE * self.answer_s) if one.repeated else REPEAT_S
        return one.asked_at + wait

    def _unwrap(self, sequence: int) -> int:
        """Return the number without the wrap at 16 bits that lies nearest to the newest."""
        if self._next is None:
            return sequence + rtp.SEQUENCE_NUMBERS  # what is a little older stays positive
        return rtp.unwrapped(sequence, self._newest, rtp.SEQUENCE_NUMBERS)

    def _answered(self, missing: _Missing | None, now: float) -> None:
        # From when it was missed, so that long ways are learnt of, too, where it was asked for
        # twice before the first answer could come.
        if missing is not None and missing.asked_at >= missing.since:
            took = min(now - missing.since, MOST_ANSWER_S)
            self.answer_s += _LEARNS * (took - self.answer_s)

    def _whole(self) -> list[Whole]:
        found = []
        while (last := self._last_of_next()) is not None:
            assert self._next is not None
            parts = [self._packets.pop(number) for number in range(self._next, last + 1)]
            self._next = last + 1
            data = b"".join(one.data for one in parts)
            if not data:
                continue
            key = self._is_key(data)
            self._begun = True
            self._broken = self._broken and not key
            if not self._broken:
                found.append(Whole(data, parts[0].timestamp, key))
        return found

    def _last_of_next(self) -> int | None:
        assert self._next is not None
        last = self._end(self._next)
        if last is None and self._key_at is not None and self._key_at > self._next:
            last = self._end(self._key_at)
            if last is not None:
                self._go_on_at(self._key_at)
        return last

    def _end(self, first: int) -> int | None:
        """Return the last packet of the picture that begins there; None while it is not whole."""
        number = first
        while (packet := self._packets.get(number)) is not None:
            following = self._packets.get(number + 1)
            if packet.marker or (number == first and not packet.data):
                return number
            if following is not None and following.timestamp != packet.timestamp:
                return number
            number += 1
        return None

    def _give_up(self) -> None:
        """Go on behind what is missing, at the beginning of a picture."""
        assert self._next is not None
        number = max(self._missing, default=self._next - 1) + 1
        # The rest of a picture whose beginning is missing is of no use.
        while (packet := self._packets.get(number)) is not None:
            if self._is_key(packet.data):
                break
            number += 1
            following = self._packets.get(number)
            if packet.marker or (following and following.timestamp != packet.timestamp):
                break
        self._go_on_at(number)
        self._broken = True

    def _go_on_at(self, number: int) -> None:
        self._packets = {at: one for at, one in self._packets.items() if at >= number}
        self._missing = {at: one for at, one in self._missing.items() if at >= number}
        self._next = number
