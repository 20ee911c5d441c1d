"""`kioskctl test` against a whole kiosk of real parts; each loop fails with its own fault.

V4L2 (emulated), PipeWire, cupsd with an IPP printer, SANE with a network scanner, a panel at a
pty, Mosquitto. The command is a process of its own, as a technician starts it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
import pytest_asyncio
from PIL import Image

from kioskd.control import client
from kioskd.control.trial import Ended, Look, Options, Outcome, Progress, Result, Why
from kioskd.diagnostics.findings import Trouble, device_id
from kioskd.diagnostics.trials import TestReport, TrialTold
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind
from kioskd.hal.panel import Lamp, LampPattern, PanelEvent
from kioskd.hal.trial import Trial
from kioskd.vision import proof
from tests.faults import rig as rigs
from tests.faults.relay import Line
from tests.peer.test_idle_is_blind import BLIND, until

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]
WITHIN_S = 100.0
AT_ONCE_S = 15.0
QUIET = dataclasses.replace(BLIND, recorders=1)
"""Nobody listens but the room, in which the loudspeaker's sound goes to the microphone."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def the_rig() -> AsyncIterator[rigs.Rig]:
    async with rigs.rig() as one:
        await one.sound.add_echo()
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def rig(the_rig: rigs.Rig) -> AsyncIterator[rigs.Rig]:
    await the_rig.restore(flaps=False)
    await the_rig.idle()
    await the_rig.resident.until("online", lambda view: view.online)
    yield the_rig
    await until(the_rig, lambda seen: seen == QUIET)


async def kioskctl(rig: rigs.Rig, *arguments: str) -> tuple[int, TestReport, Path]:
    """Run `kioskctl test`; return its exit code, its report and the folder with its files."""
    folder = rig.folder / "tested"
    process = await start(rig, *arguments, "--json", "--output", str(folder))
    async with asyncio.timeout(WITHIN_S):
        out, err = await process.communicate()
    assert out, err.decode()
    return process.returncode or 0, TestReport.model_validate_json(out, strict=True), folder


