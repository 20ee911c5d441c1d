"""A printer through CUPS."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.printer import JobState, JobStatus, Printer
from kioskd.runtime.worker import DeviceWorker

ASK_S: Final = 2.8
"""A cupsd that answers takes milliseconds; one that is stopped would block a minute."""
JOB_S: Final = 12.0
"""As long as a cancel: a job that is lost is cancelled before it is told."""
SUBMIT_S: Final = 20.0
CANCEL_S: Final = 10.0
LIFE_S: Final = 1200
"""Longer than fifty pages on a slow printer and the time that a visit waits for paper."""


class CupsPrinterConfig(BaseModel):
    """`queue` is CUPS's name (lpstat -e); `server` a host:port or socket, empty for CUPS's own.

    `job_life_s`: CUPS itself cancels a job that lives longer, should the daemon be dead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["cups"] = "cups"
    queue: str = Field(min_length=1)
    server: str = ""
    job_life_s: int = Field(LIFE_S, ge=1)

    def build(self) -> CupsPrinter:
        """Make the device."""
        return CupsPrinter(self)


class CupsPrinter(Printer):
    """Runs pycups in a worker process, which is replaced when it hangs or crashes.

    The queue is the kiosk's own. When its printer speaks IPP the printer is asked itself,
    and `cups_worker` tells how little is left to CUPS; otherwise CUPS is believed, and a
    cupsd that is restarted prints an unfinished job again (docs/hardware.md).
    """

    def __init__(self, config: CupsPrinterConfig) -> None:
        self._config = config
        self._jobs: dict[int, tuple[str, str]] = {}
        """Of each job its name and its printer's address: a worker that dies knows nothing."""
        self._canceled: set[int] = set()
        self._unclean = True
        """A job of ours may be left somewhere: cleaned up as soon as somebody answers."""
        self._worker = DeviceWorker(
            "printer",
            "drivers.printer.cups_worker:CupsWorker",
            {"queue": config.queue, "server": config.server, "life_s": config.job_life_s},
        )

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"cups {self._config.queue}"

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, for the technician and for tests of its death."""
        return self._worker.pid

    async def check(self) -> DeviceHealth:
        """Ask CUPS and the printer for the printer's state.

        A printer that is switched off is FAILED (OFFLINE), not ABSENT: the kiosk has one, and
        in a village hall somebody can walk up to it and press its switch.
        """
        reasons = await self._worker.call("check", timeout=ASK_S)
        if self._unclean:
            await self._purge(ASK_S, wait=False)
        if reasons:
            return DeviceHealth(DeviceState.DEGRADED, Reason(reasons[0]), ", ".join(reasons))
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Make sure that CUPS knows the queue."""
        await self._worker.call("check", timeout=ASK_S)

    async def close(self) -> None:
        """End the worker; CUPS's jobs go on."""
        await self._worker.stop()

    async def submit(self, document: Path, *, title: str, copies: int = 1) -> int:
        """Hand a PDF file to CUPS."""
        if self._unclean:
            await self.check()
        name = f"{title}_{secrets.token_hex(4)}"  # of the job and of its queue (letters, digits, _)
        try:
            number, uri = await self._worker.call(
                "submit", timeout=SUBMIT_S, document=str(document), name=name, copies=copies
            )
        except BaseException:
            # A job whose number nobody learned may be in the queue, which is ours alone.
            self._unclean = True
            with contextlib.suppress(DeviceError):
                await asyncio.shield(self._purge(ASK_S, wait=False))
            raise
        self._jobs[number] = (name, uri)
        return int(number)

    async def job(self, number: int) -> JobStatus:
        """Ask CUPS and the printer where a job is."""
        if number in self._canceled:
            return JobStatus(JobState.CANCELED)
        if number not in self._jobs:
            return JobStatus(JobState.ABORTED, frozenset({Reason.JOB_LOST}))
        name, uri = self._jobs[number]
        answer: dict[str, Any] = await self._worker.call(
            "job", timeout=JOB_S, stall=ASK_S, number=number, name=name, uri=uri
        )
        reasons = frozenset(Reason(one) for one in answer["reasons"])
        state = JobState(answer["state"])
        if state is JobState.ABORTED:
            self._unclean = True  # a printer that was off may remember it once it is on
        return JobStatus(state, reasons, answer["pages"])

    async def cancel(self, number: int) -> None:
        """Cancel a job and wait until the printer has stopped."""
        if number not in self._jobs:
            return
        name, uri = self._jobs[number]
        try:
            stopped = await self._worker.call(
                "cancel", timeout=CANCEL_S, number=number, name=name, uri=uri
            )
        except BaseException:
            self._unclean = True
            raise
        if stopped:
            self._canceled.add(number)

    async def purge(self) -> None:
        """Cancel and forget every job of ours."""
        await self._purge(CANCEL_S, wait=True)

    async def _purge(self, timeout: float, *, wait: bool) -> None:
        self._unclean = True
        self._jobs.clear()
        self._canceled.clear()
        self._unclean = not await self._worker.call("purge", timeout=timeout, wait=wait)
