"""Makes a support bundle: works with the daemon alive, dead or hanging."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from kioskd import __version__
from kioskd.app import examine, log_source
from kioskd.app.gather import Kiosk, gather, scanners
from kioskd.diagnostics import doctor, report
from kioskd.diagnostics.board import in_thread
from kioskd.diagnostics.bundle_file import DAYS, LIMIT, Packed, Part, Subject, pack
from kioskd.diagnostics.logs import Wanted
from kioskd.diagnostics.masking import Masker
from kioskd.diagnostics.words import Language
from kioskd.errors import ControlError, SettingsError
from kioskd.settings import Settings, load

LINES: Final = 200_000
"""The most lines that are read: some 30 MB."""


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle, whose it is, and whether all checks came to their end."""

    packed: Packed
    kiosk: str | None
    alive: bool
    log: str
    whole: bool


def make(
    config: Path, *, language: Language, days: int = DAYS, log: Path | None, limit: int = LIMIT
) -> Made:
    """Make a bundle of the kiosk with this configuration; `log` is a file to read it from."""
    return asyncio.run(_make(config, language, days, log, limit))


async def _make(config: Path, language: Language, days: int, log: Path | None, limit: int) -> Made:
    subject, settings = examine.subject(config)
    kiosk = Kiosk(subject.control, settings, _faults(config, settings))
    gathered, examination, (lines, source) = await asyncio.gather(
        gather(kiosk),
        in_thread(lambda: doctor.examine(subject)),
        in_thread(lambda: _log(subject.control, log, days)),
    )
    found = await scanners(gathered.status)  # the doctor has looked at them, with a dead daemon
    told = {
        one.value: report.report(
            examination.found,
            examination.board.checks,
            took_s=examination.took_s,
            kiosk=subject.kiosk,
            language=one,
        )
        for one in Language
    }
    masker = Masker(_known(settings))
    parts = [
        *gathered.parts,
        found,
        Part("doctor.json", told[language.value].model_dump_json(indent=2)),
    ]
    parts = [Part(one.name, masker.text(one.text)) for one in parts]
    doctors = {name: masker.text(one.model_dump_json()) for name, one in told.items()}
    page_data = {
        "language": language.value,
        "doctor": {name: json.loads(text) for name, text in doctors.items()},
        "status": None
        if gathered.status is None
        else json.loads(masker.text(gathered.status.model_dump_json())),
    }
    alive = gathered.status is not None
    whole = Subject(subject.kiosk, __version__, datetime.now(UTC), alive, source)
    packed = pack(whole, parts, [masker.text(one) for one in lines], page_data, limit=limit)
    return Made(packed, subject.kiosk, alive, source, examination.whole)


def _faults(config: Path, settings: Settings | None) -> tuple[str, ...]:
    if settings is not None:
        return ()
    try:
        load(config)
    except SettingsError as error:
        return tuple(error.faults)
    return ()


def _known(settings: Settings | None) -> list[str]:
    """Return the addresses that the operator chose: the support must see whether they are right."""
    if settings is None:
        return []
    servers = (one.urls.partition(":")[2].partition("?")[0] for one in settings.call.ice_servers)
    return [settings.broker.host, *(one.rpartition(":")[0] or one for one in servers)]


def _log(control: Path, file: Path | None, days: int) -> tuple[list[str], str]:
    """Return the last days of the log, and where it was, or why there is none."""
    since = datetime.now(UTC) - timedelta(days=days)
    try:
        source = log_source.find(control, file)
        entries = Wanted(since=since).select(source.read(since, None, follow=False))
        lines = deque((one.as_json() for one in entries), maxlen=LINES)
    except ControlError as error:
        return [], str(error)
    return list(lines), source.name
