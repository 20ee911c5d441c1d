"""The trials of paper: a page that bears a code of its own is printed, scanned and compared."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from kioskd.app.devices import Devices
from kioskd.app.trials.marks import Marks
from kioskd.control.trial import Look, Untried
from kioskd.diagnostics.findings import Trouble
from kioskd.documents.assembly import assemble
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceKind
from kioskd.hal.printer import JobState, JobStatus, Printer
from kioskd.hal.scanner import ScanProgress, ScanSettings
from kioskd.vision import proof

POLL_S: Final = 0.25
PRINT_S: Final = 90.0
"""A laser printer that was asleep warms up for half a minute."""
HELD_S: Final = 6.0
"""A printer that is held up this long waits for somebody: paper, a cover, a jam."""
SILENT_S: Final = 20.0
"""cupsd starts again within seconds."""
QUICK_S: Final = 45.0
PLAIN: Final = 4.0
"""Standard deviation of grey of a scan below which nothing is on it: a lid's white has 1 to 3."""
LIKE: Final = (0.8, 0.5)
"""Correlation with the printed page: a clean pair gives more than the first, a printer without
ink or a scanner with a broken line less than the second."""
STRAIGHT_DEG: Final = 3.0
TRUE_SIZE: Final = 0.08
"""Print systems shrink a page into the printable area: margins of 6 mm take 6 %."""
SHOWN_WIDTH: Final = 1240
_HOLDS: Final[tuple[Reason, ...]] = (
    Reason.PAPER_JAM,
    Reason.PAPER_OUT,
    Reason.COVER_OPEN,
    Reason.INK_OUT,
    Reason.OUTPUT_FULL,
    Reason.OFFLINE,
)
"""Of several reasons the one that is told, in this order."""


async def try_printer(devices: Devices, marks: Marks, kiosk: str) -> None:
    """Print a proof page and wait until it has come out. Raises DeviceError."""
    code = proof.new_code()
    with tempfile.TemporaryDirectory() as folder:
        footer = f"{kiosk}  {datetime.now().astimezone():%Y-%m-%d %H:%M}"
        document = await asyncio.to_thread(_document, Path(folder), code, footer)
        async with devices.printer.lease() as printer:
            marks.device = printer.description
            began = time.monotonic()
            number = await printer.submit(document, title="test")
            marks.mark(Look.TAKEN, 30, 1)
            try:
                status = await _follow(printer, number, marks)
            except BaseException:
                # A page that comes out later would lie there for the next resident.
                await asyncio.shield(_cancel(printer, number))
                raise
            if not status.state.ended:
                await asyncio.shield(_cancel(printer, number))
    seconds = time.monotonic() - began
    if status.state is JobState.COMPLETED:
        quick = 1.0 if seconds <= QUICK_S else 0.7
        marks.mark(Look.PRINTED, 70, quick, seconds=round(seconds, 1), code=code)
        marks.code = code
        ink = Reason.INK_LOW
        if ink in status.reasons:
            marks.wrong_device(DeviceKind.PRINTER, ink, fails=False)
        return
    marks.mark(Look.PRINTED, 70, 0, seconds=round(seconds, 1), code=code)
    known = [one for one in _HOLDS if one in status.reasons]
    reason = (known or sorted(status.reasons) or [Reason.NO_ANSWER])[0]
    seen = ", ".join(sorted(status.reasons))
    marks.wrong_device(DeviceKind.PRINTER, reason, f"job {status.state.value}: {seen}")


