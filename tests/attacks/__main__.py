"""`make attacks`: try every attack, print a line for each, and what got through.

The last line is for programs; the exit code is 1 where anything got through, or an attack
could not be tried.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest


def main(arguments: list[str]) -> int:
    """Try the attacks that `arguments` (pytest's own) select."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "attacks.jsonl"
        os.environ["KIOSKD_ATTACKS"] = str(out)
        code = pytest.main(["-q", "--show-capture=no", "tests/attacks", *arguments])
        lines = out.read_text().splitlines() if out.exists() else []
    rows: list[dict[str, Any]] = [json.loads(one) for one in lines]
    for row in rows:
        done = "refused" if row["refused"] == row["tried"] else "NOT REFUSED"
        print(
            f"{row['name']:60} {row['fault'] or '-':14} {row['tried']:4} tried, {done}, "
            f"{row['media']} media packets, {row['document_bytes']} document bytes"
        )
    sums = {key: sum(row[key] for row in rows) for key in ("tried", "refused")}
    media = sum(row["media"] for row in rows)
    leaked = sum(row["document_bytes"] for row in rows)
    print(
        f"attacks: {sums['tried']} tried, {sums['refused']} refused, "
        f"{media} media packets, {leaked} document bytes"
    )
    good = not code and rows and sums["tried"] == sums["refused"]
    return 0 if good and not media and not leaked else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
