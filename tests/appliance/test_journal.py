"""kioskctl logs over a real journal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.appliance.journal_of_a_kiosk import JOURNALD

ROOT = Path(__file__).parents[2]
# Private /run and /var/log: this machine's own journal, if it has one, is not touched.
IN_PRIVATE = """
mount --make-rprivate / && mount -t tmpfs none /run && mount -t tmpfs none /var/log
exec "$@"
"""

pytestmark = [
    pytest.mark.appliance,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("unshare") is None or not Path(JOURNALD).exists(),
        reason="needs root and journald",
    ),
]


def events(lines: str) -> list[str]:
    return [json.loads(line)["event"] for line in lines.splitlines()]


def test_the_journal_is_read_chosen_and_followed(tmp_path: Path) -> None:
    answers = tmp_path / "answers.json"
    done = subprocess.run(
        [
            *("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
            *("sh", "-c", IN_PRIVATE, "sh"),
            *(sys.executable, "-m", "tests.appliance.journal_of_a_kiosk", str(answers)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert answers.exists(), done.stdout
    told = json.loads(answers.read_text())
    assert events(told["all"]) == [
        *("kioskd.ready", "device.state", "watchdog.stuck", "Started kioskd.service.")
    ]
    (printer,) = told["printer"].splitlines()
    assert json.loads(printer)["finding"] == "KSK-518"
    assert events(told["followed"]) == ["Started kioskd.service.", "came.later"]
