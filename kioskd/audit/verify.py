"""What is wrong with an audit log: changed, removed, inserted, reordered, cut lines.

What no log can tell by itself: that its last lines were cut off, or that all of it was written
anew by somebody who may write the files. For that its head must be known elsewhere: it stands
in `kioskctl status` and in the kiosk's status at the broker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kioskd.audit.chain import GENESIS, Fault, Head, Line, read
from kioskd.audit.events import LogBegun, LogExpired, LogRecovered

PATTERN: Final = "audit-*.jsonl"


@dataclass(slots=True)
class Verdict:
    """What there is. `torn` counts lines that a power cut tore and the next start told of."""

    files: int = 0
    events: int = 0
    torn: int = 0
    torn_end: int = 0
    """Bytes after the last whole line: the daemon writes, or died and has not started since."""
    head: Head = field(default_factory=Head)
    faults: list[Fault] = field(default_factory=list)
    hashes: set[str] = field(default_factory=set)
    expired: set[str] = field(default_factory=set)


def files_of(folder: Path) -> list[Path]:
    """Return the files of a log, oldest first: their names hold their first number."""
    return sorted(folder.glob(PATTERN), key=lambda file: file.stem)


def verify(place: Path, anchor: str | None = None) -> Verdict:
    """Check one file, or all files of a folder; `anchor` is a hash that must be in it.

    Raises OSError where something cannot be read.
    """
    whole = place.is_dir()
    files = files_of(place) if whole else [place]
    verdict = Verdict()
    before: Head | None = None
    for file in files:
        before = _check_file(file, before, verdict)
        verdict.files += 1
    if not files:
        verdict.faults.append(Fault(str(place), 0, "there is no audit log"))
    elif whole:
        _check_beginning(files[0], verdict)
    if anchor is not None and anchor not in verdict.hashes:
        what = "the anchored hash is not in it: lines are gone"
        verdict.faults.append(Fault(str(place), 0, what))
    return verdict


def lines_of(file: Path) -> Iterator[tuple[int, Line]]:
    """Yield the lines that can be read, each with its number; those that cannot are left out."""
    for number, line in enumerate(file.read_bytes().split(b"\n"), 1):
        try:
            yield number, read(line)
        except ValueError:
            continue


def _check_file(file: Path, before: Head | None, verdict: Verdict) -> Head | None:
    """Check a file that follows on `before`; None where that is not known."""
    *lines, end = file.read_bytes().split(b"\n")
    verdict.torn_end = len(end)
    torn: tuple[int, bytes, str] | None = None
    for number, text in enumerate(lines, 1):
        try:
            line = read(text)
        except ValueError as error:
            if torn is not None:
                verdict.faults.append(Fault(file.name, torn[0], torn[2]))
            torn = (number, text, str(error))
            continue
        if torn is not None:
            if _accounts_for(line, torn[1]):
                verdict.torn += 1
            else:
                verdict.faults.append(Fault(file.name, torn[0], torn[2]))
            torn = None
        elif isinstance(line.event, LogRecovered):
            verdict.faults.append(Fault(file.name, number, "the torn line before it is gone"))
        if number == 1 and not isinstance(line.event, LogBegun):
            verdict.faults.append(Fault(file.name, 1, "is no beginning of a file"))
        if before is not None:
            _check_link(file, number, line, before, verdict)
        before = Head(line.seq, line.hash)
        _count(line, verdict)
    if torn is not None:
        verdict.faults.append(Fault(file.name, torn[0], torn[2]))
    return before


def _accounts_for(line: Line, torn: bytes) -> bool:
    event = line.event
    return (
        isinstance(event, LogRecovered)
        and event.torn_bytes == len(torn)
        and event.torn_sha256 == hashlib.sha256(torn).hexdigest()
    )


def _check_link(file: Path, number: int, line: Line, before: Head, verdict: Verdict) -> None:
    if line.prev != before.hash:
        what = "does not follow on the line before: lines were removed, inserted or moved"
        verdict.faults.append(Fault(file.name, number, what))
    elif line.seq != before.seq + 1:
        verdict.faults.append(Fault(file.name, number, f"is number {line.seq}, not the next"))


def _count(line: Line, verdict: Verdict) -> None:
    if not verdict.events:
        verdict.hashes.add(line.prev)
    verdict.events += 1
    verdict.head = Head(line.seq, line.hash)
    verdict.hashes.add(line.hash)
    if isinstance(line.event, LogExpired):
        verdict.expired.add(line.event.last_hash)


def _check_beginning(first: Path, verdict: Verdict) -> None:
    """Files before the first one are gone by retention only, which the log tells of."""
    opening = next((line for _, line in lines_of(first)), None)
    if opening is None or opening.prev in {GENESIS, *verdict.expired}:
        return
    what = "the files before it are gone, and not by retention"
    verdict.faults.append(Fault(first.name, 1, what))