async def start(rig: rigs.Rig, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *rig.machine.command(),
        *(sys.executable, "-m", "kioskd.cli", "test", *arguments),
        *("--config", str(rig.folder / "kioskd.toml"), "--language", "en"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=rigs.ROOT,
        env=rig.environment,
    )


def of(told: TestReport, trial: Trial) -> TrialTold:
    return next(one for one in told.tests if one.trial is trial)


def result(told: TrialTold, part: Look) -> Result:
    return next(one.result for one in told.parts if one.look is part)


def sheet(rig: rigs.Rig) -> Image.Image:
    """Return the sheet that has come out of the printer last, as a scanner would see it."""
    newest = max(rig.cups.printed.glob("*.pdf"), key=lambda path: path.stat().st_mtime)
    with pypdfium2.PdfDocument(newest) as pdf:
        page: Image.Image = pdf[0].render(scale=300 / 72).to_pil()
        return page


async def test_all_of_it_passes_and_leaves_a_report(rig: rigs.Rig) -> None:
    began = time.monotonic()
    paper = rig.folder / "report.pdf"
    code, told, folder = await kioskctl(rig, "all", "--report", str(paper))
    took_s = time.monotonic() - began
    print(json.dumps({one.trial: (one.score, one.took_s) for one in told.tests}), round(took_s, 1))
    failed = [one for one in told.tests if one.result is Result.FAILED]
    assert failed == []
    assert code in (0, 1)  # a busy machine may give fewer pictures
    assert told.by_daemon
    assert told.score is not None
    assert told.score > 80
    assert of(told, Trial.PANEL).result is Result.NOT_TRIED, "nobody pressed a button"
    for trial in (Trial.SPEAKER, Trial.PRINTER, Trial.SCANNER, Trial.MICROPHONE):
        assert of(told, trial).result is Result.PASSED, of(told, trial)
    for name in ("camera.png", "microphone.wav", "speaker-heard.wav", "scan.jpg"):
        assert (folder / name).stat().st_size > 1000
    with Image.open(folder / "camera.png") as picture:
        assert picture.size == (640, 480)
    with pypdfium2.PdfDocument(paper) as pdf:
        assert len(pdf) == 1
        assert "Exempleville" in pdf[0].get_textpage().get_text_bounded()
    assert rig.spooled() == [], "nothing of it stays with the daemon"


async def test_the_printed_page_is_known_on_the_scanner(rig: rigs.Rig) -> None:
    _, told, _ = await kioskctl(rig, "printer")
    page = of(told, Trial.PRINTER).code
    assert page is not None
    rig.scanner.paper = await asyncio.to_thread(sheet, rig)
    code, told, _ = await kioskctl(rig, "scanner", "--expect", page)
    one = of(told, Trial.SCANNER)
    assert (code, one.result, one.score) == (0, Result.PASSED, 100), one
    assert result(one, Look.CODE) is result(one, Look.LIKENESS) is Result.PASSED


# -- each loop fails with its fault -------------------------------------------------------------

Hand = Callable[[rigs.Rig], Awaitable[Any]]


async def black(rig: rigs.Rig) -> None:
    rig.camera.fault("black")


async def covered(rig: rigs.Rig) -> None:
    rig.camera.fault("covered")


async def frozen(rig: rigs.Rig) -> None:
    rig.camera.fault("freeze")


async def camera_gone(rig: rigs.Rig) -> None:
    rig.camera.fault("unplug")


async def other_page(rig: rigs.Rig) -> None:
    page = await asyncio.to_thread(proof.draw, "ACDEFG")
    rig.scanner.paper = Image.fromarray(page)


async def no_page(rig: rigs.Rig) -> None:
    rig.scanner.paper = None


async def dumb(rig: rigs.Rig) -> None:
    rig.panel.panel.mute = True


async def silent(rig: rigs.Rig) -> None:
    await rig.sound.remove_echo()
    await rig.tone.stop()


def device(kind: DeviceKind, reason: Reason) -> str:
    return device_id(kind, reason)


GONE = {device(DeviceKind.CAMERA, one) for one in (Reason.NOT_FOUND, Reason.UNPLUGGED)}
FAULTS: list[tuple[str, Trial, Hand, set[str]]] = [
    ("black", Trial.CAMERA, black, {device(DeviceKind.CAMERA, Reason.BLACK)}),
    ("covered", Trial.CAMERA, covered, {device(DeviceKind.CAMERA, Reason.COVERED)}),
    ("frozen", Trial.CAMERA, frozen, {device(DeviceKind.CAMERA, Reason.FROZEN)}),
    ("unplugged", Trial.CAMERA, camera_gone, GONE),
    ("call", Trial.CALL, camera_gone, GONE),
    (
        "loudspeaker off",
        Trial.SPEAKER,
        lambda rig: rig.sound.remove_echo(),
        {device(DeviceKind.SPEAKER, Reason.SILENT)},
    ),
    ("silent", Trial.MICROPHONE, silent, {device(DeviceKind.MICROPHONE, Reason.SILENT)}),
    ("deaf", Trial.SPEAKER, silent, {device(DeviceKind.MICROPHONE, Reason.SILENT)}),
    (
        "paper out",
        Trial.PRINTER,
        lambda rig: rig.cups.fault("paper-out"),
        {device(DeviceKind.PRINTER, Reason.PAPER_OUT)},
    ),
    ("other page", Trial.SCANNER, other_page, {Trouble.OTHER_PAGE}),
    ("no page", Trial.SCANNER, no_page, {Trouble.OTHER_PAGE}),
    (
        "panel dumb",
        Trial.PANEL,
        dumb,
        {device(DeviceKind.PANEL, one) for one in (Reason.NO_ANSWER, Reason.PROTOCOL)},
    ),
    ("no broker", Trial.NETWORK, lambda rig: rig.relay.set(Line.REFUSED), {Trouble.BROKER}),
]


async def mend(rig: rigs.Rig) -> None:
    rig.camera.fault("")
    rig.panel.panel.mute = False
    await rig.cups.fault(None)
    await rig.relay.set(Line.GOOD)
    await rig.sound.remove_echo()
    await rig.sound.add_echo()
    await rig.tone.start()


@pytest.mark.parametrize(
    ("trial", "hand", "ids"), [row[1:] for row in FAULTS], ids=[r[0] for r in FAULTS]
)
async def test_a_loop_fails_with_its_fault_and_says_what_to_do(
    rig: rigs.Rig, trial: Trial, hand: Hand, ids: set[str]
) -> None:
    await hand(rig)
    try:
        expect = ("--expect", "QRTUVW") if trial is Trial.SCANNER else ()
        code, told, _ = await kioskctl(rig, trial.value, *expect)
    finally:
        await mend(rig)
    one = of(told, trial)
    assert (code, one.result) == (2, Result.FAILED), one
    assert one.score is not None
    assert one.score < 50
    assert one.finding is not None
    assert one.finding.id in ids, one
    assert one.finding.action


# -- residents go before ----------------------------------------------------------------------


async def begun(rig: rigs.Rig, trial: Trial, options: Options) -> asyncio.Task[Outcome | Ended]:
    """Begin a trial, and return once it is on the screen and under way."""
    moved = asyncio.Event()

    def tell(one: Progress) -> None:
        if one.done > 0:
            moved.set()

    work = asyncio.create_task(client.run_test(rig.folder / "control.sock", trial, options, tell))
    async with asyncio.timeout(AT_ONCE_S):
        await moved.wait()
    await rig.resident.until("a test", lambda view: view.testing is trial)
    return work


@pytest.mark.parametrize("trial", [Trial.CAMERA, Trial.SPEAKER, Trial.CALL, Trial.PRINTER])
async def test_a_touch_ends_the_test_and_begins_the_visit(rig: rigs.Rig, trial: Trial) -> None:
    printed = rig.printed()
    work = await begun(rig, trial, Options())
    await rig.resident.press("choose", service="caf")
    async with asyncio.timeout(AT_ONCE_S):
        assert await work == Ended(why=Why.RESIDENT_CAME)
    await rig.resident.until("waiting", lambda view: view.scene == "waiting")
    await until(rig, lambda seen: seen == QUIET)
    assert rig.printed() <= printed + 1  # a sheet on its way comes out whole
    await rig.call()  # and camera and microphone are free for it
    await until(rig, lambda seen: seen.lenses > 0 and seen.recorders > 1)
    await rig.idle()


async def test_a_press_at_the_panel_ends_the_test_too(rig: rigs.Rig) -> None:
    work = await begun(rig, Trial.MICROPHONE, Options())
    rig.panel.panel.press(1, PanelEvent.NEXT)
    async with asyncio.timeout(AT_ONCE_S):
        assert await work == Ended(why=Why.RESIDENT_CAME)


async def test_presses_that_a_technician_announced_are_taken(rig: rigs.Rig) -> None:
    work = await begun(rig, Trial.PANEL, Options(buttons_s=30))
    await rig.resident.until("a test", lambda view: view.testing is Trial.PANEL)
    for number, event in enumerate(PanelEvent):
        rig.panel.panel.press(10 + number, event)
    async with asyncio.timeout(WITHIN_S):
        outcome = await work
    assert isinstance(outcome, Outcome)
    assert outcome.result is Result.PASSED, outcome.parts
    assert rig.resident.view is not None
    assert rig.resident.view.scene == "choosing"
    assert set(rig.panel.panel.lamps.values()) == {LampPattern.OFF}


async def test_no_test_while_a_resident_waits(rig: rigs.Rig) -> None:
    await rig.wait_in_line()
    code, told, _ = await kioskctl(rig, "all")
    assert (code, told.stopped) == (4, Why.RESIDENT_THERE)
    assert {one.result for one in told.tests} == {Result.NOT_TRIED}
    assert rig.resident.view is not None
    assert rig.resident.view.scene == "waiting"
    await rig.idle()


async def test_two_tests_at_once_are_none(rig: rigs.Rig) -> None:
    # One that lasts until it is ended, however long kioskctl takes to start.
    process = await start(rig, "panel", "--buttons", "60")
    await rig.resident.until("a test", lambda view: view.testing is Trial.PANEL)
    _, told, _ = await kioskctl(rig, "microphone")
    assert told.stopped is Why.TEST_RUNS
    assert process.returncode is None
    os.kill(process.pid, signal.SIGINT)
    async with asyncio.timeout(AT_ONCE_S):
        await process.communicate()
    await rig.resident.until("no test", lambda view: view.testing is None)


async def test_who_leaves_the_command_ends_the_test(rig: rigs.Rig) -> None:
    process = await start(rig, "panel", "--buttons", "60")
    await rig.resident.until("a test", lambda view: view.testing is Trial.PANEL)
    os.kill(process.pid, signal.SIGINT)
    async with asyncio.timeout(AT_ONCE_S):
        await process.communicate()
    await rig.resident.until("no test", lambda view: view.testing is None)
    assert rig.panel.panel.lamps[Lamp.CALL] is LampPattern.OFF


async def test_with_the_daemon_dead_the_same_parts_are_tried(rig: rigs.Rig) -> None:
    await rig.idle()
    await rig.stop()
    try:
        code, told, _ = await kioskctl(
            rig, *(one.value for one in Trial if one is not Trial.SCANNER)
        )
    finally:
        await rig.start()
    assert not told.by_daemon
    failed = [one for one in told.tests if one.result is Result.FAILED]
    assert failed == []
    assert code in (0, 1)
    assert of(told, Trial.NETWORK).result is Result.PASSED
