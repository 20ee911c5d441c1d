"""Seeded mutations of bytes: the same seed gives the same inputs."""

from __future__ import annotations

import random
import re
from typing import Final

MOST_BYTES: Final = 200_000
WORDS: Final = [
    *[b"null", b"true", b"[", b"]", b"{", b"}", b'"', b"<<", b">>", b"\\u0000", b"\\ud800"],
    *[b"obj", b"endobj", b"stream\n", b"endstream", b"xref", b"trailer", b"startxref", b"%%EOF"],
    *[b"/FlateDecode", b"/LZWDecode", b"/ASCIIHexDecode", b"/JBIG2Decode", b"/JPXDecode"],
    *[b"/Kids", b"/Parent", b"/Count", b"/Length", b"/Root", b"/Encrypt", b"/Filter", b"/XFA"],
    *[b"1 0 R", b"4 0 R", b"Infinity", b"NaN", b"\x00", b"\xff\xfe", b"\xed\xa0\x80"],
]
"""What PDF (ISO 32000) and JSON (RFC 8259) are made of, and what they must not be."""
NUMBERS: Final = [
    *[b"0", b"-1", b"1", b"255", b"65536", b"2147483647", b"-2147483648", b"4294967296"],
    *[b"9007199254740993", b"1e308", b"1e999", b"0.0000001", b"99999999999999999999"],
]
_NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?")


def mutate(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Return `data` changed in one to eight places; parts of `others` may be put in."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 5, 8))):
        _change(chance, changed, others)
    return bytes(changed[:MOST_BYTES])


def _change(chance: random.Random, data: bytearray, others: list[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    end = min(len(data), at + chance.choice((1, 2, 4, 16, 100, 1000)))
    match chance.randrange(8):
        case 0 if at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        case 1:
            del data[at:end]
        case 2:
            data[at:at] = data[at:end] * chance.choice((1, 2, 50))
        case 3:
            data[at:at] = chance.choice(WORDS)
        case 4:
            data[at:end] = chance.randbytes(end - at)
        case 5:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            data[at:end] = other[start : start + chance.choice((4, 64, 1000))]
        case 6:
            del data[at:]
        case _:
            _renumber(chance, data)


def _renumber(chance: random.Random, data: bytearray) -> None:
    found = list(_NUMBER.finditer(data))
    if found:
        one = chance.choice(found)
        data[one.start() : one.end()] = chance.choice(NUMBERS)
