"""What is left in memory of messages that were read and dropped, under the unit's settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.unit.memory_of_messages import COUNT

UNIT = Path(__file__).parents[2] / "systemd" / "kioskd.service"
TOLERATED = 3
"""Of 300: a stack may hold a copy of the last one until it is used again."""


def _hits(*arguments: str) -> int:
    lines = UNIT.read_text().splitlines()
    told = next(one for one in lines if one.startswith("Environment=PYTHONMALLOC="))
    settings = dict(one.split("=", 1) for one in told.removeprefix("Environment=").split())
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.memory_of_messages", *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout.split()[0])


def test_messages_that_are_kept_are_found() -> None:
    assert _hits("kept") >= COUNT


def test_messages_that_were_dropped_are_gone() -> None:
    assert _hits() <= TOLERATED
