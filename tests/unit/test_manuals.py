"""Man pages and completion are made from the commands, and real programs read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.manuals import SCRIPT, SHELLS, completion, pages

MAKE_PROGRAM = f"""#!/bin/sh
exec {sys.executable} -c "{SCRIPT}" "$@"
"""


def test_every_command_has_its_page() -> None:
    made = pages()
    for command in ("status", "logs", "bundle", "restart", "maintenance", "top", "doctor"):
        assert f"kioskctl-{command}.1" in made
        assert f"\\fBkioskctl\\-{command}(1)\\fR" in made["kioskctl.1"]
    assert "\\fB\\-\\-follow" in made["kioskctl-logs.1"].replace("\\-f, ", "")
    assert '.SH "PURGE"' in made["kioskd.8"]
    assert '.SH "VERIFY"' in made["kioskctl-audit.1"]


def test_groff_takes_them_without_a_warning(tmp_path: Path) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not here")
    for name, text in pages().items():
        file = tmp_path / name
        file.write_text(text)
        command = [groff, "-man", "-Tascii", "-ww", "-rLL=80n", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        assert "SYNOPSIS" in re.sub(".\\x08", "", done.stdout)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "kioskctl"
    file.write_text(MAKE_PROGRAM)
    file.chmod(0o755)
    return tmp_path


def bash(script: str, program: Path, *words: str) -> list[str]:
    """Return what bash completes after `words`, the last of which is begun."""
    quoted = " ".join(f"'{one}'" for one in words)
    asked = (
        f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        '_kioskctl_completion kioskctl\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{program}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": path},
    )
    return done.stdout.split()


def test_bash_completes_commands_devices_and_findings(program: Path) -> None:
    script = completion("bash")
    assert "_KIOSKCTL_COMPLETE=complete_bash" in script
    assert bash(script, program, "kioskctl", "mai") == ["maintenance"]
    assert bash(script, program, "kioskctl", "restart", "s") == ["speaker", "scanner"]
    assert bash(script, program, "kioskctl", "explain", "KSK-00")[:2] == ["KSK-001", "KSK-002"]


@pytest.mark.parametrize("shell", [one for one in SHELLS if one != "bash"])
def test_the_shells_that_are_not_here_are_answered(shell: str) -> None:
    assert f"_KIOSKCTL_COMPLETE=complete_{shell}" in completion(shell)
    environment = {
        **os.environ,
        "_KIOSKCTL_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": "kioskctl restart c",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment
    )
    assert "camera" in done.stdout
    assert "printer" not in done.stdout
