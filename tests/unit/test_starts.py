"""Starts that fail are remembered, and the guilty device is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from kioskd.hal.device import DeviceKind
from kioskd.runtime.starts import FAILED_STARTS, FILE, LEFT_OUT_S, Starts


def begin(folder: Path, now: float = 0.0) -> Starts:
    starts = Starts(folder, clock=lambda: now)
    starts.begin()
    return starts


def test_three_failed_starts_make_safe_mode(tmp_path: Path) -> None:
    assert [begin(tmp_path).safe_mode for _ in range(FAILED_STARTS + 1)] == [
        *[False] * FAILED_STARTS,
        True,
    ]


def test_a_good_start_makes_it_forgotten(tmp_path: Path) -> None:
    for _ in range(FAILED_STARTS + 1):
        starts = begin(tmp_path)
    starts.good()
    assert not begin(tmp_path).safe_mode


def test_the_device_that_was_tried_is_left_out_for_a_day(tmp_path: Path) -> None:
    begin(tmp_path).trying(DeviceKind.SPEAKER)
    assert begin(tmp_path, 10.0).left_out == {DeviceKind.SPEAKER}
    assert begin(tmp_path, 10.0 + LEFT_OUT_S).left_out == {DeviceKind.SPEAKER}
    assert begin(tmp_path, 11.0 + LEFT_OUT_S).left_out == frozenset()


def test_a_device_that_was_survived_is_not_left_out(tmp_path: Path) -> None:
    starts = begin(tmp_path)
    starts.trying(DeviceKind.SPEAKER)
    starts.trying(None)
    assert begin(tmp_path).left_out == frozenset()


@pytest.mark.parametrize("text", ["", "{", '{"failed": "many"}', '{"left_out": {"toaster": 1}}'])
def test_a_broken_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    starts = begin(tmp_path)
    assert not starts.safe_mode
    assert (tmp_path / FILE).read_text() != text


def test_a_folder_that_cannot_be_used_is_survived(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    starts = begin(tmp_path / "file")
    starts.trying(DeviceKind.CAMERA)
    starts.good()
    assert not starts.safe_mode
