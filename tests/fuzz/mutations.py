"""Changes to an input, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

_TOKENS: Final = (
    *(b"null", b"-1", b"1e999", b"NaN", b"9" * 400, b"[" * 3000, b'{"a":' * 500, b'""', b"\\ud800"),
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\n--\n", b"endobj", b"stream\n", b"<<", b">>"),
    *(b"2 0 R", b"/Filter/FlateDecode", b"/Kids[2 0 R]", b"2147483647", b"/Length 0", b"%%EOF"),
)


def mutate(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return `data` changed in one to eight places, parts of `others` among them."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(out) + 1)
        end = min(len(out), at + chance.choice((1, 1, 2, 8, 64)))
        match chance.randrange(6):
            case 0 if at < len(out):
                out[at] ^= 1 << chance.randrange(8)
            case 1:
                out[at:end] = chance.randbytes(end - at)
            case 2:
                del out[at:end]
            case 3:
                out[at:at] = out[at:end] * chance.choice((1, 2, 50))
            case 4:
                out[at:end] = chance.choice(_TOKENS)
            case _:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                out[at:end] = other[start : start + chance.choice((4, 32, 256))]
    return bytes(out)
