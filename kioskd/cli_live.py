"""`kioskctl logs`: the daemon's log, chosen, followed and explained."""

from __future__ import annotations

import os
import sys
from collections import deque
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from kioskd.app import log_source
from kioskd.diagnostics import terminal
from kioskd.diagnostics.log_text import LogPrinter
from kioskd.diagnostics.logs import Wanted, moment
from kioskd.diagnostics.words import Language, preferred
from kioskd.errors import ControlError
from kioskd.hal.device import DeviceKind

USAGE: Final = 3
INTERNAL: Final = 4
LINES: Final = 200
DEFAULT_SOCKET: Final = Path("/run/kioskd/control.sock")

Socket = Annotated[Path, typer.Option(envvar="KIOSKD_SOCKET", help="The daemon's control socket.")]


class Level(StrEnum):
    """The least that is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _fail(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)


def logs(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    visit: Annotated[
        str | None, typer.Option(metavar="ID", help="Of one visit: as `audit show` calls it.")
    ] = None,
    device: Annotated[DeviceKind | None, typer.Option(help="What speaks of this device.")] = None,
    level: Annotated[Level, typer.Option(help="The least that is shown.")] = Level.DEBUG,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="10m, 2h, 3d, 14:30 or 2026-01-31T14:30.")
    ] = None,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=1, help=f"The last ones; {LINES} by default.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A file with the log, in place of the journal.")
    ] = None,
    socket: Socket = DEFAULT_SOCKET,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line each.")] = False,
    language: Annotated[Language | None, typer.Option(help="Default: the terminal's.")] = None,
) -> None:
    """Show kioskd's log, also with the daemon dead; say what its troubles mean.

    Read from the journal; where kioskd's output was led to a file, from that.
    """
    try:
        from_ = None if since is None else moment(since, datetime.now().astimezone())
    except ValueError:
        _fail(f"--since {since!r} is no time: 10m, 2h, 3d, 14:30 or 2026-01-31T14:30", USAGE)
    wanted = Wanted(visit, device, level.value, from_.astimezone(UTC) if from_ else None)
    last = lines if lines is not None else (None if since else LINES)
    printer = LogPrinter(terminal.console(), language or preferred(os.environ, None))
    try:
        source = log_source.find(socket, file)
        chosen = wanted.select(source.read(wanted.since, last, follow=follow))
        for entry in chosen if follow or last is None else deque(chosen, maxlen=last):
            if as_json:
                print(entry.as_json(), flush=True)
            else:
                printer.show(entry)
    except ControlError as error:
        _fail(str(error), INTERNAL)
    except KeyboardInterrupt:
        raise typer.Exit from None
    except BrokenPipeError:  # whoever read has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
