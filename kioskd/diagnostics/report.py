"""What doctor tells: findings in words, most likely cause first. Also the shape of `--json`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from kioskd import __version__
from kioskd.diagnostics.findings import Found, Severity, Trouble
from kioskd.diagnostics.words import Language, words

_LEADS_TO: Final[dict[str, tuple[str, ...]]] = {
    Trouble.SETTINGS: (Trouble.DEAD,),
    Trouble.SCREEN_PORT: (Trouble.DEAD,),
    Trouble.SPOOL_UNWRITABLE: (Trouble.DEAD,),
    Trouble.NO_DESCRIPTORS: (Trouble.HANGS, Trouble.STUCK, "KSK-[1-6]0[1567]", "KSK-[1-6]14"),
    Trouble.HANGS: (Trouble.NO_SCREEN, Trouble.STUCK),
    Trouble.NO_NETWORK: (
        Trouble.NAMES,
        Trouble.BROKER,
        Trouble.BROKER_SILENT,
        Trouble.BROKER_CERTIFICATE,
    ),
    Trouble.CLOCK: (Trouble.BROKER_CERTIFICATE, Trouble.OWN_CERTIFICATE),
    Trouble.SOUND_SERVER: ("KSK-[23]??",),
    Trouble.CODING: (Trouble.SELF_CALL,),
    Trouble.PRINT_SYSTEM: ("KSK-5??",),
    Trouble.SPOOL_FULL: ("KSK-?13",),
    Trouble.DISK_FULL: (Trouble.STATE_UNWRITABLE, Trouble.AUDIT),
    Trouble.STATE_UNWRITABLE: (Trouble.AUDIT,),
    Trouble.USB_HUB: ("KSK-[1246]0[12]",),
    "KSK-?23": (Trouble.SAFE_MODE,),
}
"""What a cause leads to, as patterns of ids."""

_FIRST: Final = (
    Trouble.SETTINGS,
    Trouble.SCREEN_PORT,
    Trouble.SPOOL_UNWRITABLE,
    Trouble.NO_DESCRIPTORS,
    Trouble.DEAD,
    Trouble.HANGS,
    Trouble.STUCK,
    Trouble.NO_NETWORK,
    Trouble.CLOCK,
    Trouble.IDENTITY,
)
"""Of those that are equally bad: what a technician mends first. The rest goes by its number."""

_LAST: Final = (
    Trouble.SPOOL_ON_DISK,
    Trouble.STATE_UNWRITABLE,
    Trouble.DISK_FULL,
    Trouble.AUDIT,
    Trouble.EXPIRES_SOON,
    Trouble.UNSIGNED,
    Trouble.SWAP,
    Trouble.CORE_DUMPS,
    Trouble.UNCONFINED,
    Trouble.PRINT_FILES_KEPT,
    Trouble.CHECK_HANGS,
    Trouble.NOT_ALLOWED,
)
"""Told after what stops a device: nobody at the kiosk feels these today."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Consequence(_Part):
    """What is wrong only because of the finding it stands in."""

    id: str
    title: str
    detail: str


class Finding(_Part):
    """One cause: what it means for residents and what to do next. `detail` is what was seen."""

    id: str
    severity: Severity
    title: str
    means: str
    cause: str
    detail: str
    action: str
    consequences: list[Consequence] = []


class Verdict(StrEnum):
    """The worst of the findings; a note alone leaves a kiosk healthy."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    BROKEN = "broken"


class Check(_Part):
    """One check, how long it took in seconds, and why it was left out where it was."""

    name: str
    took_s: float
    left_out: str | None = None


class Fix(_Part):
    """What `--fix` did, in words, and whether it worked."""

    name: str
    done: bool
    detail: str


class Report(_Part):
    """All that doctor tells. `version` is that of this shape; `took_s` seconds for all checks."""

    version: Literal[3] = 3
    kioskd: str = __version__
    kiosk: str | None
    language: Language
    time: datetime
    took_s: float
    verdict: Verdict
    findings: list[Finding]
    checks: list[Check]
    fixes: list[Fix] = []


def report(
    found: Iterable[Found],
    checks: list[Check],
    *,
    took_s: float,
    kiosk: str | None,
    language: Language,
) -> Report:
    """Put what was found in order and into words."""
    findings = [_told(root, effects, language) for root, effects in ordered(found)]
    worst = min((_weight(one.severity) for one in findings), default=2)
    return Report(
        kiosk=kiosk,
        language=language,
        time=datetime.now(UTC),
        took_s=round(took_s, 3),
        verdict=(Verdict.BROKEN, Verdict.DEGRADED, Verdict.HEALTHY)[worst],
        findings=findings,
        checks=checks,
    )


def explain(identifier: str, language: Language, severity: Severity) -> Finding:
    """Return a finding in words, without a kiosk that has it."""
    return _told(Found(identifier, severity), [], language)


def ordered(found: Iterable[Found]) -> list[tuple[Found, list[Found]]]:
    """Return causes, most likely first, each with what is wrong because of it only.

    A cause is as bad as the worst that it leads to.
    """
    unique = _once(found)
    causes: dict[int, list[Found]] = {}
    roots = [one for one in unique if _cause_of(one, unique) is None]
    for one in unique:
        top = one
        while (above := _cause_of(top, unique)) is not None:
            top = above
        if top is not one:
            causes.setdefault(id(top), []).append(one)
    pairs = [(one, causes.get(id(one), [])) for one in roots]
    return sorted((_inherited(*pair) for pair in pairs), key=lambda pair: _rank(pair[0]))


def _once(found: Iterable[Found]) -> list[Found]:
    """Make one finding of those with the same id, with all that was seen."""
    seen: dict[str, list[Found]] = {}
    for one in found:
        seen.setdefault(one.id, []).append(one)
    return [
        Found(
            id=identifier,
            severity=min((one.severity for one in same), key=_weight),
            detail="\n".join(dict.fromkeys(one.detail for one in same if one.detail)),
        )
        for identifier, same in seen.items()
    ]


def _cause_of(effect: Found, among: list[Found]) -> Found | None:
    for pattern, effects in _LEADS_TO.items():
        if any(fnmatchcase(effect.id, one) for one in effects):
            for cause in among:
                if fnmatchcase(cause.id, pattern):
                    return cause
    return None


def _inherited(root: Found, effects: list[Found]) -> tuple[Found, list[Found]]:
    worst = min((root, *effects), key=lambda one: _weight(one.severity)).severity
    return Found(root.id, worst, root.detail), sorted(effects, key=lambda one: one.id)


def _rank(one: Found) -> tuple[int, bool, int, str]:
    first = [str(trouble) for trouble in _FIRST]
    place = first.index(one.id) if one.id in first else len(first)
    return _weight(one.severity), one.id in {*_LAST}, place, one.id


def _weight(severity: Severity) -> int:
    return (Severity.BROKEN, Severity.DEGRADED, Severity.NOTE).index(severity)


def _told(root: Found, effects: list[Found], language: Language) -> Finding:
    said = words(language)
    return Finding(
        id=root.id,
        severity=root.severity,
        detail=root.detail,
        **said.of(root.id).model_dump(),
        consequences=[
            Consequence(id=one.id, title=said.of(one.id).title, detail=one.detail)
            for one in effects
        ],
    )
