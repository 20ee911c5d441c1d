"""The catalogue of findings: ids that stay, the same words in both languages, causes first."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kioskd.diagnostics import report as reports
from kioskd.diagnostics.daemon import Daemon
from kioskd.diagnostics.doctor import Examination, Subject
from kioskd.diagnostics.findings import (
    Found,
    Severity,
    Trouble,
    device_finding,
    device_id,
    normal,
    severity_of,
    trouble,
)
from kioskd.diagnostics.fixes import remedies
from kioskd.diagnostics.report import Report, ordered
from kioskd.diagnostics.stacks import usb_hub
from kioskd.diagnostics.words import Language, preferred, words
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind, DeviceState

SCHEMA = Path(__file__).parent / "doctor_schema.json"
WORDS = Path(reports.__file__).parent / "words"
ALL = [*Trouble, *(device_id(kind, reason) for kind in DeviceKind for reason in Reason)]


def keys(table: dict[str, Any], path: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in table.items():
        found |= keys(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}"}
    return found


def device(kind: DeviceKind, reason: Reason) -> Found:
    return device_finding(kind, DeviceState.FAILED, reason, "")


def order(*found: Found) -> list[tuple[str, list[str]]]:
    return [(root.id, [one.id for one in effects]) for root, effects in ordered(found)]


def test_no_id_stands_for_two_things() -> None:
    assert len(set(ALL)) == len(ALL)
    assert all(re.fullmatch(r"KSK-\d{3}", one) for one in ALL)


def test_numbers_that_are_on_paper_have_kept_their_meaning() -> None:
    assert Trouble.DEAD.value == "KSK-002"
    assert Trouble.EXPIRES_SOON.value == "KSK-031"
    assert device_id(DeviceKind.CAMERA, Reason.NO_ANSWER) == "KSK-105"
    assert device_id(DeviceKind.PANEL, Reason.LEFT_OUT) == "KSK-623"


@pytest.mark.parametrize("language", Language)
def test_every_finding_has_words_in_every_language(language: Language) -> None:
    for identifier in ALL:
        said = words(language).of(identifier)
        assert all(said.model_dump().values()), identifier


def test_the_languages_say_the_same_things() -> None:
    tables = [tomllib.loads((WORDS / f"{one.value}.toml").read_text()) for one in Language]
    assert keys(tables[0]) == keys(tables[1])


@pytest.mark.parametrize(
    ("typed", "is_"),
    [
        ("KSK-105", "KSK-105"),
        ("ksk-0105", "KSK-105"),
        ("3", "KSK-003"),
        ("ksk014", "KSK-014"),
        ("KSK-000", None),
        ("KSK-199", None),
        ("KSK-701", None),
        ("KSK-1050", None),
        ("toaster", None),
        ("", None),
    ],
)
def test_ids_are_taken_as_people_type_them(typed: str, is_: str | None) -> None:
    assert normal(typed) == is_


def test_a_dead_network_explains_a_dead_broker() -> None:
    found = [trouble(Trouble.NAMES, "broker.example.org"), trouble(Trouble.NO_NETWORK)]
    assert order(*found) == [("KSK-009", ["KSK-008"])]


def test_a_dead_sound_server_explains_microphone_and_speaker() -> None:
    found = [
        device(DeviceKind.SPEAKER, Reason.NO_ANSWER),
        device(DeviceKind.MICROPHONE, Reason.NO_ANSWER),
        device(DeviceKind.SCANNER, Reason.NOT_FOUND),
        trouble(Trouble.SOUND_SERVER),
    ]
    assert order(*found) == [("KSK-021", ["KSK-205", "KSK-305"]), ("KSK-401", [])]


def test_a_broken_configuration_explains_a_dead_daemon() -> None:
    found = [trouble(Trouble.DEAD), trouble(Trouble.BROKER), trouble(Trouble.SETTINGS)]
    assert order(*found) == [("KSK-001", ["KSK-002"]), ("KSK-003", [])]


def test_what_was_seen_twice_is_told_once() -> None:
    faults = [trouble(Trouble.SETTINGS, "kiosk: is missing"), trouble(Trouble.SETTINGS, "kosk")]
    ((root, _),) = ordered([*faults, faults[0]])
    assert root.detail == "kiosk: is missing\nkosk"


def test_a_cause_is_as_bad_as_what_it_leads_to() -> None:
    assert trouble(Trouble.CLOCK).severity is Severity.DEGRADED
    ((root, _),) = ordered([trouble(Trouble.BROKER_CERTIFICATE), trouble(Trouble.CLOCK)])
    assert (root.id, root.severity) == (Trouble.CLOCK, Severity.BROKEN)


def test_what_nobody_feels_today_comes_last() -> None:
    found = [trouble(Trouble.SWAP), device(DeviceKind.PANEL, Reason.NOT_FOUND)]
    assert [one for one, _ in order(*found)] == ["KSK-601", "KSK-019"]
    found = [trouble(Trouble.SPOOL_ON_DISK), trouble(Trouble.NAMES)]
    assert [one for one, _ in order(*found)] == ["KSK-008", "KSK-005"]


def test_three_usb_devices_gone_at_once_are_a_hub() -> None:
    gone = [
        device(DeviceKind.CAMERA, Reason.NOT_FOUND),
        device(DeviceKind.MICROPHONE, Reason.UNPLUGGED),
        device(DeviceKind.PANEL, Reason.NOT_FOUND),
    ]
    assert usb_hub(gone[:2]) == []
    (hub,) = usb_hub(gone)
    assert order(hub, *gone) == [("KSK-028", ["KSK-101", "KSK-202", "KSK-601"])]


def test_without_ears_or_mouth_a_kiosk_is_broken_without_a_printer_degraded() -> None:
    assert device(DeviceKind.MICROPHONE, Reason.NOT_FOUND).severity is Severity.BROKEN
    assert device(DeviceKind.PRINTER, Reason.NOT_FOUND).severity is Severity.DEGRADED
    assert severity_of("KSK-305") is Severity.BROKEN


@pytest.mark.parametrize(
    ("environment", "kiosk", "language"),
    [
        ({"LANG": "en_GB.UTF-8"}, "fr", Language.ENGLISH),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "fr_FR.UTF-8"}, "en", Language.FRENCH),
        ({"LANG": "C.UTF-8"}, "en", Language.ENGLISH),
        ({}, "br", Language.FRENCH),
        ({}, None, Language.FRENCH),
    ],
)
def test_it_speaks_the_terminals_language(
    environment: dict[str, str], kiosk: str | None, language: Language
) -> None:
    assert preferred(environment, kiosk) is language


def test_the_schema_changes_with_its_version_only() -> None:
    """To change it on purpose: raise `Report.version`, then renew the file (doctor --schema)."""
    pinned = json.loads(SCHEMA.read_text())
    schema = json.loads(json.dumps(Report.model_json_schema()))
    assert pinned["properties"]["version"]["const"] == 3
    assert schema == pinned


def test_a_daemon_that_may_live_is_never_cleaned_after(tmp_path: Path) -> None:
    subject = Subject(control=tmp_path / "control.sock", spool=tmp_path)
    seen = Examination()
    seen.board.found += [trouble(Trouble.HANGS), trouble(Trouble.SPOOL_FULL)]
    assert remedies(subject, seen) == []
    seen.daemon = Daemon(dead=True, stale_socket=True)
    assert [one.name for one in remedies(subject, seen)] == ["socket", "spool"]
    seen.systemd = {"ActiveState": "activating"}  # it is about to come
    assert remedies(subject, seen) == []
    seen.systemd = {"ActiveState": "failed"}
    assert [one.name for one in remedies(subject, seen)] == ["socket", "spool", "restart"]
    seen.board.found.append(trouble(Trouble.SETTINGS))  # it could not start
    assert [one.name for one in remedies(subject, seen)] == ["socket", "spool"]


def test_a_spool_that_is_no_ram_is_never_wiped(tmp_path: Path) -> None:
    (tmp_path / "letter").touch()
    seen = Examination(daemon=Daemon(dead=True))
    seen.board.found.append(trouble(Trouble.SPOOL_FULL))
    (remedy,) = remedies(Subject(control=tmp_path / "none", spool=tmp_path), seen)
    with pytest.raises(OSError, match="not in RAM"):
        remedy.do()
    assert (tmp_path / "letter").exists()
