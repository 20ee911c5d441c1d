"""The configuration: what ships is good, what is wrong is named with its path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kioskd.errors import SettingsError
from kioskd.settings import load, read_toml, validate

CONFIG = Path(__file__).parents[2] / "config"


def demo(**changes: Any) -> dict[str, Any]:
    raw = read_toml(CONFIG / "demo.toml")
    raw["services"] = read_toml(CONFIG / raw.pop("services_file"))["services"]
    raw["broker"] = {"host": "127.0.0.1"}
    for path, value in changes.items():
        section, _, key = path.partition("__")
        if key:
            raw.setdefault(section, {})[key] = value
        else:
            raw[section] = value
    return raw


def faults(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        validate(raw)
    return caught.value.faults


def test_the_configuration_that_ships_is_good() -> None:
    settings = load(CONFIG / "kioskd.toml")
    assert [one.id for one in settings.services] == [
        "caf",
        "cpam",
        "msa",
        "france-travail",
        "la-poste",
    ]


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (demo(kiosk__tonw="x"), "kiosk.tonw: unknown key; did you mean 'town'?"),
        (demo(brokr={}), "brokr: unknown key; did you mean 'broker'?"),
        (demo(camera={"driver": "fake", "widht": 1}), "camera.widht: unknown key"),
        (demo(call={"encoder": "av1"}), "call.encoder: Input should be 'auto', 'vp8', 'h264'"),
        (
            demo(camera={"driver": "v4l2", "pass_through": True}),
            'camera: pass_through needs input_format = "h264"',
        ),
        (demo(scanner={"driver": "twain"}), "scanner: "),
        (demo(broker={}), "broker.host: is missing"),
        (demo(broker__certificate="c.pem"), "broker: certificate and key go together"),
        (demo(screen__port=99999), "screen.port: "),
    ],
)
def test_each_fault_is_one_line_with_its_path(raw: dict[str, Any], line: str) -> None:
    found = faults(raw)
    assert len(found) == 1
    assert found[0].startswith(line)


def test_all_faults_are_told_at_once() -> None:
    assert len(faults(demo(kiosk__tonw="x", screen__port=-1))) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [("[kiosk", "not valid TOML"), (None, "No such file"), ("[kiosk]\nidd = 1\n", "kiosk.idd")],
)
def test_kioskctl_config_check_says_it_and_exits_2(
    tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "kioskd.toml"
    if text is not None:
        file.write_text(text)
    result = subprocess.run(
        [sys.executable, "-m", "kioskd.cli", "config", "check", str(file)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
