"""`make doctor-score`: inject every fault, ask doctor, print what it named first.

The last line is for programs: `doctor: N of N right cause first, N false on healthy`; the exit
code is 1 below 95 %, with any false one, or where a fault could not be injected.
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

RIGHT = 0.95


def main(arguments: list[str]) -> int:
    """Run the faults that `arguments` (pytest's own) select."""
    os.environ["KIOSKD_FAULTS"] = "all"
    (LOG / "doctor.json").unlink(missing_ok=True)
    code = pytest.main(["-q", "--show-capture=no", "tests/faults/test_doctor.py", *arguments])
    try:
        rows: list[dict[str, Any]] = json.loads((LOG / "doctor.json").read_text())
    except OSError:
        rows = []
    Console(width=110).print(_table(rows))
    faults = [row for row in rows if row["wanted"]]
    right = sum(bool(row["right"]) for row in faults)
    untried = [row for row in rows if "told" not in row]
    false = sum(len(row.get("told", [])) for row in rows if not row["wanted"])
    print(f"doctor: {right} of {len(faults)} right cause first, {false} false on healthy")
    short = right < RIGHT * len(faults)
    strange = code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    return int(short or bool(false or untried) or strange or not faults)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Doctor; seconds for the whole command")
    for name in ("fault", "wanted first", "told", "took", ""):
        table.add_column(name, justify="right" if name == "took" else "left")
    for row in rows:
        took = f"{row['took_s']:.1f}" if "took_s" in row else "–"
        told = " ".join(row["told"]) if "told" in row else "not asked"
        wanted = " or ".join(row["wanted"]) or "nothing"
        table.add_row(row["name"], wanted, told, took, "" if row["right"] else "WRONG")
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
