"""`kioskctl bundle`: all that the support needs to know, in one file, and no personal data."""

from __future__ import annotations

import os
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich import box
from rich.table import Table

from kioskd.diagnostics import terminal
from kioskd.diagnostics.bundle_file import DAYS, contents
from kioskd.diagnostics.words import Language, preferred

DEGRADED: Final = 1
USAGE: Final = 3
INTERNAL: Final = 4
DEFAULT_CONFIG: Final = Path("/etc/kioskd/kioskd.toml")


def _fail(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)


def bundle(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file, or a folder to put it in.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=90, help="How many days of the log.")] = DAYS,
    listed: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="Make none: show what is in this one."),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="A file with kioskd's log.")] = None,
    config: Annotated[Path, typer.Option(help="The daemon's configuration.")] = DEFAULT_CONFIG,
    language: Annotated[Language | None, typer.Option(help="Default: the terminal's.")] = None,
) -> None:
    """Make a file for the support: 5 MB at the most, no personal data, a page to read it with.

    Works with the daemon alive, hanging or dead. Holds findings, status, versions, settings
    without passwords, the log, and what systemd, CUPS, SANE, the sound server and the network
    say. Unpack it and open index.html in any browser; it needs no network.
    """
    if listed is not None:
        _show(listed)
        return
    from kioskd.app import bundle as bundles  # drivers and all: half a second

    spoken = language or preferred(os.environ, None)
    try:
        made = bundles.make(config, language=spoken, days=days, log=log)
    except ValueError as error:
        _fail(str(error), INTERNAL)
    file = _place(output, made.kiosk)
    try:
        _write(file, made.packed.data)
    except OSError as error:
        _fail(f"{file}: {error.strerror}", INTERNAL)
    _show(file)
    if not made.alive:
        print("kioskd did not answer: the doctor's findings in it say why")
    if not made.packed.lines:
        print(f"no log in it: {made.log}")
    if made.packed.left_out:
        print(f"the oldest {made.packed.left_out} lines of the log were left out, for its size")
    if not made.whole:  # a check hangs in a thread that the interpreter would wait for
        sys.stdout.flush()
        os._exit(DEGRADED)


def _place(output: Path | None, kiosk: str | None) -> Path:
    name = f"kioskd-{kiosk or 'unknown'}-{datetime.now().astimezone():%Y%m%d-%H%M%S}.zip"
    if output is None:
        return Path(name)
    return output / name if output.is_dir() else output


def _write(file: Path, data: bytes) -> None:
    """Write a file that only its owner can read."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(data)


def _show(file: Path) -> None:
    try:
        inside = contents(file)
        size = file.stat().st_size
    except OSError as error:
        _fail(f"{file}: {error.strerror}", USAGE)
    except zipfile.BadZipFile:
        _fail(f"{file} is no bundle", USAGE)
    console = terminal.console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("file", no_wrap=True)
    table.add_column("kB", justify="right", no_wrap=True)
    table.add_column("what it holds")
    for name, bytes_, title in inside:
        table.add_row(name, f"{bytes_ / 1000:.1f}", title)
    console.print(table)
    print(f"\n{file}: {size / 1e6:.2f} MB")
