"""What findings say to people: one TOML file a language."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from typing import Final

from pydantic import BaseModel, ConfigDict

from kioskd.diagnostics.findings import Trouble, device_of
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind

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


class Words(_Table):
    """All the words of a language."""

    ui: Headings
    fixes: dict[str, str]
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
