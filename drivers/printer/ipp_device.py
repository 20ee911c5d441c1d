"""What an IPP printer itself says and holds: CUPS repeats it late, and keeps what is over.

A job of ours is known there by its name, which nobody else gives, or by our user's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from drivers.printer import ipp
from kioskd.errors import DeviceError, Reason

USER: Final = "kioskd"
CANCELED: Final = 7  # job-state, RFC 8011, 5.3.7
COMPLETED: Final = 9
STOPPED: Final = 5  # printer-state, RFC 8011, 5.4.11
_WANTED: Final = ["printer-state", "printer-state-reasons"]
_WANTED_OF_JOBS: Final = [
    "job-id",
    "job-name",
    "job-state",
    "job-originating-user-name",
    "job-impressions-completed",
]


@dataclass(frozen=True, slots=True)
class PrinterAnswer:
    """`state` is printer-state (RFC 8011, 5.4.11)."""

    state: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceJob:
    """A job as the printer has it; `pages` is how many sides came out, 0 where it does not say."""

    number: int
    name: str
    user: str
    state: int
    pages: int


def is_ipp(uri: str) -> bool:
    """True where the printer can be asked."""
    return urlsplit(uri).scheme in ("ipp", "ipps")


def ask_printer(uri: str) -> PrinterAnswer:
    """Ask the printer at `uri` how it is. Raises DeviceError OFFLINE, or PROTOCOL."""
    answer = _asked(uri, ipp.GET_PRINTER_ATTRIBUTES, {"requested-attributes": _WANTED})
    found = {
        name: values for group in answer.all(ipp.PRINTER_GROUP) for name, values in group.items()
    }
    if "printer-state" not in found:
        raise DeviceError(Reason.PROTOCOL, "the printer does not tell its state")
    return PrinterAnswer(
        state=int(found["printer-state"][0]),
        reasons=tuple(str(one) for one in found.get("printer-state-reasons", ())),
    )


def jobs_of(uri: str, which: Literal["completed", "not-completed"]) -> list[DeviceJob]:
    """Return the printer's jobs, ended or not. Raises DeviceError OFFLINE, or PROTOCOL."""
    wish: ipp.Wish = {
        "requesting-user-name": USER,
        "which-jobs": which,
        "requested-attributes": _WANTED_OF_JOBS,
    }
    return [
        DeviceJob(
            number=int(_first(group, "job-id", 0)),
            name=str(_first(group, "job-name", "")),
            user=str(_first(group, "job-originating-user-name", "")),
            state=int(_first(group, "job-state", 0)),
            pages=int(_first(group, "job-impressions-completed", 0)),
        )
        for group in _asked(uri, ipp.GET_JOBS, wish).all(ipp.JOB_GROUP)
    ]


def cancel_job(uri: str, number: int) -> None:
    """Let the printer drop a job; it stops at the next page. Raises DeviceError OFFLINE.

    A refusal is none of this function's business: the job may have ended meanwhile, and
    whoever wants to know looks whether it is still there.
    """
    wish: ipp.Wish = {"job-id": number, "requesting-user-name": USER}
    ipp.ask_uri(uri, ipp.request(uri, ipp.CANCEL_JOB, wish))


def _asked(uri: str, operation: int, wish: ipp.Wish) -> ipp.Answer:
    answer = ipp.ask_uri(uri, ipp.request(uri, operation, wish))
    if answer.status >= ipp.SUCCESS_BELOW:
        raise DeviceError(Reason.PROTOCOL, f"the printer answers {answer.status:#06x}")
    return answer


def _first(group: ipp.Attributes, name: str, otherwise: ipp.Value) -> ipp.Value:
    values = group.get(name)
    return values[0] if values else otherwise
