"""kioskctl with the daemon dead: it says so, says what to do, and exits as documented."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kioskd.diagnostics.findings import device_id
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
