"""What came of `kioskctl test`, in words. Also the shape of its `--json`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from kioskd import __version__
from kioskd.control.trial import Look, Outcome, Part, Result, Where, Why
from kioskd.diagnostics.findings import severity_of
from kioskd.diagnostics.report import Finding, explain
from kioskd.diagnostics.words import Language, Words, words
from kioskd.hal.trial import Trial

_WORST: Final = (Result.FAILED, Result.DEGRADED, Result.PASSED, Result.NOT_TRIED)


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PartTold(_Told):
    """One thing that was looked at: `points` of `of`, and in words what was measured."""

    look: Look
    name: str
    result: Result
    points: int
    of: int
    text: str


class TrialTold(_Told):
    """One trial; `finding` says what to do next where something is wrong with it.

    `score` is 0 to 100, null where nothing was tried. `files` are what there is to see and hear.
    """

    trial: Trial
    name: str
    result: Result
    score: int | None
    took_s: float
    device: str
    code: str | None
    parts: list[PartTold]
    finding: Finding | None
    files: list[str]


class TestReport(_Told):
    """All that `kioskctl test` tells. `version` is that of this shape.

    `score` is the mean of the trials that have one; `result` the worst of theirs. `by_daemon`:
    kioskd was alive and did it. `stopped`: a resident was there or came, what follows was not
    tried.
    """

    __test__ = False  # not a class of tests, whatever its name says to pytest

    version: Literal[1] = 1
    kioskd: str = __version__
    kiosk: str
    name: str
    town: str
    language: Language
    time: datetime
    took_s: float
    by_daemon: bool
    result: Result
    score: int | None
    stopped: Why | None
    tests: list[TrialTold]


def told(outcome: Outcome, language: Language, files: Sequence[Path]) -> TrialTold:
    """Put an outcome into words."""
    said = words(language)
    finding = None
    if outcome.finding is not None:
        known = explain(outcome.finding, language, severity_of(outcome.finding))
        finding = known.model_copy(update={"detail": outcome.detail})
    return TrialTold(
        trial=outcome.trial,
        name=said.trials[outcome.trial],
        result=outcome.result,
        score=outcome.score,
        took_s=outcome.took_s,
        device=outcome.device,
        code=outcome.code,
        parts=[_part(part, said) for part in outcome.parts],
        finding=finding,
        files=[str(one) for one in files],
    )


def _part(part: Part, said: Words) -> PartTold:
    look = said.looks[part.look]
    if part.untried is not None:
        text = said.untried[part.untried]
    else:
        text = look.text.format(**part.values).strip()
    return PartTold(
        look=part.look,
        name=look.name,
        result=part.result,
        points=part.points,
        of=part.of,
        text=text,
    )


def untried(trial: Trial, language: Language) -> TrialTold:
    """Tell of a trial that did not come about, because the kiosk was a resident's."""
    return told(
        Outcome(trial=trial, result=Result.NOT_TRIED, score=None, parts=[], took_s=0.0),
        language,
        (),
    )


def report(
    tests: Sequence[TrialTold],
    *,
    where: Where | None,
    language: Language,
    time: datetime,
    took_s: float,
    by_daemon: bool,
    stopped: Why | None,
) -> TestReport:
    """Put trials together."""
    scores = [one.score for one in tests if one.score is not None]
    return TestReport(
        kiosk=where.kiosk if where else "",
        name=where.name if where else "",
        town=where.town if where else "",
        language=language,
        time=time,
        took_s=round(took_s, 1),
        by_daemon=by_daemon,
        result=next((one for one in _WORST if one in {test.result for test in tests}), _WORST[-1]),
        score=round(sum(scores) / len(scores)) if scores else None,
        stopped=stopped,
        tests=list(tests),
    )


def keep(outcome: Outcome, folder: Path) -> list[Path]:
    """Write what there is to look at and to hear, for the owner's eyes only. Raises OSError.

    A picture of the hall may show somebody.
    """
    kept = []
    for one in outcome.exhibits:
        path = folder / Path(one.name).name
        path.touch(mode=0o600)
        path.write_bytes(base64.b64decode(one.data))
        kept.append(path)
    return kept
