"""A printer through CUPS."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.printer import JobState, JobStatus, Printer
from kioskd.runtime.worker import DeviceWorker

ASK_S: Final = 2.8
"""A cupsd that answers takes milliseconds; one that is stopped would block a minute."""
SUBMIT_S: Final = 20.0
CANCEL_S: Final = 10.0


class CupsPrinterConfig(BaseModel):
    """`queue` is CUPS's name (lpstat -e); `server` a host:port or socket, empty for CUPS's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["cups"] = "cups"
    queue: str = Field(min_length=1)
    server: str = ""

    def build(self) -> CupsPrinter:
        """Make the device."""
        return CupsPrinter(self)


class CupsPrinter(Printer):
    """Runs pycups in a worker process, which is replaced when it hangs or crashes.

    The queue is the kiosk's own, and its user may cancel and purge jobs there (CUPS:
    a member of SystemGroup). A printer that speaks IPP is asked itself too.
    """

    def __init__(self, config: CupsPrinterConfig) -> None:
        self._config = config
        self._worker = DeviceWorker(
            "printer",
            "drivers.printer.cups_worker:CupsWorker",
            {"queue": config.queue, "server": config.server},
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
        """Ask CUPS for the printer's state."""
        reasons = await self._worker.call("check", timeout=ASK_S)
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
        try:
            number = await self._worker.call(
                "submit", timeout=SUBMIT_S, document=str(document), title=title, copies=copies
            )
        except BaseException:
            # A job whose number nobody learned may be in the queue, which is ours alone.
            with contextlib.suppress(DeviceError):
                await asyncio.shield(self._worker.call("purge", timeout=ASK_S))
            raise
        return int(number)

    async def job(self, number: int) -> JobStatus:
        """Ask CUPS where a job is."""
        answer: dict[str, Any] = await self._worker.call("job", timeout=ASK_S, number=number)
        reasons = frozenset(Reason(one) for one in answer["reasons"])
        return JobStatus(JobState(answer["state"]), reasons, answer["pages"])

    async def cancel(self, number: int) -> None:
        """Cancel a job and wait until the printer has stopped."""
        await self._worker.call("cancel", timeout=CANCEL_S, number=number)

    async def purge(self) -> None:
        """Cancel and forget every job of the queue."""
        await self._worker.call("purge", timeout=CANCEL_S)
