"""kioskctl logs: lines are read, chosen, followed and explained."""

from __future__ import annotations

import io
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from kioskd import logging as our_logging
from kioskd.app import log_source
from kioskd.diagnostics.log_text import LogPrinter
from kioskd.diagnostics.logs import LEVELS, Entry, Wanted, moment, parse, parse_journal
from kioskd.diagnostics.words import Language
from kioskd.errors import ControlError
from kioskd.hal.device import DeviceKind

AT = "2026-11-25T14:00:0{}.5Z"


def line(event: str, second: int = 0, level: str = "info", **fields: object) -> str:
    return json.dumps({"timestamp": AT.format(second), "level": level, "event": event, **fields})


LOST = line("device.state", 1, "warning", device="camera", state="absent", reason="unplugged")
LOG = [
    line("visit.scene", 0, scene="waiting", visit="00aa11bb22cc33dd"),
    LOST,
    "Traceback (most recent call last):",
    line("worker.died", 2, "warning", worker="printer", code=-9),
    line("broker.lost", 3, "warning", error="gone"),
    line("scan.ended", 4, "info", reason="paper-jam", detail="", visit="00aa11bb22cc33dd"),
]


def chosen(wanted: Wanted) -> list[str]:
    return [one.event for one in wanted.select(parse(one) for one in LOG)]


def test_a_line_of_ours_is_read_whole() -> None:
    entry = parse(LOST)
    assert entry.event == "device.state"
    assert entry.level == "warning"
    assert entry.time == datetime(2026, 11, 25, 14, 0, 1, 500_000, UTC)
    assert entry.fields == {"device": "camera", "state": "absent", "reason": "unplugged"}
    assert parse("libsane: hello") == Entry("libsane: hello")
    assert parse("{not json") == Entry("{not json")


@pytest.mark.parametrize(
    ("written", "finding"),
    [
        (LOST, "KSK-102"),
        (line("scan.ended", reason="paper-jam"), "KSK-418"),
        (line("wipe.printer", reason="offline"), "KSK-514"),
        (line("starts.left_out", device="panel"), "KSK-623"),
        (line("broker.lost"), "KSK-003"),
        (line("anything", detail="see KSK-105"), "KSK-105"),
        (line("device.state", device="camera", state="ready"), None),
        (line("scan.not_sent", fault="timeout"), None),
    ],
)
def test_a_trouble_leads_to_its_finding(written: str, finding: str | None) -> None:
    assert parse(written).finding == finding


def test_lines_are_chosen_by_visit_device_level_and_time() -> None:
    assert chosen(Wanted()) == [parse(one).event for one in LOG]
    assert chosen(Wanted(visit="00aa")) == ["visit.scene", "scan.ended"]
    assert chosen(Wanted(device=DeviceKind.CAMERA)) == ["device.state", LOG[2]]
    assert chosen(Wanted(device=DeviceKind.PRINTER)) == ["worker.died"]
    assert "visit.scene" not in chosen(Wanted(level="warning"))
    late = datetime(2026, 11, 25, 14, 0, 3, tzinfo=UTC)
    assert chosen(Wanted(since=late)) == ["broker.lost", "scan.ended"]


def test_the_journal_wraps_our_lines_and_tells_of_the_unit() -> None:
    wrapped = {"MESSAGE": LOST, "__REALTIME_TIMESTAMP": "1764079200000000", "_TRANSPORT": "stdout"}
    assert parse_journal(json.dumps(wrapped)) == parse(LOST)
    trace = parse_journal(json.dumps(wrapped | {"MESSAGE": list(b"  File \xff")}))
    assert trace is not None
    assert not trace.ours
    systemd = {"MESSAGE": "Started kioskd.", "PRIORITY": "3", "SYSLOG_IDENTIFIER": "systemd"}
    told = parse_journal(json.dumps(wrapped | {"_TRANSPORT": "journal"} | systemd))
    assert told is not None
    assert (told.level, told.fields) == ("error", {"by": "systemd"})
    assert parse_journal("-- no JSON --") is None
    assert parse_journal('{"MESSAGE": null}') is None


def test_times_are_read_as_people_write_them() -> None:
    now = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
    assert moment("10m", now) == now - timedelta(minutes=10)
    assert moment("3d", now) == now - timedelta(days=3)
    assert moment("9:30", now) == now.replace(hour=9, minute=30)
    assert moment("2026-11-24", now) == datetime(2026, 11, 24, tzinfo=UTC)
    with pytest.raises(ValueError, match="soon"):
        moment("soon", now)


@pytest.mark.parametrize("language", Language)
def test_it_fits_80_columns_and_says_what_to_do_once(language: Language) -> None:
    out = io.StringIO()
    printer = LogPrinter(Console(file=out, width=80), language)
    for written in [*LOG, LOST, line("device.state", 5, reason="x" * 200, device="camera")]:
        printer.show(parse(written))
    text = out.getvalue()
    assert max(len(one) for one in text.splitlines()) <= 80
    assert text.count("KSK-102") == 2
    assert text.count({"fr": "À faire :", "en": "Do:"}[language.value]) == 3
    assert "\x1b" not in text


def test_a_file_is_followed_over_its_replacement(tmp_path: Path) -> None:
    file = tmp_path / "kioskd.log"
    file.write_text("\n".join(LOG) + "\n")
    entries = log_source.find(tmp_path / "none.sock", file).read(None, 1, follow=True)
    assert next(entries).event == "scan.ended"

    def replace() -> None:
        with file.open("a") as opened:
            opened.write(line("first") + "\n" + line("seco"))
            opened.flush()
        seen.wait(20)
        new = tmp_path / "new"
        new.write_text(line("anew") + "\n")
        new.replace(file)

    seen = threading.Event()
    writer = threading.Thread(target=replace)
    writer.start()
    assert next(entries).event == "first"
    seen.set()
    assert next(entries).event == "anew"
    writer.join()


def test_without_any_log_it_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_source, "_JOURNALS", (tmp_path / "no-journal",))
    with pytest.raises(ControlError, match="--file"):
        log_source.find(tmp_path / "none.sock")


def test_a_line_bears_the_visit_that_it_is_of() -> None:
    our_logging.of_visit("00aa11bb22cc33dd")
    try:
        assert our_logging._add_visit(None, "", {"event": "x"})["visit"] == "00aa11bb22cc33dd"
    finally:
        our_logging.of_visit("")
    assert our_logging._add_visit(None, "", {"event": "x"}) == {"event": "x"}
    assert LEVELS[0] == "debug"