def _document(folder: Path, code: str, footer: str) -> Path:
    picture, document = folder / "page.png", folder / "page.pdf"
    page = cv2.imencode(".jpg", proof.draw(code, footer), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    picture.write_bytes(page.tobytes())
    document.write_bytes(assemble([picture]))
    return document


async def _follow(printer: Printer, number: int, marks: Marks) -> JobStatus:
    """Return where the job ended, or where it was when it no longer moved."""
    began = time.monotonic()
    held_since: float | None = None
    heard_at = began
    status = JobStatus(JobState.PENDING)
    while (seconds := time.monotonic() - began) < PRINT_S:
        marks.progress(seconds / PRINT_S, Look.PRINTED)
        try:
            status = await printer.job(number)
            heard_at = time.monotonic()
        except DeviceError:
            if time.monotonic() - heard_at > SILENT_S:
                raise
        if status.state.ended:
            return status
        held = status.state is JobState.STOPPED or bool(status.reasons & {*_HOLDS})
        held_since = (held_since or time.monotonic()) if held else None
        if held_since is not None and time.monotonic() - held_since > HELD_S:
            return status
        await asyncio.sleep(POLL_S)
    return status


async def _cancel(printer: Printer, number: int) -> None:
    with contextlib.suppress(DeviceError):
        await printer.cancel(number)


async def try_scanner(devices: Devices, marks: Marks, spool: Path, expect: str) -> None:
    """Scan what lies there; with `expect` it must be the page of that code. Raises DeviceError."""
    with tempfile.TemporaryDirectory(dir=spool, prefix="test-") as folder:
        async with devices.scanner.lease() as scanner:
            marks.device = scanner.description
            began = time.monotonic()

            def on_progress(told: ScanProgress) -> None:
                marks.progress(told.done, Look.PAGE)

            found = scanner.scan(ScanSettings(), Path(folder), on_progress)
            async with contextlib.aclosing(found):
                pages = [page async for page in found]
        seconds = time.monotonic() - began
        if not pages:
            marks.mark(Look.PAGE, 40, 0, pages=0, width=0, height=0, dpi=0, seconds=0.0)
            marks.wrong_device(DeviceKind.SCANNER, Reason.NO_PAPER)
            return
        first = pages[0]
        marks.mark(
            Look.PAGE,
            40,
            1,
            pages=len(pages),
            width=first.width,
            height=first.height,
            dpi=first.dpi,
            seconds=round(seconds, 1),
        )
        marks.progress(1, Look.LIKENESS)
        shown, contrast, reading = await asyncio.to_thread(_look, first.path, first.dpi)
    marks.show("scan.jpg", shown)
    _judge_scan(marks, contrast, reading, expect)


def _look(path: Path, dpi: int) -> tuple[bytes, float, proof.Reading]:
    data = path.read_bytes()
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise DeviceError(Reason.WRONG_FORMAT, "the page is no picture")
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    height = max(1, SHOWN_WIDTH * grey.shape[0] // grey.shape[1])
    small = cv2.resize(picture, (SHOWN_WIDTH, height), interpolation=cv2.INTER_AREA)
    shown = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return shown, proof.contrast(grey), proof.read(grey, dpi)


def _judge_scan(marks: Marks, contrast: float, reading: proof.Reading, expect: str) -> None:
    if not expect and reading.code is None:
        # An empty glass scans white: no fault of the scanner's.
        if contrast >= PLAIN:
            marks.mark(Look.CONTRAST, 20, 1, contrast=round(contrast))
        else:
            marks.untried(Look.CONTRAST, 20, Untried.NO_PROOF_PAGE)
        marks.untried(Look.CODE, 20, Untried.NO_PROOF_PAGE)
        marks.untried(Look.LIKENESS, 20, Untried.NO_PROOF_PAGE)
        return
    marks.mark(Look.CONTRAST, 20, contrast >= PLAIN, contrast=round(contrast))
    seen = reading.code or "-"
    right = seen == expect if expect else True
    marks.mark(Look.CODE, 20, right, code=seen, expected=expect or seen)
    if not right:
        marks.wrong(Trouble.OTHER_PAGE, f"expected {expect}, seen {seen}")
        return
    good, bad = LIKE
    like = 1.0 if reading.likeness >= good else 0.5 if reading.likeness >= bad else 0.0
    askew = abs((reading.tilt_deg + 45) % 90 - 45)
    if askew > STRAIGHT_DEG or abs(reading.scale - 1) > TRUE_SIZE:
        like = min(like, 0.8)
    marks.mark(
        Look.LIKENESS,
        20,
        like,
        percent=round(100 * reading.likeness),
        tilt=round(askew, 1),
        size=round(100 * reading.scale),
    )
    if not like:
        marks.wrong(Trouble.OTHER_PAGE, f"code {seen}, likeness {reading.likeness:.2f}")
