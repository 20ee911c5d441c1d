"""The printer's contract: CUPS with an emulated IPP Everywhere printer, and the fake."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers.printer.cups_printer import CupsPrinterConfig
from drivers.printer.none import NoPrinterConfig
from drivers.printer.reasons import reasons_of
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.device import DeviceState
from kioskd.hal.printer import JobState, JobStatus
from tests.contract.printer_rig import (
    TITLE,
    WITHIN_S,
    RealRig,
    Rig,
    fake_rig,
    real_rig,
    text_of,
    text_pdf,
    until,
)


@pytest.fixture(params=[real_rig, fake_rig], ids=["cups", "fake"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with request.param() as rig:
        yield rig


@pytest.fixture
async def real() -> AsyncIterator[RealRig]:
    async with real_rig() as rig:
        yield rig


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return text_pdf(tmp_path / "document.pdf", "Attestation 4711")


async def test_prints_what_it_was_given_once(rig: Rig, document: Path) -> None:
    assert (await rig.printer.check()).state is DeviceState.READY
    number = await rig.printer.submit(document, title=TITLE)
    status = await until(rig.printer, number, lambda status: status.state.ended)
    assert status.state is JobState.COMPLETED
    assert [text_of(one).strip() for one in rig.printed()] == ["Attestation 4711"]


async def test_paper_out_holds_the_job_until_refilled(rig: Rig, document: Path) -> None:
    await rig.paper_out(True)
    number = await rig.printer.submit(document, title=TITLE)
    status = await until(rig.printer, number, lambda status: status.state is JobState.STOPPED)
    assert status.reasons == {Reason.PAPER_OUT}
    health = await rig.printer.check()
    assert (health.state, health.reason) == (DeviceState.DEGRADED, Reason.PAPER_OUT)
    assert rig.printed() == []
    await rig.paper_out(False)
    status = await until(rig.printer, number, lambda status: status.state.ended)
    assert status.state is JobState.COMPLETED
    assert len(rig.printed()) == 1
    async with asyncio.timeout(5):
        while True:
            if (await rig.printer.check()).state is DeviceState.READY:
                break
            await asyncio.sleep(0.05)  # a printer tells nothing by itself


async def test_a_cancelled_job_never_comes_out(rig: Rig, document: Path) -> None:
    await rig.paper_out(True)
    number = await rig.printer.submit(document, title=TITLE)
    await until(rig.printer, number, lambda status: status.state is JobState.STOPPED)
    await rig.printer.cancel(number)
    assert (await rig.printer.job(number)).state is JobState.CANCELED
    await rig.printer.cancel(number)
    await rig.paper_out(False)
    # What comes next comes out, and before it nothing did.
    following = await rig.printer.submit(document, title=TITLE)
    await until(rig.printer, following, lambda status: status.state is JobState.COMPLETED)
    assert len(rig.printed()) == 1


async def test_purge_forgets_every_job(rig: Rig, document: Path) -> None:
    done = await rig.printer.submit(document, title=TITLE)
    await until(rig.printer, done, lambda status: status.state is JobState.COMPLETED)
    await rig.paper_out(True)
    held = [await rig.printer.submit(document, title=TITLE) for _ in range(2)]
    await rig.printer.purge()
    lost = JobStatus(JobState.ABORTED, frozenset({Reason.JOB_LOST}))
    assert [await rig.printer.job(number) for number in [done, *held]] == [lost] * 3
    await rig.paper_out(False)
    following = await rig.printer.submit(document, title=TITLE)
    await until(rig.printer, following, lambda status: status.state is JobState.COMPLETED)
    assert len(rig.printed()) == 2


async def test_an_unknown_job_is_lost(rig: Rig) -> None:
    status = await rig.printer.job(4711)
    assert status == JobStatus(JobState.ABORTED, frozenset({Reason.JOB_LOST}))
    await rig.printer.cancel(4711)


async def test_a_document_that_is_not_there_is_refused(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        await rig.printer.submit(tmp_path / "none.pdf", title=TITLE)
    assert caught.value.reason is Reason.IO_ERROR


async def test_a_printer_that_is_off_is_told(rig: Rig) -> None:
    await rig.switch_off()
    with pytest.raises(DeviceError) as caught:
        await rig.printer.check()
    assert caught.value.reason is Reason.OFFLINE


async def test_opens_and_closes_twice(rig: Rig) -> None:
    await rig.printer.open()
    await rig.printer.close()
    await rig.printer.close()
    assert (await rig.printer.check()).state is DeviceState.READY
    await rig.printer.open()


async def test_purge_leaves_nothing_in_the_spool(real: RealRig, document: Path) -> None:
    await real.paper_out(True)
    number = await real.printer.submit(document, title=TITLE)
    await until(real.printer, number, lambda status: status.state is JobState.STOPPED)
    assert real.spooled()
    await real.printer.purge()
    assert real.spooled() == []


async def test_a_submission_that_was_given_up_never_prints(real: RealRig, document: Path) -> None:
    pid = real.cups.pid("cupsd")
    os.kill(pid, signal.SIGSTOP)
    try:
        task = asyncio.create_task(real.printer.submit(document, title=TITLE))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        os.kill(pid, signal.SIGCONT)
    await real.printer.purge()
    following = await real.printer.submit(document, title=TITLE)
    await until(real.printer, following, lambda status: status.state is JobState.COMPLETED)
    assert len(real.printed()) == 1


async def test_a_worker_that_dies_is_replaced(real: RealRig) -> None:
    before = real.printer.worker_pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    with pytest.raises(DeviceError) as caught:  # noqa: PT012
        while True:  # the worker's death may be noticed before the call or during it
            await real.printer.check()
            if real.printer.worker_pid != before:
                raise DeviceError(Reason.CRASHED, "replaced between two calls")
    assert caught.value.reason is Reason.CRASHED
    assert (await real.printer.check()).state is DeviceState.READY


async def test_a_queue_that_is_not_there_is_absent(real: RealRig) -> None:
    async with asyncio.timeout(WITHIN_S):
        printer = CupsPrinterConfig(queue="nobody", server=real.cups.server).build()
        with pytest.raises(DeviceAbsent):
            await printer.open()
        await printer.close()


async def test_none_is_honest(document: Path) -> None:
    printer = NoPrinterConfig().build()
    for call in (
        printer.check(),
        printer.open(),
        printer.submit(document, title=TITLE),
        printer.job(1),
        printer.cancel(1),
        printer.purge(),
    ):
        with pytest.raises(DeviceAbsent) as caught:
            await call
        assert caught.value.reason is Reason.NOT_CONFIGURED
    await printer.close()


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [
        ("output-area-full-error", Reason.OUTPUT_FULL),
        ("paused", Reason.OFFLINE),
        ("media-empty-warning", Reason.PAPER_OUT),
        ("media-needed", Reason.PAPER_OUT),
        ("media-jam-error", Reason.PAPER_JAM),
        ("cover-open-report", Reason.COVER_OPEN),
        ("door-open", Reason.COVER_OPEN),
        ("marker-supply-low-warning", Reason.INK_LOW),
        ("toner-empty-error", Reason.INK_OUT),
        ("connecting-to-device", Reason.OFFLINE),
    ],
)
def test_keywords_of_ipp_are_translated(keyword: str, reason: Reason) -> None:
    assert reasons_of(["none", keyword]) == {reason}
