"""A job's end is what the printer did: cupsd and the printer killed, frozen, restarted."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers.printer.cups_printer import CupsPrinter, CupsPrinterConfig
from drivers.printer.ipp_device import jobs_of
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.printer import JobState, JobStatus
from kioskd.simulation.ipp_printer import Fault
from tests.contract.printer_rig import TITLE, WITHIN_S, RealRig, real_rig, text_pdf, until

TRUE_WITHIN_S = 5.0
LOST = frozenset({Reason.JOB_LOST})


@pytest.fixture
async def real() -> AsyncIterator[RealRig]:
    async with real_rig() as rig:
        yield rig


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return text_pdf(tmp_path / "document.pdf", "Attestation 4711")


def sheets(real: RealRig) -> int:
    """How many pages have come out of the printer, of whole jobs and of others."""
    path = real.cups.printed / "pages"
    return len(path.read_text().splitlines()) if path.exists() else 0


async def held(real: RealRig, document: Path, fault: Fault = "paper-out", after: int = 0) -> int:
    """Submit a job and return once `fault` holds it at the printer."""
    await real.cups.fault(fault, after)
    number = await real.printer.submit(document, title=TITLE)
    await until(real.printer, number, lambda status: status.state is JobState.STOPPED)
    return number


async def ended(real: RealRig, number: int) -> JobStatus:
    """Ask until the job has ended, as the daemon does: an error is no news."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                status = await real.printer.job(number)
            except DeviceError:
                await asyncio.sleep(0.1)  # nothing to wait for: a cupsd starts when it starts
                continue
            if status.state.ended:
                return status
            await asyncio.sleep(0.05)  # as above


async def prints_one_more(real: RealRig, document: Path, sheets_before: int) -> None:
    """The next job comes out once, and before it nothing did."""
    number = await real.printer.submit(document, title=TITLE)
    status = await until(real.printer, number, lambda status: status.state.ended)
    assert status.state is JobState.COMPLETED
    assert sheets(real) == sheets_before + 1


async def health(printer: CupsPrinter, state: DeviceState, reason: Reason | None) -> DeviceHealth:
    """Check as the supervisor does until this is the state; it must be within 5 s."""
    deadline = time.monotonic() + TRUE_WITHIN_S
    while True:
        try:
            found = await printer.check()
        except DeviceError as error:
            found = DeviceHealth(DeviceState.FAILED, error.reason, error.detail)
        if (found.state, found.reason) == (state, reason):
            return found
        assert time.monotonic() < deadline, f"the printer reads {found}"
        await asyncio.sleep(0.1)  # a printer tells nothing by itself


async def test_a_printer_whose_power_failed_has_printed_nothing(
    real: RealRig, document: Path
) -> None:
    number = await held(real, document)
    await real.cups.kill("ippeveprinter")
    status = await until(
        real.printer, number, lambda status: status.reasons == {Reason.OFFLINE}, TRUE_WITHIN_S
    )
    assert status.state is JobState.STOPPED
    status = await ended(real, number)
    assert (status.state, status.reasons) == (JobState.ABORTED, LOST | {Reason.OFFLINE})
    await real.cups.fault(None)
    await real.cups.start_printer()
    await prints_one_more(real, document, 0)


async def test_pages_that_came_out_before_the_power_failed_are_counted(
    real: RealRig, document: Path, tmp_path: Path
) -> None:
    long = text_pdf(tmp_path / "long.pdf", "Attestation", pages=3)
    number = await held(real, long, "jam", after=1)
    status = await until(real.printer, number, lambda status: status.pages_printed == 1)
    assert status == JobStatus(JobState.STOPPED, frozenset({Reason.PAPER_JAM}), 1)
    await real.cups.kill("ippeveprinter")
    status = await ended(real, number)
    assert (status.state, status.reasons) == (JobState.ABORTED, LOST | {Reason.OFFLINE})
    assert status.pages_printed == 1
    await real.cups.fault(None)
    await real.cups.start_printer()
    await prints_one_more(real, document, 1)


