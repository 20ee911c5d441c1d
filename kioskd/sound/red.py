"""Redundant sound in RTP, RFC 2198: each packet carries some of those before it once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_OFFSET: Final = (1 << 14) - 1
"""How far back a block can lie, in samples: 0.34 s."""
MAX_BLOCK: Final = (1 << 10) - 1
"""Bytes of the largest redundant block."""

MOST_BLOCKS: Final = 16
"""Redundant ones in a packet: more than 0.3 s of them serve nobody."""


@dataclass(frozen=True, slots=True)
class Block:
    """A payload, and how many samples before its packet's timestamp its sound lies."""

    payload_type: int
    offset: int
    payload: bytes


def unpack(data: bytes) -> list[Block]:
    """Return the blocks of a payload, oldest first, the packet's own last; empty ones left out.

    Raises ValueError if it is malformed.
    """
    headers: list[tuple[int, int, int]] = []
    at = 0
    while at < len(data) and data[at] & 0x80:
        if len(headers) == MOST_BLOCKS:
            raise ValueError("too many blocks")
        if at + 4 > len(data):
            raise ValueError("a header is cut off")
        word = int.from_bytes(data[at + 1 : at + 4], "big")
        headers.append((data[at] & 0x7F, word >> 10, word & MAX_BLOCK))
        at += 4
    if at >= len(data):
        raise ValueError("no block of its own")
    own, at = data[at], at + 1
    blocks = []
    for payload_type, offset, size in headers:
        if at + size > len(data):
            raise ValueError("a block is cut off")
        blocks.append(Block(payload_type, offset, data[at : at + size]))
        at += size
    blocks.append(Block(own, 0, data[at:]))
    return [block for block in blocks if block.payload]


def pack(blocks: Sequence[Block]) -> bytes:
    """Return the payload of blocks, the packet's own last. Raises ValueError.

    Redundant ones that are too large or too old are left out.
    """
    if not blocks or blocks[-1].offset:
        raise ValueError("the last block is the packet's own")
    own = blocks[-1]
    old = [b for b in blocks[:-1] if 0 < b.offset <= MAX_OFFSET and len(b.payload) <= MAX_BLOCK]
    head = b"".join(
        bytes([0x80 | b.payload_type]) + (b.offset << 10 | len(b.payload)).to_bytes(3, "big")
        for b in old
    )
    return head + bytes([own.payload_type]) + b"".join(b.payload for b in old) + own.payload
