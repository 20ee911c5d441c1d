"""kioskctl with the daemon dead: it says so, says what to do, and exits as documented."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kioskd.diagnostics.findings import Trouble, device_id
from kioskd.diagnostics.report import Report, Verdict
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind

CONFIG = Path(__file__).parents[2] / "config"


def kioskctl(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kioskd.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=60,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    text = (CONFIG / "kioskd.toml").read_text()
    text = text.replace('host = "broker.example.org"', 'host = "127.0.0.1"')
    text = text.replace("port = 8883", "port = 1")  # nobody listens there
    text = text.replace("/run/kioskd/spool", str(tmp_path / "spool"))
    text = text.replace("/run/kioskd/control.sock", str(tmp_path / "control.sock"))
    sane = tmp_path / "sane"  # without a backend: no network is searched
    sane.mkdir()
    (sane / "dll.conf").touch()
    text = text.replace('driver = "sane"', f'driver = "sane"\nconfig_dir = "{sane}"')
    file = tmp_path / "kioskd.toml"
    file.write_text(text)
    (tmp_path / "services.toml").write_text((CONFIG / "services.toml").read_text())
    return file


def test_doctor_names_the_dead_daemon_and_the_dead_broker(config: Path) -> None:
    result = kioskctl("doctor", "--config", str(config), "--json")
    assert result.returncode == 2
    found = {one["id"]: one for one in json.loads(result.stdout)["findings"]}
    assert {"KSK-002", "KSK-003"} <= found.keys()
    assert all(one["action"] for one in found.values())


def test_doctor_names_wrong_settings_first(config: Path) -> None:
    config.write_text(config.read_text().replace("[kiosk]", "[kosk]"))
    result = kioskctl("doctor", "--config", str(config))
    assert result.returncode == 2
    assert "did you mean 'kiosk'?" in result.stdout


def test_its_json_is_what_the_schema_says(config: Path) -> None:
    result = kioskctl("doctor", "--config", str(config), "--json", "--language", "en")
    told = Report.model_validate_json(result.stdout, strict=True)
    assert told.version == 3
    assert told.verdict is Verdict.BROKEN
    assert told.findings[0].id == Trouble.DEAD
    assert told.took_s < 15
    assert {"daemon", "broker", "camera", "panel"} <= {one.name for one in told.checks}


@pytest.mark.parametrize(
    ("language", "words"),
    [("fr", ["EN PANNE", "ne tourne pas", "À faire"]), ("en", ["BROKEN", "does not run", "Do"])],
)
def test_it_is_read_at_80_columns_and_without_colour(
    config: Path, language: str, words: list[str]
) -> None:
    arguments = ("doctor", "--config", str(config))
    environment = {"LC_ALL": f"{language}_XX.UTF-8", "TERM": "vt100", "NO_COLOR": "1"}
    result = kioskctl(*arguments, COLUMNS="200", **environment)
    lines = result.stdout.splitlines()
    assert all(word in result.stdout for word in words)
    assert "\x1b" not in result.stdout
    assert max(len(line) for line in lines if "kioskd.toml" not in line) <= 80


def test_a_configuration_that_may_not_be_read_is_not_called_wrong(config: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    config.chmod(0)
    result = kioskctl("doctor", "--config", str(config), "--json")
    found = [one["id"] for one in json.loads(result.stdout)["findings"]]
    assert Trouble.NOT_ALLOWED in found
    assert Trouble.SETTINGS not in found


def test_it_mends_nothing_unless_it_is_told_to(config: Path) -> None:
    left = config.parent / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    no_systemd = {"PATH": str(config.parent)}
    kioskctl("doctor", "--config", str(config), **no_systemd)
    assert left.exists()
    result = kioskctl("doctor", "--fix", "--language", "en", "--config", str(config), **no_systemd)
    assert result.stdout.startswith("Fix: remove the control socket that a dead kioskd left")
    assert not left.exists()
    assert result.returncode == 2  # the daemon is still dead


SYSTEMCTL = """#!/bin/sh
echo "$1 $2" >> {log}
[ "$1" = show ] && printf 'LoadState=loaded\\nActiveState=failed\\nSubState=failed\\nNRestarts=4\\n'
exit 0
"""


def test_a_daemon_that_systemd_knows_is_started_once_and_only_with_fix(config: Path) -> None:
    programs, log = config.parent / "bin", config.parent / "log"
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL.format(log=log))
    (programs / "systemctl").chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    told = kioskctl("doctor", "--config", str(config), "--json", **path).stdout
    assert "4 restarts" in Report.model_validate_json(told).findings[0].detail
    assert "restart kioskd" not in log.read_text()
    told = kioskctl("doctor", "--config", str(config), "--fix", "--json", **path).stdout
    assert log.read_text().count("restart kioskd") == 1
    assert [one.done for one in Report.model_validate_json(told).fixes] == [True]


def test_explain_tells_one_finding_in_full(tmp_path: Path) -> None:
    french = kioskctl("explain", "ksk-0105", "--language", "fr").stdout
    assert "Caméra : ne répond pas" in french
    told = kioskctl("explain", "KSK-105", "--language", "en", "--json").stdout
    assert json.loads(told)["title"] == "Camera: does not answer"


@pytest.mark.parametrize("identifier", ["KSK-999", "toaster"])
def test_explain_of_an_unknown_id_is_wrong_usage(identifier: str) -> None:
    result = kioskctl("explain", identifier)
    assert result.returncode == 3
    assert identifier in result.stderr


@pytest.mark.parametrize("command", ["status", "devices", "services", "call"])
def test_without_a_daemon_commands_say_so_in_one_line(tmp_path: Path, command: str) -> None:
    result = kioskctl(command, KIOSKD_SOCKET=str(tmp_path / "none.sock"))
    assert result.returncode == 4
    assert result.stderr.startswith("kioskd does not run")
    assert result.stderr.count("\n") == 1


def test_wrong_usage_exits_3() -> None:
    assert kioskctl("test", "toaster").returncode == 3


def test_the_schema_is_json_and_names_the_devices() -> None:
    schema = json.loads(kioskctl("config", "schema").stdout)
    assert {"camera", "printer", "services"} <= schema["properties"].keys()


def test_every_reason_of_every_device_has_an_id_of_its_own() -> None:
    ids = {device_id(kind, reason) for kind in DeviceKind for reason in Reason}
    assert len(ids) == len(DeviceKind) * len(Reason)
