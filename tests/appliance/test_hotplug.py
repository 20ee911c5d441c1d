"""Plugging is noticed: by the kernel's events, and by those of the real systemd-udevd."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kioskd.hal.device import DeviceKind
from kioskd.runtime import hotplug
from kioskd.runtime.hotplug import Hotplug

UEVENT = Path("/sys/class/tty/tty5/uevent")
UDEVD = "/lib/systemd/systemd-udevd"
SCRIPT = """
set -eu
mount --make-rprivate /
mount -t tmpfs none /run
"$UDEVD" --daemon
udevadm control --ping --timeout=30
"$PYTHON" -m tests.appliance.hotplug_listener
udevadm control --exit --timeout=30
"""
"""--exit ends this udevd alone: it is reached through the private /run."""

pytestmark = pytest.mark.appliance
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not UEVENT.exists(), reason="the kernel's events are asked for by root"
)


def plug() -> None:
    UEVENT.write_text("add")


@needs_root
async def test_a_burst_of_the_kernels_events_is_told_once() -> None:
    told: list[frozenset[DeviceKind]] = []
    heard = asyncio.Event()

    def note(kinds: frozenset[DeviceKind]) -> None:
        told.append(kinds)
        heard.set()

    with Hotplug(note, source="kernel") as one:
        assert one.source == "kernel"
        for _ in range(5):
            plug()
        async with asyncio.timeout(10):
            await heard.wait()
        assert told[0] == frozenset({DeviceKind.PANEL})
        assert len(told) == 1
    heard.clear()
    with Hotplug(lambda _: heard.set(), source="kernel"):
        plug()
        async with asyncio.timeout(10):
            await heard.wait()  # by one that has begun since
    assert len(told) == 1, "nothing is told after the end"


@needs_root
def test_udevs_events_are_awaited_where_udev_runs() -> None:
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", SCRIPT],
        env={**os.environ, "UDEVD": UDEVD, "PYTHON": sys.executable},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HEARD udev panel" in done.stdout


async def test_without_udev_it_says_so_once_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_library(_: str) -> None:
        raise ImportError("no libudev")

    monkeypatch.setattr(hotplug, "_monitor", no_library)
    with Hotplug(lambda _: None) as one:
        assert one.source is None
    assert capsys.readouterr().out.count("hotplug.none") == 1
