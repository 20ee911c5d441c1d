"""`kioskctl test` as a command with the daemon dead: exit codes, files, report, 80 columns."""

from __future__ import annotations

import contextlib
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kioskd.diagnostics.trials import TestReport
from kioskd.hal.trial import Trial
from kioskd.simulation.broker import free_port

CONFIG = Path(__file__).parents[2] / "config"


def kioskctl(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kioskd.cli", "test", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **env},
        timeout=60,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    text = (CONFIG / "demo.toml").read_text()
    text = text.replace("services.toml", str(CONFIG / "services.toml"))
    text += f'\n[broker]\nhost = "127.0.0.1"\nport = {free_port()}\ntls = false\n'
    text += f'[control]\nsocket = "{tmp_path}/control.sock"\n'
    file = tmp_path / "kioskd.toml"
    file.write_text(text)
    return file


def test_with_the_daemon_dead_it_opens_the_devices_itself(config: Path, tmp_path: Path) -> None:
    folder, paper = tmp_path / "out", tmp_path / "report.pdf"
    result = kioskctl(
        *("microphone", "scanner", "--json", "--language", "en"),
        *("--config", str(config), "--output", str(folder), "--report", str(paper)),
    )
    assert result.returncode == 0, result.stderr
    told = TestReport.model_validate_json(result.stdout, strict=True)
    assert (told.version, told.by_daemon, told.score) == (1, False, 100)
    assert (told.kiosk, told.town) == ("demo-1", "Exempleville")
    assert [one.trial for one in told.tests] == [Trial.MICROPHONE, Trial.SCANNER]
    files = {Path(file) for one in told.tests for file in one.files}
    assert files == {folder / "microphone.wav", folder / "scan.jpg"}
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in files)
    assert paper.read_bytes().startswith(b"%PDF-")


def test_what_fails_says_what_to_do_and_exits_2(config: Path) -> None:
    environment = {"TERM": "vt100", "NO_COLOR": "1", "COLUMNS": "200", "LC_ALL": "fr_FR.UTF-8"}
    result = kioskctl("network", "--config", str(config), **environment)
    assert result.returncode == 2
    assert "KSK-003" in result.stdout
    assert "À faire" in result.stdout
    assert "\x1b" not in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_without_daemon_and_configuration_it_says_so(tmp_path: Path) -> None:
    socket = str(tmp_path / "none.sock")
    result = kioskctl("camera", "--config", str(tmp_path / "none.toml"), KIOSKD_SOCKET=socket)
    assert result.returncode == 4
    assert socket in result.stderr


@pytest.mark.parametrize(
    "arguments", [("toaster",), (), ("panel", "--buttons", "3600"), ("scanner", "--expect", "a b")]
)
def test_wrong_usage_exits_3(arguments: tuple[str, ...]) -> None:
    assert kioskctl(*arguments).returncode == 3


def at_a_terminal(config: Path, answer: str) -> tuple[int, str]:
    """Print and scan as somebody at a terminal does who answers so; return what it says."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "kioskd.cli", "test", "printer", "scanner"]
    with subprocess.Popen(
        [*command, "--config", str(config), "--language", "en"],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "dumb"},
    ) as process:
        os.close(theirs)
        said = b""
        asked = False
        with contextlib.suppress(OSError):  # EIO: the other end has closed it
            while data := os.read(ours, 4096):
                said += data
                if not asked and b"to skip:" in said:
                    asked = True
                    os.write(ours, answer.encode() + b"\n")
        os.close(ours)
    assert asked
    return process.returncode, said.decode()


def test_somebody_at_a_terminal_is_asked_for_the_printed_page(config: Path) -> None:
    code, said = at_a_terminal(config, "")
    assert code == 2, "the simulated scanner has another page"
    assert "KSK-053" in said
    code, said = at_a_terminal(config, "s")
    assert code == 0
    assert "KSK-053" not in said