async def test_a_power_cut_too_short_to_notice_ends_in_a_true_answer(
    real: RealRig, document: Path
) -> None:
    number = await held(real, document)
    await real.cups.kill("ippeveprinter")
    await real.cups.fault(None)
    await real.cups.start_printer()
    status = await ended(real, number)
    # Whichever of the two sees the printer first: CUPS, which prints it, or the driver.
    printed = status == JobStatus(JobState.COMPLETED, pages_printed=1)
    assert printed or (status.state, status.reasons) == (JobState.ABORTED, LOST)
    await prints_one_more(real, document, 1 if printed else sheets(real))


@pytest.mark.parametrize("number_of_signal", [signal.SIGKILL, signal.SIGTERM])
async def test_a_cupsd_that_is_restarted_prints_nothing_again(
    real: RealRig, document: Path, number_of_signal: signal.Signals
) -> None:
    number = await held(real, document)
    await real.cups.kill("cupsd", number_of_signal, with_backends=True)
    with pytest.raises(DeviceError) as caught:
        await real.printer.job(number)
    assert caught.value.reason is Reason.OFFLINE
    at_printer = bool(jobs_of(real.cups.printer_uri, "not-completed"))
    await real.cups.start_cupsd()
    await real.cups.fault(None)
    status = await ended(real, number)
    # What the printer has it may print, once; what it has not never comes.
    printed = status == JobStatus(JobState.COMPLETED, pages_printed=1)
    assert at_printer or not printed
    assert printed or (status.state, status.reasons) == (JobState.ABORTED, LOST)
    await prints_one_more(real, document, int(printed))


async def test_a_job_that_is_done_stays_done_over_a_restart_of_cupsd(
    real: RealRig, document: Path
) -> None:
    number = await real.printer.submit(document, title=TITLE)
    await until(real.printer, number, lambda status: status.state is JobState.COMPLETED)
    await real.cups.kill("cupsd")
    await real.cups.start_cupsd()
    assert (await ended(real, number)).state is JobState.COMPLETED
    await prints_one_more(real, document, 1)


async def test_a_cancel_reaches_the_printer_while_cupsd_hangs(
    real: RealRig, document: Path
) -> None:
    number = await held(real, document)
    real.cups.freeze("cupsd")
    worker = real.printer.worker_pid
    before = time.monotonic()
    with pytest.raises(DeviceError) as caught:
        await real.printer.job(number)
    assert caught.value.reason is Reason.NO_ANSWER
    assert time.monotonic() - before < TRUE_WITHIN_S
    with pytest.raises(DeviceError) as caught:
        await real.printer.cancel(number)
    assert caught.value.reason is Reason.NO_ANSWER  # cupsd may still hold something
    assert real.printer.worker_pid != worker
    await real.cups.fault(None)
    await health(real.printer, DeviceState.FAILED, Reason.NO_ANSWER)
    assert sheets(real) == 0
    real.cups.thaw("cupsd")
    # The first check that gets through cleans up; CUPS's backend may begin before it.
    await health(real.printer, DeviceState.READY, None)
    deadline = time.monotonic() + WITHIN_S
    while jobs_of(real.cups.printer_uri, "not-completed"):
        assert time.monotonic() < deadline, "the printer keeps the job"
        await asyncio.sleep(0.1)  # a printer tells nothing by itself
    before = sheets(real)
    assert before <= 1
    await prints_one_more(real, document, before)


async def test_cups_itself_ends_a_job_whose_daemon_died(tmp_path: Path) -> None:
    async with real_rig(job_life_s=1) as real:
        await held(real, text_pdf(tmp_path / "document.pdf", "Attestation"))
        await real.printer.close()  # all that a dead daemon does: nobody asks any more
        deadline = time.monotonic() + 2 * WITHIN_S  # cupsd looks every 10 s
        while any(name.startswith("d") for name in real.spooled()):
            assert time.monotonic() < deadline, "CUPS keeps the document"
            await asyncio.sleep(0.1)  # cupsd tells nobody
        # It need not reach what the printer holds already; the daemon's next life does.
        left = jobs_of(real.cups.printer_uri, "not-completed")
        assert {one.user for one in left} <= {"kioskd"}
        config = CupsPrinterConfig(queue=real.cups.queue, server=real.cups.server)
        async with config.build() as again:
            await again.check()
            await again.purge()
        assert jobs_of(real.cups.printer_uri, "not-completed") == []
        assert sheets(real) == 0


