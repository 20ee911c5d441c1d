"""`kioskctl audit`: read and check the audit log, with the daemon alive or dead."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from kioskd.audit import pseudonyms
from kioskd.audit import verify as verifying
from kioskd.audit.catalogue import catalogue
from kioskd.audit.chain import Line

FAULTY: Final = 2
USAGE: Final = 3
INTERNAL: Final = 4
FOLDER: Final = Path("/var/lib/kioskd/audit")

app = typer.Typer(no_args_is_help=True, help="Read and check the audit log (docs/audit.md).")

Place = Annotated[Path, typer.Argument(metavar="[FILE|FOLDER]", help="The log, or one file of it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Anchor = Annotated[
    str | None,
    typer.Option(metavar="HASH", help="A head that was kept elsewhere: it must be in the log."),
]


def _fail(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)


@app.command()
def verify(place: Place = FOLDER, anchor: Anchor = None, as_json: Json = False) -> None:
    """Check the hash chain. Exit code 2 when a line was changed, removed, inserted or moved.

    That lines are missing at the end is seen only with --anchor.
    """
    try:
        verdict = verifying.verify(place, anchor)
    except OSError as error:
        _fail(f"{place}: {error.strerror}", INTERNAL)
    faults = [str(one) for one in verdict.faults]
    if as_json:
        told = {
            "files": verdict.files,
            "events": verdict.events,
            "torn": verdict.torn,
            "seq": verdict.head.seq,
            "head": verdict.head.hash,
            "faults": faults,
        }
        print(json.dumps(told, indent=2))
    else:
        print("\n".join(faults) or "good", end="\n")
        print(f"{verdict.files} files, {verdict.events} events, {len(faults)} faults")
        if verdict.torn:
            print(f"{verdict.torn} lines torn by a power cut, each told of by the line after it")
        if verdict.torn_end:
            print("the last line is not whole: the next start of kioskd tells of it")
        print(f"head {verdict.head.seq} {verdict.head.hash}")
        if anchor is None:
            print("whether lines are missing at the end only a head kept elsewhere tells: --anchor")
    raise typer.Exit(FAULTY if faults else 0)


@app.command()
def show(
    place: Place = FOLDER,
    last: Annotated[int, typer.Option(min=1, help="How many lines.")] = 50,
    as_json: Json = False,
) -> None:
    """Print the last lines. It does not check them: `verify` does."""
    try:
        files = verifying.files_of(place) if place.is_dir() else [place]
        lines: list[Line] = []
        for file in reversed(files):
            lines = [line for _, line in verifying.lines_of(file)] + lines
            if len(lines) >= last:
                break
    except OSError as error:
        _fail(f"{place}: {error.strerror}", INTERNAL)
    for line in lines[-last:]:
        fields = line.event.model_dump(mode="json", exclude={"type"})
        if as_json:
            told = {"seq": line.seq, "time": line.time, "type": line.event.type, **fields}
            print(json.dumps(told, ensure_ascii=False))
        else:
            said = " ".join(f"{key}={value}" for key, value in fields.items() if value != "")
            print(f"{line.seq:>8} {line.time} {line.event.type:<22} {said}")


@app.command()
def pseudonym(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="An agent's or a call's id.")],
    folder: Annotated[Path, typer.Option(help="The log's folder, which holds the key.")] = FOLDER,
) -> None:
    """Print what an id is called in the log, to find an agent who is known. Needs the key."""
    try:
        known = pseudonyms.load(folder)
    except OSError as error:
        _fail(f"{folder}: {error.strerror}", INTERNAL)
    if known is None:
        _fail(f"{folder}: there is no key", USAGE)
    print(known.of(identifier))


@app.command(name="catalogue")
def print_catalogue() -> None:
    """Print the types of events and their fields, as in docs/audit.md."""
    print(catalogue(), end="")
