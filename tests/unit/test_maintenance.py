"""Maintenance: it waits for the end of a visit, outlives the daemon, and everybody is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kioskd
from drivers.camera.fake import FakeCameraConfig
from drivers.microphone.fake import FakeMicrophoneConfig
from drivers.panel.fake import FakePanelConfig
from drivers.printer.fake import FakePrinterConfig
from drivers.scanner.fake import FakeScanner, FakeScannerConfig
from drivers.speaker.fake import FakeSpeakerConfig
from kioskd.app.devices import Devices
from kioskd.app.maintenance import Maintenance
from kioskd.app.restarting import restart
from kioskd.audit.events import AuditEvent
from kioskd.control.api import MaintenanceStage
from kioskd.diagnostics.daemon import maintenance as told_by_doctor
from kioskd.diagnostics.findings import Severity
from kioskd.diagnostics.report import Verdict, report
from kioskd.diagnostics.words import Language
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceKind
from kioskd.runtime import maintenance as note
from kioskd.signalling.messages import Unavailable
from kioskd.visit.words import Scene


def fake_devices() -> Devices:
    return Devices(
        camera=FakeCameraConfig().build(),
        microphone=FakeMicrophoneConfig().build(),
        speaker=FakeSpeakerConfig().build(),
        scanner=FakeScannerConfig().build(),
        printer=FakePrinterConfig().build(),
        panel=FakePanelConfig().build(),
    )


class Kiosk:
    """What maintenance sees of a kiosk."""

    def __init__(self, folder: Path) -> None:
        self.idle = True
        self.shown: list[bool] = []
        self.audit: list[str] = []
        self.one = Maintenance(
            folder, idle=lambda: self.idle, on_change=self._show, audit=self._note
        )

    def stage(self) -> MaintenanceStage:
        return self.one.status.stage

    def _show(self) -> None:
        self.shown.append(self.one.begun)

    def _note(self, event: AuditEvent) -> None:
        self.audit.append(event.type)


async def test_it_begins_and_ends_and_is_noted(tmp_path: Path) -> None:
    kiosk = Kiosk(tmp_path / "state")
    assert kiosk.stage() is MaintenanceStage.OFF
    for _ in range(2):  # asked for twice, it is done once
        outcome = await kiosk.one.ask(on=True)
        assert outcome.done
        assert "no calls" in outcome.message
    assert kiosk.stage() is MaintenanceStage.ON
    assert note.load(tmp_path / "state") == kiosk.one.status.since
    await kiosk.one.ask(on=False)
    assert not kiosk.one.wanted
    assert note.load(tmp_path / "state") is None
    assert kiosk.shown == [True, False]
    assert kiosk.audit == ["maintenance-begun", "maintenance-ended"]


async def test_it_waits_for_the_end_of_a_visit(tmp_path: Path) -> None:
    kiosk = Kiosk(tmp_path)
    kiosk.idle = False
    assert "after this visit" in (await kiosk.one.ask(on=True)).message
    kiosk.one.follow()
    assert kiosk.stage() is MaintenanceStage.AFTER_VISIT
    assert kiosk.one.wanted
    assert kiosk.shown == []
    kiosk.idle = True
    kiosk.one.follow()
    kiosk.one.follow()
    assert kiosk.one.begun
    assert kiosk.audit == ["maintenance-begun"]


async def test_one_that_is_taken_back_in_the_visit_never_begins(tmp_path: Path) -> None:
    kiosk = Kiosk(tmp_path)
    kiosk.idle = False
    await kiosk.one.ask(on=True)
    await kiosk.one.ask(on=False)
    kiosk.idle = True
    kiosk.one.follow()
    assert not kiosk.one.begun
    assert kiosk.audit == []


async def test_it_outlives_the_daemon(tmp_path: Path) -> None:
    await Kiosk(tmp_path).one.ask(on=True)
    second = Kiosk(tmp_path)
    second.one.load()
    second.one.follow()
    assert second.one.begun
    assert second.audit == ["maintenance-begun"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"since": "tomorrow"}'])
def test_a_note_that_cannot_be_read_counts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / note.FILE).write_bytes(content)
    assert note.load(tmp_path) is not None


async def test_a_disk_that_takes_no_note_is_told_of_and_hinders_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("a file where the folder should be")
    kiosk = Kiosk(folder)
    outcome = await kiosk.one.ask(on=True)
    assert kiosk.one.begun
    assert "it will be off again" in outcome.warning


def test_the_doctor_tells_of_it_and_finds_the_kiosk_well() -> None:
    found = told_by_doctor(1.8e9)
    assert found.severity is Severity.NOTE
    told = report([found], [], took_s=0, kiosk="one", language=Language.ENGLISH)
    assert told.verdict is Verdict.HEALTHY
    assert told.findings[0].id == "KSK-060"
    assert told.findings[0].detail == "2027-01-15 08:00 UTC"


def test_the_agents_page_has_words_for_it() -> None:
    for path in Path(kioskd.__file__).parent.glob("web/agent/messages/*.json"):
        words = json.loads(path.read_text())
        assert all(words[f"unavailable-{one}"] for one in Unavailable)


async def test_a_restart_in_a_visit_is_refused_and_says_what_it_would_do() -> None:
    devices = fake_devices()
    for kind in DeviceKind:
        outcome = await restart(devices, kind, Scene.TALKING, now=False)
        assert not outcome.done
        assert "--now" in outcome.message
        assert " would " in outcome.message
    outcome = await restart(devices, DeviceKind.CAMERA, Scene.TALKING, now=True)
    assert outcome.done
    assert "ready" in outcome.message


async def test_a_restart_says_how_the_device_is() -> None:
    devices = fake_devices()
    scanner = devices.scanner.device
    assert isinstance(scanner, FakeScanner)
    scanner.fail_with(Reason.UNPLUGGED)
    outcome = await restart(devices, DeviceKind.SCANNER, Scene.CHOOSING, now=False)
    assert not outcome.done
    assert "absent unplugged" in outcome.message
    scanner.fail_with(None)
    assert (await restart(devices, DeviceKind.SCANNER, Scene.CHOOSING, now=False)).done
    devices.panel.report(DeviceError(Reason.NOT_CONFIGURED))
    outcome = await restart(devices, DeviceKind.PANEL, Scene.CHOOSING, now=False)
    assert outcome.message == "this kiosk has no panel"
