"""`make faults`: inject every fault, print the table with the measured times.

The last line is for programs: `faults: N injected, N recovered`; the exit code is 1 where
the two differ or a row could not be tried.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from tests.faults.rig import LOG


def main(arguments: list[str]) -> int:
    """Run the rows that `arguments` (pytest's own) select."""
    os.environ["KIOSKD_FAULTS"] = "all"
    (LOG / "faults.json").unlink(missing_ok=True)
    code = pytest.main(["-q", "--show-capture=no", "tests/faults/test_faults.py", *arguments])
    try:
        rows: list[dict[str, Any]] = json.loads((LOG / "faults.json").read_text())
    except OSError:
        rows = []
    Console(width=150).print(_table(rows))
    recovered = sum(bool(row["recovered"]) for row in rows)
    print(f"faults: {len(rows)} injected, {recovered} recovered")
    return 1 if code or not rows or recovered != len(rows) else 0


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Faults; times in seconds, gaps are the agent's longest without")
    for name in ("fault", "what is seen", "after", "well after", "picture", "sound", ""):
        table.add_column(name, justify="left" if name in ("fault", "what is seen") else "right")
    for row in rows:
        figures = [
            f"{row[key]:.2f}" if key in row else "–"
            for key in ("seen_s", "back_s", "picture_gap_s", "sound_gap_s")
        ]
        table.add_row(
            row["name"], row.get("seen", "–"), *figures, "" if row["recovered"] else "FAILED"
        )
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
