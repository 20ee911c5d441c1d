"""Findings: stable ids, what they mean, what to do. `kioskctl doctor` prints them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind


class Severity(StrEnum):
    """How much residents notice: BROKEN stops every call, DEGRADED a part of it."""

    BROKEN = "broken"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, its likely cause, and the next thing to do."""

    id: str
    severity: Severity
    title: str
    cause: str
    action: str


_KIND_NUMBER: Final = {
    DeviceKind.CAMERA: 1,
    DeviceKind.MICROPHONE: 2,
    DeviceKind.SPEAKER: 3,
    DeviceKind.SCANNER: 4,
    DeviceKind.PRINTER: 5,
    DeviceKind.PANEL: 6,
}

_REASON_NUMBER: Final = {
    Reason.NOT_CONFIGURED: 0,
    Reason.NOT_FOUND: 1,
    Reason.UNPLUGGED: 2,
    Reason.PERMISSION: 3,
    Reason.BUSY: 4,
    Reason.NO_ANSWER: 5,
    Reason.CRASHED: 6,
    Reason.IO_ERROR: 7,
    Reason.WRONG_FORMAT: 8,
    Reason.PROTOCOL: 9,
    Reason.UNSUPPORTED: 10,
    Reason.CANCELLED: 11,
    Reason.OUT_OF_MEMORY: 12,
    Reason.DISK_FULL: 13,
    Reason.OFFLINE: 14,
    Reason.REJECTED: 15,
    Reason.NO_PAPER: 16,
    Reason.PAPER_OUT: 17,
    Reason.PAPER_JAM: 18,
    Reason.COVER_OPEN: 19,
    Reason.INK_LOW: 20,
    Reason.INK_OUT: 21,
    Reason.FLAPPING: 22,
    Reason.LEFT_OUT: 23,
    Reason.OUTPUT_FULL: 24,
    Reason.JOB_LOST: 25,
    Reason.WARMING_UP: 26,
    Reason.FROZEN: 27,
    Reason.BLACK: 28,
    Reason.COVERED: 29,
    Reason.SLOW: 30,
    Reason.SILENT: 31,
    Reason.NO_ECHO_CANCELLER: 32,
}
"""The last two digits of a finding's id: printed on paper, so never given to another reason."""

_ACTIONS: Final = {
    Reason.NOT_FOUND: "Check that it is plugged in and switched on, and its name in kioskd.toml.",
    Reason.UNPLUGGED: "Plug it in again; kioskd finds it by itself.",
    Reason.PERMISSION: "The daemon's user may not open it: check the groups and the udev rules.",
    Reason.BUSY: "Another program holds it: stop that program, or restart the kiosk.",
    Reason.NO_ANSWER: "Switch it off and on again.",
    Reason.CRASHED: "Its driver crashed and is started again; if it stays, unplug and replug it.",
    Reason.IO_ERROR: "Check the cable; try another USB port.",
    Reason.WRONG_FORMAT: "It does not offer the format in kioskd.toml: choose one that it has.",
    Reason.PAPER_OUT: "Put paper in.",
    Reason.PAPER_JAM: "Open it and take the paper out.",
    Reason.COVER_OPEN: "Close its cover.",
    Reason.INK_LOW: "Have a new cartridge at hand.",
    Reason.INK_OUT: "Put a new cartridge in.",
    Reason.OFFLINE: "Check its network or USB cable and its power.",
    Reason.OUTPUT_FULL: "Take the sheets out of the output tray.",
    Reason.FLAPPING: "Its cable or its power comes and goes: change the cable, the port, the hub.",
    Reason.LEFT_OUT: "kioskd failed to start with it: replace it, then: kioskctl readmit DEVICE",
    Reason.FROZEN: "Unplug it and plug it in again; if it freezes again, replace it.",
    Reason.BLACK: "Check the lens's shutter; unplug it and plug it in again.",
    Reason.COVERED: "Uncover the lens.",
    Reason.SLOW: "It is dark at the kiosk: more light on the resident's face.",
    Reason.SILENT: "Check its mute switch, its cable and its level (pavucontrol).",
    Reason.NO_ECHO_CANCELLER: "Load PipeWire's echo canceller: see systemd/README.md.",
}
_DEFAULT_ACTION: Final = "Look at the log: journalctl -u kioskd"


def device_finding(kind: DeviceKind, reason: Reason, detail: str) -> Finding:
    """Describe a device that cannot be used or is degraded."""
    return Finding(
        id=f"KSK-{_KIND_NUMBER[kind]}{_REASON_NUMBER[reason]:02d}",
        severity=Severity.DEGRADED,
        title=f"{kind.value}: {reason.value}",
        cause=detail or reason.value,
        action=_ACTIONS.get(reason, _DEFAULT_ACTION),
    )


def settings_finding(fault: str) -> Finding:
    """Describe a fault of the configuration."""
    return Finding(
        id="KSK-001",
        severity=Severity.BROKEN,
        title="the configuration cannot be used",
        cause=fault,
        action="Correct that line, then: kioskctl config check FILE",
    )


def daemon_finding(cause: str) -> Finding:
    """Describe a daemon that does not answer."""
    return Finding(
        id="KSK-002",
        severity=Severity.BROKEN,
        title="kioskd does not run or does not answer",
        cause=cause,
        action="systemctl restart kioskd; if it does not stay up: journalctl -u kioskd -e",
    )


def broker_finding(cause: str) -> Finding:
    """Describe a broker that cannot be reached."""
    return Finding(
        id="KSK-003",
        severity=Severity.BROKEN,
        title="the broker cannot be reached: no call can be placed",
        cause=cause,
        action="Check the network cable and the router, then host and port in [broker].",
    )


def screen_finding() -> Finding:
    """Describe a screen page that is not connected."""
    return Finding(
        id="KSK-004",
        severity=Severity.BROKEN,
        title="the screen's page is not connected: residents see nothing",
        cause="the browser of the screen does not run or shows another page",
        action="Restart the screen's browser, or open the screen's address in one.",
    )


def spool_finding(cause: str) -> Finding:
    """Describe a spool that is not in RAM or cannot be written."""
    return Finding(
        id="KSK-005",
        severity=Severity.BROKEN,
        title="documents cannot be kept safely",
        cause=cause,
        action="Point documents.spool at a folder on a tmpfs, such as /run/kioskd/spool.",
    )
