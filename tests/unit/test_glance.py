"""status, its changes and top: all of it in 80 columns, and on a serial line in letters."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from kioskd.control.api import Status
from kioskd.diagnostics import terminal
from kioskd.diagnostics.changes import SILENT, changes
from kioskd.diagnostics.glance import ago, glance, service
from kioskd.diagnostics.top import SAMPLES, History, picture, sparkline
from tests.unit.sample_status import sample

COLUMNS = 80


class Paper:
    """A console that keeps what was printed; `encoding` is what it can write."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self._bytes = io.BytesIO()
        self.file = io.TextIOWrapper(
            self._bytes, encoding=encoding, errors=terminal.LETTERS, write_through=True
        )
        self.console = Console(file=self.file, width=COLUMNS, highlight=False)

    def print(self, one: RenderableType) -> str:
        self.console.print(one)
        return self._bytes.getvalue().decode(self.file.encoding)


def everything_wrong() -> Status:
    return sample(
        broker_online=False,
        screen_connected=False,
        safe_mode=True,
        unsigned=True,
        stuck=["device panel", "broker link"],
        maintenance={"stage": "after-visit", "since": 1.7e9},
        audit={"seq": 1, "head": "0" * 64, "failing": "No space left on device", "lost": 12},
    )


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("status", [sample(), everything_wrong()], ids=["call", "wrong"])
def test_all_of_it_fits_80_columns_and_can_be_written(status: Status, encoding: str) -> None:
    history = History()
    for _ in range(SAMPLES + 5):
        history.add(status)
    drawn = [
        Paper(encoding).print(glance(status, (paper := Paper(encoding)).console)),
        Paper(encoding).print(picture(status, history, paper.console, clock="12:00:00")),
    ]
    for text in drawn:
        assert max(len(line) for line in text.splitlines()) <= COLUMNS
        for device in status.devices:
            assert device.kind.value in text
            assert (device.reason or device.state.value) in text
        assert "KSK-518" in text


def test_it_says_whether_a_resident_can_call() -> None:
    assert service(sample()).plain == "in service, with troubles"
    assert service(sample(devices=[])).plain == "in service"
    assert service(sample(broker_online=False)).plain == "NO CALLS"
    on = {"stage": "on", "since": 1.7e9}
    assert service(sample(maintenance=on)).plain == "MAINTENANCE"
    shown = Paper().print(glance(everything_wrong(), Paper().console))
    for word in ("SAFE MODE", "NOBODY IS VERIFIED", "OFFLINE", "12 events LOST", "NOT CONNECTED"):
        assert word in shown


def test_only_what_has_changed_is_a_line() -> None:
    first = changes(None, sample())
    assert first[0] == "fc-0001: kioskd 0.1.0, pid 1234, up 1 d 1 h"
    assert "printer: failed paper-jam" in first
    assert not any(line.startswith(("stuck", "maintenance", "safe")) for line in first)
    assert changes(sample(), sample(loop_lag_p99_ms=80.0, uptime_s=5.0)) == []
    moved = sample(broker_online=False, maintenance={"stage": "on", "since": 1.7e9}, pid=99)
    assert changes(sample(), moved) == [
        "kioskd was started again: pid 1234 -> 99",
        "broker: online -> OFFLINE",
        "maintenance: off -> on",
    ]
    assert changes(sample(), None, why="gone") == [f"{SILENT}: gone"]


def test_a_sparkline_is_as_high_as_its_values() -> None:
    assert sparkline([0, 50, 100, None], "_-#", 100) == "_-# "
    assert sparkline([0.0], "_-#", 0) == "_"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "5 s"), (65, "1 min 05 s"), (1800, "30 min"), (7500, "2 h 05 min"), (2e5, "2 d 7 h")],
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert ago(seconds) == said


def test_what_is_no_ascii_is_written_with_its_nearest_letters() -> None:
    said = "Caméra : « débranchée » – vérifier l’œil… → ok"
    assert said.encode("ascii", terminal.LETTERS) == (
        b'Camera : " debranchee " - verifier l\'oeil... > ok'
    )


@pytest.mark.parametrize("term", ["vt100", "vt220", "dumb", ""])
def test_a_serial_line_is_known_by_its_name(term: str) -> None:
    assert terminal.plain({"TERM": term})


def test_a_screen_is_no_serial_line() -> None:
    assert not terminal.plain({"TERM": "xterm-256color"})
    assert not terminal.plain({"TERM": "linux"})
