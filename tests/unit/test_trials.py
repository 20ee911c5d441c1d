"""`kioskctl test` with simulated devices: marks, findings, words, the sheet, who goes before."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter
from typing import TypeAlias

import numpy as np
import pypdfium2
import pytest
import pytest_asyncio
from pydantic import ValidationError

from drivers.camera.fake import FakeCamera
from drivers.microphone.fake import FakeMicrophone
from drivers.panel.fake import FakePanel
from drivers.printer.fake import FakePrinter
from drivers.printer.none import NoPrinter
from drivers.scanner.fake import FakeScanner
from drivers.speaker.fake import FakeSpeaker
from kioskd.app.devices import Devices
from kioskd.app.testing import Bench, run_trial
from kioskd.app.trials.marks import FAILED_AT_MOST, Marks
from kioskd.control.trial import (
    Look,
    Options,
    Outcome,
    Progress,
    Result,
    Untried,
    Where,
    Why,
)
from kioskd.diagnostics import trials as telling
from kioskd.diagnostics.findings import Trouble, device_id
from kioskd.diagnostics.sheet import width, wrap
from kioskd.diagnostics.trials import TestReport
from kioskd.diagnostics.trials_paper import write_paper
from kioskd.diagnostics.words import Language, words
from kioskd.errors import Reason
from kioskd.hal.camera import Frame, VideoFormat
from kioskd.hal.device import Device, DeviceKind
from kioskd.hal.panel import Lamp, LampPattern
from kioskd.hal.printer import Printer
from kioskd.hal.simulated import Simulated
from kioskd.hal.trial import Trial
from kioskd.signalling.link import BrokerAddress
from kioskd.simulation.broker import free_port

SCHEMA = Path(__file__).parent / "test_schema.json"
WHERE = Where(kiosk="kiosk-1", name="Mairie d'Évry", town="Évry-lès-Exemple")
TIMED = (Trial.CAMERA, Trial.MICROPHONE, Trial.SPEAKER, Trial.CALL)
OF_DEVICES = [one for one in Trial if one not in (Trial.NETWORK, Trial.CALL)]


class Kiosk:
    """Simulated devices, and a broker that is not there."""

    def __init__(self, spool: Path, printer: Printer | None = None) -> None:
        self.camera = FakeCamera(VideoFormat(320, 240, 30))
        self.microphone = FakeMicrophone(440, echo_db=-20)
        self.speaker = FakeSpeaker(1)
        self.scanner = FakeScanner(0)
        self.printer = FakePrinter(0.1)
        self.panel = FakePanel()
        self.devices = Devices(
            camera=self.camera,
            microphone=self.microphone,
            speaker=self.speaker,
            scanner=self.scanner,
            printer=printer or self.printer,
            panel=self.panel,
        )
        self.bench = Bench(
            where=WHERE,
            devices=self.devices,
            address=BrokerAddress("127.0.0.1", free_port(), "kiosk-1"),
            servers=(),
            spool=spool,
        )
        self.told: list[Progress] = []

    def fake(self, trial: Trial) -> Simulated:
        fake = self.devices.of(DeviceKind(trial.value)).device
        assert isinstance(fake, Simulated)
        return fake

    async def run(self, trial: Trial, options: Options = Options()) -> Outcome:  # noqa: B008
        return await run_trial(self.bench, trial, options, self.told.append)


@asynccontextmanager
async def a_kiosk(spool: Path, printer: Printer | None = None) -> AsyncIterator[Kiosk]:
    one = Kiosk(spool, printer)
    try:
        yield one
    finally:
        for device in one.devices.all:
            await device.device.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def good(tmp_path_factory: pytest.TempPathFactory) -> dict[Trial, tuple[Outcome, Kiosk]]:
    """What comes of each trial, each with a kiosk of its own that works; alone what is timed."""

    async def one(trial: Trial) -> tuple[Outcome, Kiosk]:
        async with a_kiosk(tmp_path_factory.mktemp(trial.value)) as kiosk:
            return await kiosk.run(trial), kiosk

    together = [trial for trial in Trial if trial not in TIMED]
    found = dict(zip(together, await asyncio.gather(*map(one, together)), strict=True))
    return found | {trial: await one(trial) for trial in TIMED}


Good: TypeAlias = dict[Trial, tuple[Outcome, Kiosk]]


@pytest.fixture
async def kiosk(tmp_path: Path) -> AsyncIterator[Kiosk]:
    async with a_kiosk(tmp_path) as one:
        yield one


def part(outcome: Outcome, look: Look) -> Result:
    return next(one.result for one in outcome.parts if one.look is look)


# -- trials ---------------------------------------------------------------------------------


@pytest.mark.parametrize("trial", sorted(set(Trial) - {Trial.PANEL, Trial.NETWORK}))
def test_what_works_passes(good: Good, trial: Trial) -> None:
    told, kiosk = good[trial]
    if trial in TIMED:  # a busy machine may lose a little
        assert told.result in (Result.PASSED, Result.DEGRADED), told.parts
    else:
        assert (told.result, told.score, told.finding) == (Result.PASSED, 100, None), told.parts
    assert told.where == WHERE
    assert kiosk.told
    assert all(0 <= one.done <= 1 for one in kiosk.told)
    assert not kiosk.camera.is_open
    assert not kiosk.microphone.is_open
    assert list(kiosk.bench.spool.iterdir()) == []


def test_lamps_alone_are_no_panel_that_works(good: Good) -> None:
    told, kiosk = good[Trial.PANEL]
    assert told.result is Result.NOT_TRIED
    assert part(told, Look.CALL_LAMP) is part(told, Look.CAMERA_LAMP) is Result.PASSED
    assert part(told, Look.LAMP_SEEN) is part(told, Look.BUTTONS) is Result.NOT_TRIED
    assert set(kiosk.panel.lamps.values()) == {LampPattern.OFF}, "as its bench has them"


@pytest.mark.parametrize("trial", OF_DEVICES)
@pytest.mark.parametrize("reason", [Reason.UNPLUGGED, Reason.NO_ANSWER, Reason.CRASHED])
async def test_a_fault_is_named_with_its_finding(
    kiosk: Kiosk, trial: Trial, reason: Reason
) -> None:
    kiosk.fake(trial).fail_with(reason)
    told = await kiosk.run(trial)
    assert told.result is Result.FAILED
    assert told.score is not None
    assert told.score <= FAILED_AT_MOST
    assert told.finding == device_id(DeviceKind(trial.value), reason)


async def test_a_printer_without_paper_fails_and_prints_nothing_later(kiosk: Kiosk) -> None:
    kiosk.printer.fail_with(Reason.PAPER_OUT)
    told = await kiosk.run(Trial.PRINTER)
    assert told.result is Result.FAILED
    assert told.finding == device_id(DeviceKind.PRINTER, Reason.PAPER_OUT)
    assert told.code is None
    kiosk.printer.fail_with(None)  # a job that was still there would be over by now, and printed
    assert (await kiosk.printer.job(1)).state.ended
    assert kiosk.printer.printed == []


async def test_another_page_on_the_scanner_fails(kiosk: Kiosk) -> None:
    told = await kiosk.run(Trial.SCANNER, Options(expect="ACDEFG"))
    assert (told.result, told.finding) == (Result.FAILED, Trouble.OTHER_PAGE)


async def test_a_microphone_that_is_silent_fails_and_takes_the_speaker_with_it(
    kiosk: Kiosk,
) -> None:
    kiosk.microphone._tone_hz = 0
    kiosk.microphone._echo = 0
    silent = device_id(DeviceKind.MICROPHONE, Reason.SILENT)
    for trial in (Trial.MICROPHONE, Trial.SPEAKER):
        told = await kiosk.run(trial)
        assert (told.result, told.finding) == (Result.FAILED, silent)


async def test_a_speaker_that_nobody_hears_fails(kiosk: Kiosk) -> None:
    kiosk.microphone._echo = 0
    told = await kiosk.run(Trial.SPEAKER)
    silent = device_id(DeviceKind.SPEAKER, Reason.SILENT)
    assert (told.result, told.finding) == (Result.FAILED, silent)
    assert part(told, Look.HEARD) is Result.FAILED


async def test_the_call_names_the_device_that_it_lacks(kiosk: Kiosk) -> None:
    kiosk.microphone.fail_with(Reason.UNPLUGGED)
    told = await kiosk.run(Trial.CALL)
    assert told.finding == device_id(DeviceKind.MICROPHONE, Reason.UNPLUGGED)
    assert not kiosk.camera.is_open


async def test_what_is_not_configured_is_not_tried(tmp_path: Path) -> None:
    async with a_kiosk(tmp_path, NoPrinter()) as one:
        told = await one.run(Trial.PRINTER)
    assert (told.result, told.score, told.finding) == (Result.NOT_TRIED, None, None)


class Watching(FakeCamera):
    """A camera that has the panel's big button in view."""

    panel: FakePanel

    async def frame(self) -> Frame:
        frame = await super().frame()
        luma = np.full((frame.height, frame.width), 90, np.uint8)
        luma[::7] = 140  # a room, no wall
        luma[100:112, 200:215] = 200 if self.panel.lamps[Lamp.CALL] is LampPattern.ON else 60
        chroma = bytes([128]) * (luma.size // 2)
        return dataclasses.replace(frame, i420=luma.tobytes() + chroma)


async def test_a_lamp_that_the_camera_sees_is_seen(kiosk: Kiosk) -> None:
    camera = Watching(VideoFormat(320, 240, 30))
    camera.panel = kiosk.panel
    kiosk.devices.camera.device = camera
    told = await kiosk.run(Trial.PANEL)
    assert part(told, Look.LAMP_SEEN) is Result.PASSED


@pytest.mark.parametrize("trial", [Trial.SPEAKER, Trial.PANEL])
async def test_an_error_is_blamed_on_the_device_that_has_it(kiosk: Kiosk, trial: Trial) -> None:
    """In the middle, while another device is open as well."""
    other = kiosk.devices.microphone if trial is Trial.SPEAKER else kiosk.devices.camera
    other.on_lease = lambda open_: kiosk.fake(trial).fail_with(Reason.UNPLUGGED) if open_ else None
    told = await kiosk.run(trial)
    kind = DeviceKind(trial.value)
    assert told.finding == device_id(kind, Reason.UNPLUGGED)
    assert other.health.state.usable
    assert kiosk.devices.of(kind).health.reason is Reason.UNPLUGGED


def test_a_dead_broker_fails(good: Good) -> None:
    told, _ = good[Trial.NETWORK]
    assert (told.result, told.finding) == (Result.FAILED, Trouble.BROKER)
    assert part(told, Look.SERVERS) is Result.NOT_TRIED


@pytest.mark.parametrize("trial", [Trial.CAMERA, Trial.SPEAKER, Trial.PRINTER, Trial.CALL])
async def test_a_trial_that_is_cancelled_gives_all_back(kiosk: Kiosk, trial: Trial) -> None:
    kiosk.printer._job_s = 5
    begun = asyncio.Event()

    def tell(one: Progress) -> None:
        if one.done > 0:
            begun.set()

    work = asyncio.create_task(run_trial(kiosk.bench, trial, Options(), tell))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not kiosk.camera.is_open
    assert not kiosk.microphone.is_open
    for one in kiosk.devices.all:
        async with one.lease() as device:
            assert isinstance(device, Device)
    assert kiosk.printer.printed == []


# -- words ----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", Language)
def test_everything_has_words(language: Language) -> None:
    said = words(language)
    assert set(said.trials) == set(Trial)
    assert set(said.looks) == set(Look)
    assert set(said.untried) == set(Untried)
    assert all(said.tests.of(one) for one in Result)
    assert all(said.tests.no_outcome(one) for one in Why)


def test_the_languages_name_the_same_figures() -> None:
    def fields(text: str) -> set[str | None]:
        return {field for _, field, _, _ in Formatter().parse(text) if field}

    for look in Look:
        texts = [words(language).looks[look].text for language in Language]
        assert fields(texts[0]) == fields(texts[1]), look


def test_an_outcome_of_each_trial_can_be_said(good: Good) -> None:
    for outcome, _ in good.values():
        for language in Language:
            told = telling.told(outcome, language, [])
            assert all(one.text for one in told.parts), told
            assert "{" not in "".join(one.text for one in told.parts)


def test_the_schema_changes_with_its_version_only() -> None:
    """To change it: raise `TestReport.version`, then renew the file (`kioskctl test --schema`)."""
    pinned = json.loads(SCHEMA.read_text())
    assert json.loads(json.dumps(TestReport.model_json_schema())) == pinned
    assert pinned["properties"]["version"]["const"] == 1


def test_options_from_outside_are_looked_at() -> None:
    with pytest.raises(ValidationError):
        Options(expect="../../etc")
    with pytest.raises(ValidationError):
        Options(buttons_s=3600)


# -- the sheet --------------------------------------------------------------------------------


def test_lines_are_broken_where_they_fit() -> None:
    text = "Réparer la borne, puis recommencer : " * 5 + "x" * 200
    lines = wrap(text, 8, 150)
    assert all(width(line, 8) <= 150 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrap("", 8, 150) == []


def worst(trial: Trial) -> Outcome:
    """Return a trial of which everything is wrong, at length."""
    one = Marks(trial, lambda _: None)
    one.device = "a device with a very long name " * 4
    for look in (Look.RELAY, Look.STUN):
        for number in range(4):
            url = f"turns:turn-{number}.a-long-name.example.org:5349?transport=tcp"
            one.mark(look, 10, 0, url=url, transport="TLS", trip="-", loss=100, said="no answer")
    one.wrong(Trouble.RELAY, "x" * 300)
    return one.outcome(10)


@pytest.mark.parametrize("language", Language)
def test_the_report_is_one_page_whose_text_can_be_selected(
    good: Good, tmp_path: Path, language: Language
) -> None:
    well = [outcome for outcome, _ in good.values()]
    for number, outcomes in enumerate((well, [worst(trial) for trial in Trial], [])):
        told = telling.report(
            [telling.told(one, language, []) for one in outcomes],
            where=WHERE,
            language=language,
            time=datetime.now(UTC),
            took_s=12.3,
            by_daemon=True,
            stopped=Why.RESIDENT_CAME,
        )
        file = tmp_path / f"{number}.pdf"
        write_paper(file, told, outcomes)
        with pypdfium2.PdfDocument(file) as pdf:
            assert len(pdf) == 1
            page = pdf[0]
            assert page.get_size() == (595, 842)
            text = page.get_textpage().get_text_bounded()
            assert "Mairie d'Évry" in text
            assert words(language).tests.title in text
            assert all(one.name in text for one in told.tests)
            assert (Trouble.RELAY in text) == (number == 1)
            if number == 1:
                assert text.count(words(language).tests.action) >= len(Trial)
            lowest = min(_bottoms(page))
            assert lowest >= 15, "nothing runs out of the page"
        assert file.stat().st_size < 1_000_000


def _bottoms(page: pypdfium2.PdfPage) -> list[float]:
    text = page.get_textpage()
    return [text.get_charbox(number)[1] for number in range(text.count_chars())]
