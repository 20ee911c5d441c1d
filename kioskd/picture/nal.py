"""H.264's byte stream and its units (ITU-T H.264, annex B), and their payloads (RFC 6184). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

IDR: Final = 5
SEQUENCE: Final = 7
PICTURE: Final = 8
BASELINE: Final = 66
"""profile_idc of baseline (A.2.1), of which cameras make the constrained kind."""
_NOT_SENT: Final = frozenset({6, 9, 12})
"""Remarks of the encoder (SEI), delimiters and filling: a decoder does without."""
_TYPE: Final = 0x1F
_IMPORTANCE: Final = 0xE0
_FRAGMENT: Final = 28
"""FU-A: RFC 6184, section 5.8."""
_BEGINS: Final = 0x80
_ENDS: Final = 0x40
_START: Final = re.compile(rb"\x00\x00\x01")
_PREFIX: Final = b"\x00\x00\x00\x01"


def units(data: bytes) -> Iterator[bytes]:
    """Yield the units of a byte stream, without their start codes."""
    begins = [found.end() for found in _START.finditer(data)]
    ends = [begin - 3 for begin in begins[1:]] + [len(data)]
    for begin, end in zip(begins, ends, strict=False):
        # Zeros belong to the next start code, or fill up: a unit does not end with one (7.4.1).
        unit = data[begin:end].rstrip(b"\x00")
        if unit:
            yield unit


def kind(unit: bytes) -> int:
    """Return a unit's nal_unit_type."""
    return unit[0] & _TYPE


def stream(several: Iterable[bytes]) -> bytes:
    """Return the byte stream of some units."""
    return b"".join(_PREFIX + unit for unit in several)


def is_key(data: bytes) -> bool:
    """Tell whether a picture can be decoded without those before it."""
    return any(kind(unit) == IDR for unit in units(data))


def profile(data: bytes) -> int | None:
    """Return the profile_idc that a picture says it is of; None where it says nothing."""
    sequence = next((one for one in units(data) if kind(one) == SEQUENCE and len(one) > 1), None)
    return None if sequence is None else sequence[1]


class ParameterSets:
    """Puts size and kind of the stream before each key picture.

    Whoever joins late or has lost them needs them there, and many encoders in hardware and in
    cameras give them once.
    """

    def __init__(self) -> None:
        self._known: dict[int, bytes] = {}

    def complete(self, data: bytes) -> bytes:
        """Return a picture with them where it is a key picture that lacks them."""
        found = list(units(data))
        kinds = {kind(unit) for unit in found}
        self._known |= {kind(unit): unit for unit in found if kind(unit) in (SEQUENCE, PICTURE)}
        if IDR not in kinds or {SEQUENCE, PICTURE} <= kinds:
            return data
        lacking = [self._known[one] for one in (SEQUENCE, PICTURE) if one in self._known]
        rest = [unit for unit in found if kind(unit) not in (SEQUENCE, PICTURE)]
        return stream([*lacking, *rest])


def payloads(data: bytes, most: int) -> list[bytes]:
    """Cut a picture into payloads of at most so many bytes (packetization-mode 1)."""
    cut: list[bytes] = []
    for unit in units(data):
        if kind(unit) in _NOT_SENT:
            continue
        if len(unit) <= most:
            cut.append(unit)
        else:
            cut += _fragments(unit, most)
    return cut


def _fragments(unit: bytes, most: int) -> Iterator[bytes]:
    header, body = unit[0], unit[1:]
    count = -(-len(body) // (most - 2))
    size = -(-len(body) // count)
    indicator = header & _IMPORTANCE | _FRAGMENT
    for begin in range(0, len(body), size):
        place = header & _TYPE
        if begin == 0:
            place |= _BEGINS
        if begin + size >= len(body):
            place |= _ENDS
        yield bytes([indicator, place]) + body[begin : begin + size]
