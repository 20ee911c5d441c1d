"""Findings: stable ids and how bad each is. What they say stands in `words/`.

An id is KSK- and three digits. The first is 0 for the kiosk as a whole (`Trouble`), else the
kind of a device, and the last two are then the reason. They are printed on paper: a number is
never given to another meaning, and one that is no longer used stays free.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind, DeviceState


class Severity(StrEnum):
    """How much residents notice: BROKEN stops every call, DEGRADED a part of it. A NOTE is no
    fault: somebody wants it so.
    """

    BROKEN = "broken"
    DEGRADED = "degraded"
    NOTE = "note"


class Trouble(StrEnum):
    """What can be wrong with the kiosk as a whole."""

    SETTINGS = "KSK-001"
    DEAD = "KSK-002"
    BROKER = "KSK-003"
    NO_SCREEN = "KSK-004"
    SPOOL_ON_DISK = "KSK-005"
    HANGS = "KSK-006"
    SAFE_MODE = "KSK-007"
    NAMES = "KSK-008"
    NO_NETWORK = "KSK-009"
    BROKER_CERTIFICATE = "KSK-010"
    OWN_CERTIFICATE = "KSK-011"
    REFUSED = "KSK-012"
    BROKER_SILENT = "KSK-013"
    CLOCK = "KSK-014"
    SPOOL_FULL = "KSK-015"
    SPOOL_UNWRITABLE = "KSK-016"
    STATE_UNWRITABLE = "KSK-017"
    DISK_FULL = "KSK-018"
    SWAP = "KSK-019"
    CORE_DUMPS = "KSK-020"
    SOUND_SERVER = "KSK-021"
    PRINT_SYSTEM = "KSK-022"
    CHECK_HANGS = "KSK-023"
    NOT_ALLOWED = "KSK-024"
    SCREEN_PORT = "KSK-026"
    NO_DESCRIPTORS = "KSK-027"
    USB_HUB = "KSK-028"
    STUCK = "KSK-029"
    EXPIRES_SOON = "KSK-031"
    UNCONFINED = "KSK-034"
    PRINT_FILES_KEPT = "KSK-035"
    CODING = "KSK-036"
    ENCODER = "KSK-037"
    AUDIT = "KSK-040"
    IDENTITY = "KSK-041"
    UNSIGNED = "KSK-042"
    RELAY = "KSK-050"
    RELAY_REFUSES = "KSK-051"
    SELF_CALL = "KSK-052"
    OTHER_PAGE = "KSK-053"
    MAINTENANCE = "KSK-060"


_BROKEN: Final = frozenset(
    {
        Trouble.SETTINGS,
        Trouble.DEAD,
        Trouble.BROKER,
        Trouble.NO_SCREEN,
        Trouble.SPOOL_ON_DISK,
        Trouble.HANGS,
        Trouble.NAMES,
        Trouble.NO_NETWORK,
        Trouble.BROKER_CERTIFICATE,
        Trouble.OWN_CERTIFICATE,
        Trouble.REFUSED,
        Trouble.BROKER_SILENT,
        Trouble.SOUND_SERVER,
        Trouble.SCREEN_PORT,
        Trouble.NO_DESCRIPTORS,
        Trouble.STUCK,
        Trouble.IDENTITY,
        Trouble.SELF_CALL,
        Trouble.CODING,
    }
)
_SPEECH: Final = (DeviceKind.MICROPHONE, DeviceKind.SPEAKER)
"""Without these a call is none."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a check has found: which finding it is, and what was seen of it, untranslated."""

    id: str
    severity: Severity
    detail: str = ""


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

_KINDS: Final = {number: kind for kind, number in _KIND_NUMBER.items()}
_REASONS: Final = {number: reason for reason, number in _REASON_NUMBER.items()}


def why(error: OSError) -> str:
    """Return what the system says of an error, without Python's words around it."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)


def trouble(what: Trouble, detail: str = "") -> Found:
    """Tell of the kiosk as a whole."""
    if what is Trouble.MAINTENANCE:
        return Found(what.value, Severity.NOTE, detail)
    return Found(what.value, Severity.BROKEN if what in _BROKEN else Severity.DEGRADED, detail)


def device_id(kind: DeviceKind, reason: Reason) -> str:
    """Return the id of a device's trouble."""
    return f"KSK-{_KIND_NUMBER[kind]}{_REASON_NUMBER[reason]:02d}"


def device_finding(kind: DeviceKind, state: DeviceState, reason: Reason, detail: str) -> Found:
    """Tell of a device that cannot be used or is degraded."""
    dead = kind in _SPEECH and not state.usable
    severity = Severity.BROKEN if dead else Severity.DEGRADED
    return Found(device_id(kind, reason), severity, detail)


def normal(identifier: str) -> str | None:
    """Return an id as it is written, of one as people type it; None when there is none such.

    "ksk-3", "0105" and "KSK-105" will do.
    """
    digits = identifier.strip().upper().removeprefix("KSK").lstrip("-")
    if not (digits.isascii() and digits.isdigit()) or int(digits) > 999:
        return None
    found = f"KSK-{int(digits):03d}"
    return found if found in {*Trouble} or device_of(found) is not None else None


def known() -> list[str]:
    """Return all ids."""
    devices = [device_id(kind, reason) for kind in DeviceKind for reason in Reason]
    return sorted({*(one.value for one in Trouble), *devices})


def device_of(identifier: str) -> tuple[DeviceKind, Reason] | None:
    """Return what device and reason an id stands for; None for one of the kiosk as a whole."""
    kind, reason = _KINDS.get(int(identifier[4])), _REASONS.get(int(identifier[5:7]))
    return None if kind is None or reason is None else (kind, reason)


def severity_of(identifier: str) -> Severity:
    """Return how bad it is, at its worst."""
    device = device_of(identifier)
    if device is not None:
        return device_finding(device[0], DeviceState.FAILED, device[1], "").severity
    return trouble(Trouble(identifier)).severity
