"""What findings say to people: one TOML file a language."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from typing import Final

from pydantic import BaseModel, ConfigDict

from kioskd.control.trial import Look, Result, Untried, Why
from kioskd.diagnostics.findings import Trouble, device_of
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind
from kioskd.hal.trial import Trial

_ENVIRONMENT: Final = ("LC_ALL", "LC_MESSAGES", "LANG")  # in this order: locale(7)


class Language(StrEnum):
    """The languages that technicians are spoken to in."""

    FRENCH = "fr"
    ENGLISH = "en"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Says(_Table):
    """What one finding says: each a sentence or two, the title without its full stop."""

    title: str
    means: str
    cause: str
    action: str


class Headings(_Table):
    """What stands beside the findings."""

    well: str
    broken: str
    degraded: str
    note: str
    means: str
    cause: str
    detail: str
    action: str
    also: str
    unchecked: str
    fixing: str
    fixed: str
    not_fixed: str
    colon: str


class _Device(_Table):
    name: str
    means: str


class _Why(_Table):
    title: str
    cause: str
    action: str
    means: str | None = None


class Tests(_Table):
    """What stands in the report of a test."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))
    __test__ = False  # not a class of tests, whatever its name says to pytest

    title: str
    passed: str
    degraded: str
    failed: str
    not_tried: str
    overall: str
    kiosk: str
    town: str
    date: str
    version: str
    duration: str
    action: str
    seen: str
    points: str
    photo: str
    scan: str
    levels: str
    echo: str
    files: str
    report: str
    by_daemon: str
    by_hand: str
    resident_there: str
    resident_came: str
    test_runs: str
    stopped: str
    lay_page: str
    press_buttons: str
    all_well: str
    signature: str

    def of(self, result: Result) -> str:
        """Return the word for a result."""
        return {
            Result.PASSED: self.passed,
            Result.DEGRADED: self.degraded,
            Result.FAILED: self.failed,
            Result.NOT_TRIED: self.not_tried,
        }[result]

    def no_outcome(self, why: Why) -> str:
        """Return why nothing was tried."""
        return {
            Why.RESIDENT_THERE: self.resident_there,
            Why.RESIDENT_CAME: self.resident_came,
            Why.TEST_RUNS: self.test_runs,
        }[why]


class _Look(_Table):
    name: str
    text: str


class Words(_Table):
    """All the words of a language."""

    ui: Headings
    fixes: dict[str, str]
    tests: Tests
    trials: dict[Trial, str]
    untried: dict[Untried, str]
    looks: dict[Look, _Look]
    system: dict[str, Says]
    devices: dict[DeviceKind, _Device]
    reasons: dict[Reason, _Why]

    def of(self, identifier: str) -> Says:
        """Return what the finding of an id (see `findings.normal`) says."""
        device = device_of(identifier)
        if device is None:
            return self.system[Trouble(identifier).value.removeprefix("KSK-")]
        what, why = self.devices[device[0]], self.reasons[device[1]]
        return Says(
            title=f"{what.name}{self.ui.colon}{why.title}",
            means=why.means or what.means,
            cause=why.cause,
            action=why.action,
        )


@functools.cache
def words(language: Language) -> Words:
    """Return a language's words."""
    file = resources.files(__name__) / f"{language.value}.toml"
    return Words.model_validate(tomllib.loads(file.read_text("utf-8")))


def preferred(environment: Mapping[str, str], kiosk: str | None) -> Language:
    """Return the terminal's language; where it names none of ours the kiosk's, else French."""
    spoken = next((environment[name] for name in _ENVIRONMENT if environment.get(name)), "")
    for one in (spoken.partition("_")[0], kiosk):
        for language in Language:
            if one == language.value:
                return language
    return Language.FRENCH
