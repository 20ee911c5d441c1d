"""The note of the daemon's starts: what it remembers over a crash, and what it survives."""

from __future__ import annotations

from pathlib import Path

import pytest

from kioskd.hal.device import DeviceKind
from kioskd.runtime.starts import FAILED_STARTS, FILE, LEFT_OUT_S, Starts


class Clock:
    """The wall clock, which may be set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def start(folder: Path, clock: Clock) -> Starts:
    one = Starts(folder, now=clock)
    one.begin()
    return one


def test_the_start_after_three_failed_ones_is_safe(tmp_path: Path, clock: Clock) -> None:
    assert [start(tmp_path, clock).safe for _ in range(FAILED_STARTS + 2)] == [
        *[False] * FAILED_STARTS,
        True,
        True,
    ]


def test_a_good_start_is_forgiving(tmp_path: Path, clock: Clock) -> None:
    for _ in range(FAILED_STARTS):
        start(tmp_path, clock)
    last = start(tmp_path, clock)
    last.settled()
    assert last.failed == 0
    assert not start(tmp_path, clock).safe


def test_what_was_being_tried_is_left_out_for_a_day(tmp_path: Path, clock: Clock) -> None:
    start(tmp_path, clock).trying(DeviceKind.SCANNER)  # and dies
    after = start(tmp_path, clock)
    assert after.left_out == [DeviceKind.SCANNER]
    assert after.due == []
    clock.now += LEFT_OUT_S - 1
    assert after.due == []
    clock.now += 1
    assert after.due == [DeviceKind.SCANNER]
    clock.now -= 10 * LEFT_OUT_S  # the clock is set back
    assert after.due == [DeviceKind.SCANNER]


def test_one_that_went_well_is_left_out_no_more(tmp_path: Path, clock: Clock) -> None:
    start(tmp_path, clock).trying(DeviceKind.PANEL)
    second = start(tmp_path, clock)
    second.trying(DeviceKind.PANEL)
    second.trying(None)
    assert start(tmp_path, clock).left_out == []


def test_stopping_cleanly_accuses_nobody(tmp_path: Path, clock: Clock) -> None:
    first = start(tmp_path, clock)
    first.trying(DeviceKind.PANEL)
    first.settled()
    after = start(tmp_path, clock)
    assert after.left_out == []
    assert after.failed == 1


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 64, b"{", b'{"failed": "many"}', b'{"trying": "toaster"}']
)
def test_a_corrupt_note_is_as_good_as_none(tmp_path: Path, clock: Clock, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    one = start(tmp_path, clock)
    assert (one.safe, one.failed, one.left_out) == (False, 1, [])
    assert start(tmp_path, clock).failed == 2, "and it is written anew"


def test_a_folder_that_cannot_be_written_keeps_nobody_from_starting(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for _ in range(FAILED_STARTS + 1):
        one = start(tmp_path / "file" / "state", clock)
        one.trying(DeviceKind.PANEL)
        assert not one.safe
    assert capsys.readouterr().out.count("starts.unwritable") == FAILED_STARTS + 1, "once a start"
