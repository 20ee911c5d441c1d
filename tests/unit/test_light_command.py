"""kioskctl starts without what only a daemon needs: a technician types command after command."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("aiortc", "av", "cv2", "numpy", "pikepdf", "PIL", "drivers", "kioskd.settings")
LOADED = "import sys, kioskd.cli; print(*sys.modules, sep='\\n')"


def test_what_is_heavy_is_loaded_by_the_commands_that_need_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    loaded = {*done.stdout.split()}
    assert "kioskd.cli_test" in loaded
    assert [one for one in HEAVY if one in loaded] == []
