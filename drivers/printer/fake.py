"""A printer that keeps what it printed, for development, demonstration and tests."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.printer import JobState, JobStatus, Printer
from kioskd.hal.simulated import Simulated

ANSWER_S: Final = 2.0
_HOLDING: Final = frozenset(
    {
        Reason.PAPER_OUT,
        Reason.PAPER_JAM,
        Reason.COVER_OPEN,
        Reason.INK_OUT,
        Reason.OUTPUT_FULL,
    }
)
"""Reasons that stop a printer's jobs until somebody helps it; it still takes new ones."""


class FakePrinterConfig(BaseModel):
    """Takes `job_s` seconds for a job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["fake"] = "fake"
    job_s: float = Field(1.0, ge=0, le=60)

    def build(self) -> FakePrinter:
        """Make the device."""
        return FakePrinter(self.job_s)


@dataclass(slots=True)
class _Job:
    data: bytes
    ready_at: float
    state: JobState = JobState.PROCESSING


class FakePrinter(Simulated, Printer):
    """`printed` holds the bytes of each document that came out, in order."""

    def __init__(self, job_s: float) -> None:
        super().__init__()
        self.printed: list[bytes] = []
        self._job_s = job_s
        self._jobs: dict[int, _Job] = {}
        self._next = 1

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return "fake"

    async def check(self) -> DeviceHealth:
        """Tell whether the printer could be used now."""
        await self._answer()
        if self._fault is not None:
            return DeviceHealth(DeviceState.DEGRADED, self._fault, "simulated")
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Acquire the printer."""
        await self._answer()

    async def close(self) -> None:
        """Release the printer; its jobs go on."""

    async def submit(self, document: Path, *, title: str, copies: int = 1) -> int:  # noqa: ARG002
        """Take a PDF file; the fake prints one copy and no title."""
        await self._answer()
        try:
            data = await asyncio.to_thread(document.read_bytes)
        except OSError as error:
            raise DeviceError(Reason.IO_ERROR, str(error)) from error
        if not data.startswith(b"%PDF-"):
            raise DeviceError(Reason.REJECTED, "not a PDF")
        number, self._next = self._next, self._next + 1
        self._jobs[number] = _Job(data, time.monotonic() + self._job_s)
        return number

    async def job(self, number: int) -> JobStatus:
        """Tell where a job is."""
        await self._answer()
        job = self._jobs.get(number)
        if job is None:
            return JobStatus(JobState.ABORTED, frozenset({Reason.JOB_LOST}))
        if job.state is JobState.PROCESSING and self._fault in _HOLDING:
            assert self._fault is not None
            return JobStatus(JobState.STOPPED, frozenset({self._fault}))
        if job.state is JobState.PROCESSING and not self._held:
            self._print(job)
        return JobStatus(job.state, pages_printed=int(job.state is JobState.COMPLETED))

    async def cancel(self, number: int) -> None:
        """Stop a job."""
        await self._answer()
        job = self._jobs.get(number)
        if job is not None and not job.state.ended:
            job.state = JobState.CANCELED

    async def purge(self) -> None:
        """Forget every job."""
        await self._answer()
        self._jobs.clear()

    def _print(self, job: _Job) -> None:
        if time.monotonic() >= job.ready_at:
            job.state = JobState.COMPLETED
            self.printed.append(job.data)

    async def _answer(self) -> None:
        """A printer without paper still answers; one that hangs still takes questions."""
        if self._fault not in _HOLDING:
            self._raise_fault()
