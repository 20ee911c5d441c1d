"""The printer's contract."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from kioskd.errors import Reason
from kioskd.hal.device import Device, DeviceKind


class JobState(StrEnum):
    """The states of a job, named as IPP's (RFC 8011, 5.3.7)."""

    PENDING = "pending"
    PROCESSING = "processing"
    STOPPED = "stopped"
    COMPLETED = "completed"
    CANCELED = "canceled"
    ABORTED = "aborted"

    @property
    def ended(self) -> bool:
        """True for the states that a job never leaves."""
        return self in (JobState.COMPLETED, JobState.CANCELED, JobState.ABORTED)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Where a job is. `reasons` says what holds it up (paper out, jam...) or why it failed.

    `pages_printed` is what the device says that came out, 0 where it does not say.
    """

    state: JobState
    reasons: frozenset[Reason] = frozenset()
    pages_printed: int = 0


class Printer(Device):
    """A printer with a queue of its own, used by one visit at a time."""

    kind: ClassVar[DeviceKind] = DeviceKind.PRINTER

    @abstractmethod
    async def submit(self, document: Path, *, title: str, copies: int = 1) -> int:
        """Hand a PDF file to the printer and return the job's number.

        When this raises, no paper will come out of it. `title` must not tell anything
        about the resident: it may stand in logs.
        """

    @abstractmethod
    async def job(self, number: int) -> JobStatus:
        """Tell where a job is, by what the device did.

        COMPLETED: it came out whole. A job whose end nobody can vouch for, and one that is not
        known, reads ABORTED with reason JOB_LOST: some of it may have come out, no more will.
        STOPPED: it goes on by itself once the reasons are dealt with. A DeviceError says only
        that nobody can tell at the moment.
        """

    @abstractmethod
    async def cancel(self, number: int) -> None:
        """Stop a job and return when the device prints no more of it (10 s at the most).

        Does nothing when the job has ended or is not known. Raises DeviceError NO_ANSWER
        when it cannot be told that the device has stopped.
        """

    @abstractmethod
    async def purge(self) -> None:
        """Cancel every job and delete every trace of jobs: nothing may come out later."""
