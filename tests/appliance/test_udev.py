"""The kiosk's udev rules, run by the real udev in a private /run and /dev."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RULES = Path(__file__).resolve().parents[2] / "udev/70-kioskd.rules"
TTY = Path("/sys/class/tty/tty5")

# `udevadm test` runs all rules of the machine on one device, and makes its links. /run is where
# rules may stand beside the machine's own, and where udev keeps its database.
SCRIPT = """
set -eu
mount --make-rprivate /
mount -t tmpfs none /run
mkdir -p /run/udev/rules.d /run/dev
cp "$RULES" /run/udev/rules.d/70-kioskd.rules
printf '%s\\n' "$PROPERTIES" >/run/udev/rules.d/65-test.rules
mount -t tmpfs none /run/dev
mknod -m 600 /run/dev/tty5 c 4 5
mknod -m 666 /run/dev/null c 1 3
mount --move /run/dev /dev
udevadm test --action=add "$DEVICE" 2>&1
if [ -L /dev/kiosk/panel ]; then
    echo "LINK $(readlink /dev/kiosk/panel) $(stat -c '%G %a' /dev/tty5)"
fi
"""

pytestmark = [
    pytest.mark.appliance,
    pytest.mark.skipif(os.geteuid() != 0, reason="a private /run and /dev needs root"),
]


def apply(rules: Path, properties: str) -> str:
    """Return what udev says of tty5 with `properties`, as a USB device's rules set them."""
    assert TTY.exists(), "the kernel has no virtual terminals"
    assert shutil.which("udevadm"), "udevadm is missing: run make setup"
    assignments = "".join(f', ENV{{{key}}}="{value}"' for key, value in _pairs(properties))
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", SCRIPT],
        env={
            "PATH": os.environ["PATH"],
            "RULES": str(rules),
            "PROPERTIES": f'KERNEL=="{TTY.name}"{assignments}',
            "DEVICE": str(TTY),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _pairs(properties: str) -> list[list[str]]:
    return [pair.split("=", 1) for pair in properties.split()]


def complaints(output: str) -> list[str]:
    """Return udev's words on our file: FILE:LINE and the fault, without a device before it."""
    return [
        line for line in output.splitlines() if line.startswith(f"/run/udev/rules.d/{RULES.name}:")
    ]


@pytest.mark.parametrize(
    "properties",
    ["ID_BUS=usb ID_MODEL=kioskd_panel", "ID_BUS=usb ID_MODEL=Uno_R4 KIOSKD_PANEL=1"],
    ids=["our own firmware", "a local rule for another board"],
)
def test_the_panel_has_its_name(properties: str) -> None:
    output = apply(RULES, properties)
    assert complaints(output) == []
    assert "LINK ../tty5 dialout 660" in output


@pytest.mark.parametrize("properties", ["ID_BUS=usb ID_MODEL=FT232R", "ID_MODEL=kioskd_panel"])
def test_another_serial_port_is_left_alone(properties: str) -> None:
    output = apply(RULES, properties)
    assert f"DEVPATH=/devices/virtual/tty/{TTY.name}" in output
    assert "LINK" not in [line.partition(" ")[0] for line in output.splitlines()]
    assert "KIOSKD_PANEL" not in output


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ('SYMLINK+="kiosk/camera"', 'SYMLNK+="kiosk/camera"', "SYMLNK"),
        ('MODE="0660"', 'MODE=="0660"', "MODE"),
        ('GOTO="kioskd_end"', 'GOTO="kiosk_end"', "kiosk_end"),
    ],
)
def test_a_mistake_in_the_rules_is_seen(tmp_path: Path, good: str, bad: str, fault: str) -> None:
    text = RULES.read_text(encoding="utf-8")
    assert good in text
    broken = tmp_path / RULES.name
    broken.write_text(text.replace(good, bad), encoding="utf-8")
    assert any(fault in line for line in complaints(apply(broken, "ID_BUS=usb")))
