"""Reads messages that carry a marker, drops them, and prints how often its memory still has it.

`python -m tests.unit.memory_of_messages kept` keeps them.
"""

from __future__ import annotations

import gc
import json
import re
import sys
from pathlib import Path

from kioskd.signalling.messages import Signal, parse

COUNT = 300
REVERSED = b"SURKRAM-YRANAC"  # the marker itself stands in no file and in no constant


def read() -> list[Signal]:
    """Parse messages with the marker in them."""
    marker = REVERSED[::-1].decode()
    claim = {"type": "claim", "v": 1, "id": "x", "call": "c", "agent": "a"}
    return [
        parse(json.dumps({**claim, "name": f"{marker} {number}"}).encode())
        for number in range(COUNT)
    ]


def hits() -> int:
    """Count the marker in all memory of this process that can be written."""
    marker = re.compile(REVERSED[:6:-1] + b"[" + REVERSED[6:7] + b"]" + REVERSED[5::-1])
    count = 0
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    with Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for place, rights, *_ in maps:
            if rights.startswith("rw"):
                start, end = (int(one, 16) for one in place.split("-"))
                memory.seek(start)
                count += len(marker.findall(memory.read(end - start)))
    return count


def main() -> None:
    """Print the count."""
    kept = read() if sys.argv[1:] == ["kept"] else read()[:0]
    gc.collect()
    print(hits(), len(kept))


if __name__ == "__main__":
    main()
