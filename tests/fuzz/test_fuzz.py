from __future__ import annotations

from pathlib import Path

import pytest

from kioskd.documents import vetting
from tests.corpus import plain
from tests.fuzz.fuzz import Score, fuzz, run_once, vet_once
from tests.fuzz.targets import Target, targets


async def test_nothing_that_takes_messages_or_documents_crashes(tmp_path: Path) -> None:
    score = Score(1, tmp_path)
    await fuzz(score, targets(), seconds=5, documents=4)
    assert score.crashes == []
    assert score.messages > 0
    assert score.documents > 0


async def test_a_target_that_raises_is_told_and_its_input_kept(tmp_path: Path) -> None:
    def raises(data: bytes) -> None:
        raise KeyError(data)

    score = Score(1, tmp_path)
    run_once(score, Target("bad", (b"x",), raises), b"input")
    assert str(score) == "fuzz: 1 executions, 1 crashes"
    assert (tmp_path / "bad-1-0").read_bytes() == b"input"


async def test_a_worker_that_crashes_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vetting, "_TARGET", "tests.fuzz.crashing:CrashingWorker")
    score = Score(1, tmp_path)
    await vet_once(score, plain())
    assert len(score.crashes) == 1
    assert "ended with [1]" in score.crashes[0]
    assert (tmp_path / "document-1-0").read_bytes() == plain()
