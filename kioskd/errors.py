"""The one error tree of kioskd.

    KioskError                    anything kioskd raises on purpose
    ├── SettingsError             the configuration cannot be used; one line per fault
    ├── DeviceError               a device cannot do what was asked; carries a Reason
    │   ├── DeviceAbsent          it is not there (not plugged, not switched on, not configured)
    │   └── DeviceBusy            somebody else holds it
    ├── WorkerError               a worker process failed as a process
    │   ├── WorkerDied            it ended, by itself or by a signal
    │   └── WorkerStalled         it did not answer or make progress in time, and was killed
    ├── SignallingError           the broker cannot be reached or refused us
    ├── CallError                 a leg could not be made or was refused
    ├── IdentityError             a peer has not proved who it is; carries a PeerFault
    ├── DocumentError             a document was refused; carries a DocumentFault
    ├── ScreenError               the screen's Chromium does not come up
    └── ControlError              kioskctl and the daemon cannot talk to each other

Every cause a person may be told about is an enum member, never a free text: pages
and the CLI translate the member.
"""

from __future__ import annotations

from enum import StrEnum


class KioskError(Exception):
    """Base of all errors that kioskd raises on purpose."""


class SettingsError(KioskError):
    """The configuration cannot be used.

    `faults` holds one line per fault, each with the path of the key concerned.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Reason(StrEnum):
    """Why a device is not simply ready, or why it could not do what was asked."""

    NOT_CONFIGURED = "not-configured"
    NOT_FOUND = "not-found"
    UNPLUGGED = "unplugged"
    PERMISSION = "permission"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    CRASHED = "crashed"
    IO_ERROR = "io-error"
    WRONG_FORMAT = "wrong-format"
    PROTOCOL = "protocol"
    UNSUPPORTED = "unsupported"
    CANCELLED = "cancelled"
    OUT_OF_MEMORY = "out-of-memory"
    DISK_FULL = "disk-full"
    OFFLINE = "offline"
    REJECTED = "rejected"
    FLAPPING = "flapping"
    LEFT_OUT = "left-out"
    # paper
    NO_PAPER = "no-paper"
    PAPER_OUT = "paper-out"
    PAPER_JAM = "paper-jam"
    COVER_OPEN = "cover-open"
    INK_LOW = "ink-low"
    INK_OUT = "ink-out"
    OUTPUT_FULL = "output-full"
    JOB_LOST = "job-lost"
    WARMING_UP = "warming-up"
    # picture and sound
    FROZEN = "frozen"
    BLACK = "black"
    COVERED = "covered"
    SLOW = "slow"
    SILENT = "silent"
    NO_ECHO_CANCELLER = "no-echo-canceller"


class DeviceError(KioskError):
    """A device cannot do what was asked.

    `reason` is for programs and translations, `detail` for the log and the technician.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class DeviceAbsent(DeviceError):
    """The device is not there."""

    def __init__(self, reason: Reason = Reason.NOT_FOUND, detail: str = "") -> None:
        super().__init__(reason, detail)


class DeviceBusy(DeviceError):
    """Somebody else holds the device."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(Reason.BUSY, detail)


class WorkerError(KioskError):
    """A worker process failed as a process."""


class WorkerDied(WorkerError):
    """The worker process ended, by itself or by a signal."""


class WorkerStalled(WorkerError):
    """The worker did not answer or make progress in time, and was killed."""


class SignallingError(KioskError):
    """The broker cannot be reached or refused us."""


class CallError(KioskError):
    """A leg of a call could not be made or was refused."""


class PeerFault(StrEnum):
    """Why a peer is not taken for who it says it is."""

    UNSIGNED = "unsigned"
    UNTRUSTED = "untrusted"
    EXPIRED = "expired"
    REPLAYED = "replayed"
    WRONG_SERVICE = "wrong-service"
    MISMATCH = "mismatch"
    CLOCK = "clock"


class IdentityError(KioskError):
    """A peer has not proved who it is; `fault` says what was wrong."""

    def __init__(self, fault: PeerFault, detail: str = "") -> None:
        super().__init__(f"{fault.value}: {detail}" if detail else fault.value)
        self.fault = fault
        self.detail = detail


class DocumentFault(StrEnum):
    """Why a document was refused or lost."""

    TOO_LARGE = "too-large"
    TOO_MANY_PAGES = "too-many-pages"
    PAGE_TOO_LARGE = "page-too-large"
    WRONG_TYPE = "wrong-type"
    BROKEN = "broken"
    ENCRYPTED = "encrypted"
    EMPTY = "empty"
    CHECKSUM = "checksum"
    BUSY = "busy"
    NOT_NOW = "not-now"
    NO_SPACE = "no-space"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    PROTOCOL = "protocol"


class DocumentError(KioskError):
    """A document was refused or lost; `fault` says why."""

    def __init__(self, fault: DocumentFault, detail: str = "") -> None:
        super().__init__(f"{fault.value}: {detail}" if detail else fault.value)
        self.fault = fault
        self.detail = detail


class ScreenError(KioskError):
    """The screen's Chromium does not come up."""


class ControlError(KioskError):
    """kioskctl and the daemon cannot talk to each other."""
