"""A printer to test against: CUPS with an emulated IPP Everywhere printer, or the fake."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pikepdf

from drivers.printer.cups_printer import LIFE_S, CupsPrinter, CupsPrinterConfig
from drivers.printer.fake import FakePrinter, FakePrinterConfig
from kioskd.errors import Reason
from kioskd.hal.printer import JobStatus, Printer
from kioskd.simulation.cups import PrivateCups

WITHIN_S = 20.0
TITLE = "visit"


def text_pdf(path: Path, text: str, pages: int = 1) -> Path:
    """A4 pages with a line of text each."""
    with pikepdf.new() as pdf:
        font = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        for _ in range(pages):
            page = pdf.add_blank_page(page_size=(595, 842))
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
async def real_rig(job_life_s: int = LIFE_S) -> AsyncIterator[RealRig]:
    with tempfile.TemporaryDirectory(prefix="cups-") as name:  # a short path: it holds sockets
        async with PrivateCups(Path(name)) as cups:
            config = CupsPrinterConfig(queue=cups.queue, server=cups.server, job_life_s=job_life_s)
            printer = config.build()
            async with printer:
                yield RealRig(printer, cups, Path(name))


@contextlib.asynccontextmanager
async def fake_rig() -> AsyncIterator[FakeRig]:
    async with FakePrinterConfig(job_s=0.1).build() as printer:
        yield FakeRig(printer)


async def until(
    printer: Printer, number: int, true: Callable[[JobStatus], bool], within: float = WITHIN_S
) -> JobStatus:
    deadline = asyncio.get_running_loop().time() + within
    while not true(status := await printer.job(number)):
        assert asyncio.get_running_loop().time() < deadline, f"the job stays {status}"
        await asyncio.sleep(0.05)  # a printer tells nothing by itself
    return status