async def test_a_daemon_that_starts_again_drops_what_its_last_life_left(
    real: RealRig, document: Path
) -> None:
    await held(real, document)
    os.kill(real.printer.worker_pid or 0, signal.SIGKILL)
    await real.cups.kill("cupsd")  # its backend is left, and the job at the printer
    await real.cups.start_cupsd()
    config = CupsPrinterConfig(queue=real.cups.queue, server=real.cups.server)
    async with config.build() as again:
        await again.purge()
        await real.cups.fault(None)
        number = await again.submit(document, title=TITLE)
        await until(again, number, lambda status: status.state is JobState.COMPLETED)
    assert sheets(real) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("paper-out", Reason.PAPER_OUT),
        ("jam", Reason.PAPER_JAM),
        ("cover-open", Reason.COVER_OPEN),
        ("ink-low", Reason.INK_LOW),
        ("ink-out", Reason.INK_OUT),
        ("paused", Reason.OFFLINE),
    ],
)
async def test_a_fault_is_told_while_nothing_prints(
    real: RealRig, fault: Fault, reason: Reason
) -> None:
    await health(real.printer, DeviceState.READY, None)
    await real.cups.fault(fault)
    await health(real.printer, DeviceState.DEGRADED, reason)
    await real.cups.fault(None)
    await health(real.printer, DeviceState.READY, None)


async def test_a_printer_is_switched_off_and_on(real: RealRig, document: Path) -> None:
    await real.switch_off()
    await health(real.printer, DeviceState.FAILED, Reason.OFFLINE)
    with pytest.raises(DeviceError) as caught:
        await real.printer.submit(document, title=TITLE)
    assert caught.value.reason is Reason.OFFLINE
    await real.cups.start_printer()
    await health(real.printer, DeviceState.READY, None)
    await prints_one_more(real, document, 0)


async def test_a_jam_in_the_middle_is_cleared_and_the_job_goes_on(
    real: RealRig, tmp_path: Path
) -> None:
    long = text_pdf(tmp_path / "long.pdf", "Attestation", pages=3)
    number = await held(real, long, "jam", after=2)
    await real.cups.fault(None)
    status = await until(real.printer, number, lambda status: status.state.ended)
    assert status == JobStatus(JobState.COMPLETED, pages_printed=3)


async def test_a_job_without_ink_warning_goes_on(real: RealRig, document: Path) -> None:
    await real.cups.fault("ink-low")
    await prints_one_more(real, document, 0)


async def test_two_at_once_both_come_out(real: RealRig, document: Path) -> None:
    numbers = await asyncio.gather(*(real.printer.submit(document, title=TITLE) for _ in range(2)))
    for number in numbers:
        status = await until(real.printer, number, lambda status: status.state.ended)
        assert status.state is JobState.COMPLETED
    assert sheets(real) == 2


async def test_a_queue_that_rejects_is_told(real: RealRig, document: Path) -> None:
    await real.cups.administer("cupsreject", real.cups.queue)
    with pytest.raises(DeviceError) as caught:
        await real.printer.check()
    assert caught.value.reason is Reason.REJECTED
    with pytest.raises(DeviceError) as caught:
        await real.printer.submit(document, title=TITLE)
    assert caught.value.reason is Reason.REJECTED


async def test_a_queue_that_was_left_stopped_stops_nothing(real: RealRig, document: Path) -> None:
    await real.cups.administer("cupsdisable", real.cups.queue)
    await health(real.printer, DeviceState.READY, None)
    await prints_one_more(real, document, 0)


async def test_a_queue_that_is_deleted_in_a_job_is_absent_and_the_job_ends(
    real: RealRig, document: Path
) -> None:
    number = await held(real, document)
    await real.cups.administer("lpadmin", "-x", real.cups.queue)
    with pytest.raises(DeviceAbsent):
        await real.printer.check()
    await real.printer.cancel(number)
    assert (await real.printer.job(number)).state is JobState.CANCELED
    await real.cups.fault(None)
    with pytest.raises(DeviceAbsent):
        await real.printer.submit(document, title=TITLE)
    assert sheets(real) == 0
