"""A short fuzzing with a fixed seed, and that it would find something."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kioskd.errors import DocumentFault
from tests.fuzz.corpus import documents
from tests.fuzz.fuzzer import Findings, feed, fuzz_messages, vet
from tests.fuzz.messages import TARGETS, Target
from tests.fuzz.mutations import mutate

SEED = 20261125
EXPECTED = {
    "good": "pages",
    "compressed": "pages",
    "form": "pages",
    "picture": "pages",
    "scripts": "pages",  # as pixels: nothing of them runs or is printed
    "attachment": "pages",
    "owner's password": "pages",  # it forbids to copy, not to look
    "user's password": DocumentFault.ENCRYPTED,
    "ten thousand pages": DocumentFault.TOO_MANY_PAGES,
    "huge page": DocumentFault.PAGE_TOO_LARGE,
    "picture bomb": DocumentFault.PAGE_TOO_LARGE,
    "empty": DocumentFault.WRONG_TYPE,
    "no end": DocumentFault.BROKEN,
    "HTML with marks": DocumentFault.BROKEN,
    "ZIP with marks": DocumentFault.BROKEN,
}


def test_no_message_upsets_its_reader() -> None:
    findings = Findings()
    fuzz_messages(TARGETS, random.Random(SEED), findings, rounds=2000)
    assert findings.crashes == []
    assert set(findings.executions) == {target.name for target in TARGETS}


def test_what_breaks_a_reader_is_found() -> None:
    def read(data: bytes) -> None:
        if data != b"{}":
            raise KeyError(data)

    findings = Findings()
    fuzz_messages([Target("weak", read, [b"{}"])], random.Random(SEED), findings, rounds=20)
    assert findings.crashes
    assert all(name == "weak" and "KeyError" in what for name, _, what in findings.crashes)
    feed(Target("slow", lambda _: sum(range(100_000)), [b"{}"], slow_s=0.0001), b"{}", findings)
    assert "took more than" in findings.crashes[-1][2]


def test_the_same_seed_gives_the_same_inputs() -> None:
    seeds = list(documents().values())[:3]
    one, two = (
        [mutate(chance, seeds[0], seeds) for _ in range(50)]
        for chance in (random.Random(SEED), random.Random(SEED))
    )
    assert one == two
    assert len(set(one)) > 40


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_document_of_the_corpus_is_told_truly(name: str, tmp_path: Path) -> None:
    findings = Findings()
    await vet(name, documents()[name], tmp_path, findings)
    assert findings.crashes == []
    assert findings.faults == {EXPECTED[name]: 1}
