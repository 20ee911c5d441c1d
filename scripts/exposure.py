"""What systemd thinks of our units' confinement: a line for each, exit code 1 above the goal.

systemd-analyze rates a unit from 0 (nothing can be reached) to 10, from its settings alone. The
goal is GOAL for each unit; Debian's own daemons have 2 to 9.6.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

UNITS = Path(__file__).parents[1] / "systemd"
GOAL = 2.0


def score(unit: Path) -> float:
    """Return the exposure of a unit. Raises ValueError where systemd-analyze tells none."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
    if found is None:
        raise ValueError(f"{unit.name}: {done.stdout}{done.stderr}")
    return float(found[1])


def main(units: Path = UNITS) -> int:
    """Print a line for each unit; return the exit code."""
    scores = {unit.name: score(unit) for unit in sorted(units.glob("*.service"))}
    for name, exposure in scores.items():
        print(f"{name} {exposure:.1f}{'' if exposure <= GOAL else f' (goal {GOAL})'}")
    return 0 if scores and all(one <= GOAL for one in scores.values()) else 1


if __name__ == "__main__":
    sys.exit(main(*(Path(one) for one in sys.argv[1:])))
