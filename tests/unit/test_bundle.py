"""The bundle's file: never too large, masked, and a page that needs nothing else."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kioskd.diagnostics.bundle_file import (
    LOG,
    MANIFEST,
    PAGE,
    PART_LIMIT,
    TITLES,
    Packed,
    Part,
    Subject,
    contents,
    pack,
    page,
)
from tests.canary import bundle as canary_bundle
from tests.canary.marks import words
from tests.canary.search import search_in

SUBJECT = Subject("fc-0001", "0.1.0", datetime(2026, 11, 25, tzinfo=UTC), True, "a file")
DATA: dict[str, Any] = {"language": "fr", "doctor": {}, "status": None}


def lines(count: int) -> list[str]:
    chance = random.Random(5)
    return [
        json.dumps({"event": "x", "n": number, "noise": chance.randbytes(60).hex()})
        for number in range(count)
    ]


def read(packed: Packed) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(packed.data)) as opened:
        assert opened.testzip() is None
        return {one: opened.read(one).decode() for one in opened.namelist()}


def test_a_small_one_holds_all_of_it() -> None:
    packed = pack(SUBJECT, [Part("units.txt", "all is well")], lines(10), DATA)
    inside = read(packed)
    assert next(iter(inside)) == PAGE
    assert inside["units.txt"] == "all is well"
    assert inside[LOG].splitlines() == lines(10)
    assert (packed.lines, packed.left_out) == (10, 0)


@pytest.mark.parametrize("limit", [60_000, 200_000, 900_000])
def test_the_oldest_lines_are_left_out_for_the_size_and_it_says_so(limit: int) -> None:
    told = lines(20_000)
    packed = pack(SUBJECT, [Part("units.txt", "all is well")], told, DATA, limit=limit)
    assert limit * 0.5 < len(packed.data) <= limit
    assert packed.left_out == len(told) - packed.lines > 0
    inside = read(packed)
    assert inside[LOG].splitlines() == told[packed.left_out :]
    manifest = json.loads(inside[MANIFEST])
    assert manifest["log"]["left_out"] == packed.left_out


def test_what_cannot_fit_is_an_error_and_a_part_too_long_is_cut() -> None:
    with pytest.raises(ValueError, match="without any log"):
        pack(SUBJECT, [], lines(5), DATA, limit=1000)
    inside = read(pack(SUBJECT, [Part("units.txt", "x" * (PART_LIMIT + 5))], [], DATA))
    assert inside["units.txt"].endswith(f"[cut: {PART_LIMIT + 5} characters]\n")


def test_the_page_needs_nothing_from_elsewhere_and_no_log_can_break_out_of_it() -> None:
    evil = "</script><img src=x onerror=alert(1)><!--[[script]] \u2028"
    html = page({"text": evil})
    assert evil not in html
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert held is not None
    assert json.loads(held[1])["text"] == evil
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert not re.search(r'(src|href)="', html)
    assert "http" not in html.replace("http-equiv", "")


def test_it_can_be_listed(tmp_path: Path) -> None:
    file = tmp_path / "one.zip"
    file.write_bytes(pack(SUBJECT, [Part("units.txt", "fine")], [], DATA).data)
    listed = contents(file)
    assert [name for name, _, _ in listed] == [PAGE, LOG, MANIFEST, "units.txt"]
    assert all(title == TITLES[name] for name, _, title in listed)


def test_the_canary_sees_into_a_bundle(tmp_path: Path) -> None:
    mark = "Zq0123456789abcd"
    for lines_, seen in (
        ([json.dumps({"event": f"hello {mark}"})], {LOG, PAGE}),
        (lines(3), set()),
    ):
        file = tmp_path / "one.zip"
        file.write_bytes(pack(SUBJECT, [], lines_, DATA).data)
        hits = search_in(canary_bundle.contents(file), words(mark))
        assert {hit.place.removeprefix("bundle's ") for hit in hits} == seen
