"""kioskd's unit, user and folders, judged by systemd's own tools."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from scripts import exposure

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNIT = SYSTEMD / "kioskd.service"
UNITS = (UNIT, SYSTEMD / "kioskd-screen.service")
EXECUTABLES = ("/opt/kioskd/bin/kioskd ", "/usr/bin/cage ")

pytestmark = pytest.mark.appliance
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files to a user needs root")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    assert shutil.which(str(command[0])), f"{command[0]} is missing: run make setup"
    return subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def verify(unit: str, folder: Path, name: str = UNIT.name) -> str:
    """Return what `systemd-analyze verify` says; it exits 0 even on unknown keys."""
    file = folder / name
    file.write_text(unit, encoding="utf-8")
    return run("systemd-analyze", "verify", "--man=no", "--recursive-errors=one", file).stdout


def installed(unit: str) -> str:
    """Let the unit's executable be one that is there: verify looks for it."""
    (there,) = [one for one in EXECUTABLES if f"ExecStart={one}" in unit]
    return unit.replace(there, "/bin/true ")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_unit_is_valid(tmp_path: Path, unit: Path) -> None:
    text = installed(unit.read_text(encoding="utf-8"))
    assert verify(text, tmp_path, unit.name) == ""


@pytest.mark.parametrize(
    ("good", "bad", "named"),
    [
        ("NoNewPrivileges=yes", "NoNewPrivilege=yes", "NoNewPrivilege"),
        ("Restart=always", "Restart=allways", "allways"),
        ("=@system-service", "=@system-services", "@system-services"),
        ("/bin/true ", "/opt/nothing/kioskd ", "/opt/nothing/kioskd"),
    ],
)
def test_a_mistake_in_the_unit_is_seen(tmp_path: Path, good: str, bad: str, named: str) -> None:
    unit = installed(UNIT.read_text(encoding="utf-8"))
    assert good in unit
    assert named in verify(unit.replace(good, bad), tmp_path)


def security(unit: Path, threshold: int) -> subprocess.CompletedProcess[str]:
    """Rate a unit from 0 (safe) to 100; exit code 1 above `threshold` (systemd shows tenths)."""
    return run(
        "systemd-analyze",
        "security",
        "--offline=yes",
        "--no-pager",
        f"--threshold={threshold}",
        unit,
    )


def test_the_unit_is_confined(tmp_path: Path) -> None:
    rating = security(UNIT, threshold=20)
    assert rating.returncode == 0, rating.stdout

    bare = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    bare.write_text(re.sub(r"^(Protect|Private|SystemCall).*\n", "", text, flags=re.MULTILINE))
    assert security(bare, threshold=20).returncode == 1


def test_each_unit_of_ours_is_within_the_goal_and_a_bare_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exposure.main() == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == sorted(
        one.name for one in SYSTEMD.glob("*.service")
    )
    (tmp_path / "bare.service").write_text("[Service]\nExecStart=/bin/true\n")
    assert exposure.main(tmp_path) == 1
    assert "goal" in capsys.readouterr().out
    (tmp_path / "bare.service").unlink()
    assert exposure.main(tmp_path) == 1, "no unit at all is no success"


@needs_root
def test_the_user_is_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for attempt in range(2):  # the package's scripts run it at every update
        result = run("systemd-sysusers", f"--root={tmp_path}", SYSTEMD / "kioskd.sysusers")
        assert result.returncode == 0, result.stdout
        assert attempt == 0 or result.stdout == ""
    lines = (tmp_path / "etc/passwd").read_text(encoding="utf-8").splitlines()
    users = {line.split(":")[0]: line.split(":")[1:] for line in lines}
    assert users.keys() == {"kioskd", "kioskd-screen"}
    for _, uid, _, _, _, shell in users.values():
        assert int(uid) < 1000, "a system user"
        assert shell.endswith("nologin")
    assert (users["kioskd"][4], users["kioskd-screen"][4]) == ("/var/lib/kioskd", "/")
    groups = (tmp_path / "etc/group").read_text(encoding="utf-8").splitlines()
    members = {line.split(":")[0]: line.split(":")[3] for line in groups}
    assert members["audio"] == "kioskd"
    assert members["kioskd"] == "", "the screen's user may not use the control socket"
    assert {"kioskd", "scanner", "lp"} <= members.keys()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_group_of_the_unit_exists(unit: Path) -> None:
    """A missing group keeps the unit from starting (status 216/GROUP)."""
    line = re.search(r"^SupplementaryGroups=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None
    made = re.findall(r"^g (\S+)", (SYSTEMD / "kioskd.sysusers").read_text("utf-8"), re.MULTILINE)
    debian = re.findall(
        r"^g (\S+)", Path("/usr/lib/sysusers.d/basic.conf").read_text("utf-8"), re.MULTILINE
    )
    assert set(line[1].split()) <= {*made, *debian}


@needs_root
def test_the_folders_are_made(tmp_path: Path) -> None:
    (tmp_path / "etc/kioskd").mkdir(parents=True)
    (tmp_path / "etc/kioskd/kioskd.toml").touch(mode=0o644)
    run("systemd-sysusers", f"--root={tmp_path}", SYSTEMD / "kioskd.sysusers")
    result = run("systemd-tmpfiles", f"--root={tmp_path}", "--create", SYSTEMD / "kioskd.tmpfiles")
    assert (result.returncode, result.stdout) == (0, "")

    passwd = (tmp_path / "etc/passwd").read_text(encoding="utf-8")
    groups = (tmp_path / "etc/group").read_text(encoding="utf-8")
    (found,) = re.findall(r"^kioskd:x:(\d+):(\d+):", passwd, re.MULTILINE)
    uid, gid = map(int, found)
    assert _mode_and_owner(tmp_path / "run/kioskd-sound") == (0o700, uid, gid)
    (screen,) = re.findall(r"^kioskd-screen:x:(\d+):", groups, re.MULTILINE)
    entry = tmp_path / "run/kioskd-screen"
    assert _mode_and_owner(entry) == (0o2750, uid, int(screen)), "the entry is of this group"
    assert _mode_and_owner(tmp_path / "etc/kioskd") == (0o750, 0, gid)
    assert _mode_and_owner(tmp_path / "etc/kioskd/kioskd.toml") == (0o640, 0, gid)
    assert (tmp_path / "var/lib/systemd/linger/kioskd").is_file()


def _mode_and_owner(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def test_the_linger_file_is_named_like_the_user() -> None:
    """PipeWire runs from boot on for the user that the daemon runs as, and for no other."""
    user = re.search(r"^User=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert user is not None
    tmpfiles = (SYSTEMD / "kioskd.tmpfiles").read_text(encoding="utf-8")
    assert f"/var/lib/systemd/linger/{user[1]} " in tmpfiles
