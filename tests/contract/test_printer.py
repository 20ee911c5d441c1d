"""The printer's contract: CUPS with an emulated IPP Everywhere printer, and the fake."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pikepdf
import pytest

from drivers.printer.cups_printer import CupsPrinter, CupsPrinterConfig
from drivers.printer.cups_worker import reasons_of
from drivers.printer.fake import FakePrinter, FakePrinterConfig
from drivers.printer.none import NoPrinterConfig
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.device import DeviceState
from kioskd.hal.printer import JobState, JobStatus, Printer
from kioskd.simulation.cups import PrivateCups

WITHIN_S = 20.0
TITLE = "visit"


def text_pdf(path: Path, text: str) -> Path:
    """One A4 page with a line of text."""
    with pikepdf.new() as pdf:
        page = pdf.add_blank_page(page_size=(595, 842))
        font = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
        page.Contents = pdf.make_stream(f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode())
        pdf.save(path)
    return path


def text_of(document: bytes) -> str:
    done = subprocess.run(["pdftotext", "-", "-"], input=document, capture_output=True, check=True)
    return done.stdout.decode()


class Rig(Protocol):
    @property
    def printer(self) -> Printer: ...

    async def paper_out(self, out: bool) -> None: ...

    async def switch_off(self) -> None: ...

    def printed(self) -> list[bytes]: ...


@dataclass
class RealRig:
    printer: CupsPrinter
    cups: PrivateCups
    folder: Path

    async def paper_out(self, out: bool) -> None:
        await self.cups.fault("paper-out" if out else None)

    async def switch_off(self) -> None:
        await self.cups.stop_printer()

    def printed(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.cups.printed.glob("*.pdf"))]

    def spooled(self) -> list[str]:
        """Documents and control files that cupsd keeps."""
        return [path.name for path in (self.folder / "spool").iterdir() if path.is_file()]


@dataclass
class FakeRig:
    printer: FakePrinter

    async def paper_out(self, out: bool) -> None:
        self.printer.fail_with(Reason.PAPER_OUT if out else None)

    async def switch_off(self) -> None:
        self.printer.fail_with(Reason.OFFLINE)

    def printed(self) -> list[bytes]:
        return self.printer.printed


@contextlib.asynccontextmanager
async def real_rig() -> AsyncIterator[RealRig]:
    with tempfile.TemporaryDirectory(prefix="cups-") as name:  # a short path: it holds sockets
        async with PrivateCups(Path(name)) as cups:
            printer = CupsPrinterConfig(queue=cups.queue, server=cups.server).build()
            async with printer:
                yield RealRig(printer, cups, Path(name))


@contextlib.asynccontextmanager
async def fake_rig() -> AsyncIterator[FakeRig]:
    async with FakePrinterConfig(job_s=0.1).build() as printer:
        yield FakeRig(printer)


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


async def until(
    printer: Printer, number: int, true: Callable[[JobStatus], bool], within: float = WITHIN_S
) -> JobStatus:
    deadline = asyncio.get_running_loop().time() + within
    while not true(status := await printer.job(number)):
        assert asyncio.get_running_loop().time() < deadline, f"the job stays {status}"
        await asyncio.sleep(0.05)  # a printer tells nothing by itself
    return status


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
    assert (await rig.printer.check()).state is DeviceState.READY


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
    lost = JobStatus(JobState.ABORTED, frozenset({Reason.REJECTED}))
    assert [await rig.printer.job(number) for number in [done, *held]] == [lost] * 3
    await rig.paper_out(False)
    following = await rig.printer.submit(document, title=TITLE)
    await until(rig.printer, following, lambda status: status.state is JobState.COMPLETED)
    assert len(rig.printed()) == 2


async def test_an_unknown_job_is_lost(rig: Rig) -> None:
    status = await rig.printer.job(4711)
    assert status == JobStatus(JobState.ABORTED, frozenset({Reason.REJECTED}))
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


async def test_a_job_waits_for_a_printer_that_is_off(real: RealRig, document: Path) -> None:
    await real.switch_off()
    number = await real.printer.submit(document, title=TITLE)
    status = await until(real.printer, number, lambda status: status.state is JobState.STOPPED)
    assert status.reasons == {Reason.OFFLINE}
    # Nobody can tell whether it holds something: an error, and no job in the queue.
    with pytest.raises(DeviceError) as caught:
        await real.printer.cancel(number)
    assert caught.value.reason is Reason.NO_ANSWER
    await real.printer.purge()
    assert real.spooled() == []


async def test_a_job_that_the_printer_lost_is_no_success(real: RealRig, document: Path) -> None:
    await real.paper_out(True)
    number = await real.printer.submit(document, title=TITLE)
    await until(real.printer, number, lambda status: status.state is JobState.STOPPED)
    os.kill(real.cups.pid("ippeveprinter"), signal.SIGKILL)
    await real.switch_off()
    await real.paper_out(False)
    await real.cups.start_printer()
    status = await until(real.printer, number, lambda status: status.state.ended)
    assert status.state is JobState.ABORTED
    assert status.reasons == {Reason.OFFLINE}
    assert real.printed() == []
    following = await real.printer.submit(document, title=TITLE)
    status = await until(real.printer, following, lambda status: status.state.ended)
    assert status.state is JobState.COMPLETED
    assert len(real.printed()) == 1


async def test_a_cupsd_that_hangs_costs_seconds(real: RealRig, document: Path) -> None:
    pid = real.cups.pid("cupsd")
    os.kill(pid, signal.SIGSTOP)
    try:
        before = time.monotonic()
        with pytest.raises(DeviceError) as caught:
            await real.printer.check()
        assert caught.value.reason is Reason.NO_ANSWER
        assert time.monotonic() - before < 6
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await real.printer.check()).state is DeviceState.READY


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
