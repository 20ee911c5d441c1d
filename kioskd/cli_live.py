"""`kioskctl status --watch`, `top` and `logs`: what happens, as it happens."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import textwrap
import time
import tty
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from kioskd.app import log_source
from kioskd.control import client
from kioskd.control.api import Status
from kioskd.diagnostics import terminal
from kioskd.diagnostics.changes import SILENT, changes
from kioskd.diagnostics.glance import glance
from kioskd.diagnostics.log_text import LogPrinter
from kioskd.diagnostics.logs import Wanted, moment
from kioskd.diagnostics.top import History, picture
from kioskd.diagnostics.words import Language, preferred
from kioskd.errors import ControlError
from kioskd.hal.device import DeviceKind

USAGE: Final = 3
INTERNAL: Final = 4
LINES: Final = 200
EVERY_S: Final = 1.0
ANSWER_S: Final = 3.0
QUIT: Final = ("q", "Q", "\x1b")
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


def watch(socket: Path, *, as_json: bool) -> None:
    """Show the kiosk until Ctrl-C: a picture that is drawn anew; on a terminal without a cursor,
    and where the output is no terminal, a line for each change. JSON: a status for each change.
    """
    with contextlib.suppress(KeyboardInterrupt):
        if as_json:
            _watch_json(socket)
        elif terminal.live():
            _watch_live(socket)
        else:
            _watch_lines(socket)


def _looks(socket: Path) -> Iterator[tuple[Status | None, str]]:
    """Yield the status each EVERY_S, or None and why there is none."""
    while True:
        began = time.monotonic()
        try:
            yield client.status(socket, timeout=ANSWER_S), ""
        except ControlError as error:
            yield None, str(error)
        time.sleep(max(0.0, began + EVERY_S - time.monotonic()))


def _watch_json(socket: Path) -> None:
    before: Status | None = None
    for status, _ in _looks(socket):
        if status is not None and (before is None or changes(before, status)):
            print(status.model_dump_json(), flush=True)
        before = status


def _watch_live(socket: Path) -> None:
    console = terminal.console()
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for status, why in _looks(socket):
            live.update(_silent(why) if status is None else glance(status, console), refresh=True)


def _watch_lines(socket: Path) -> None:
    console = terminal.console()
    known: Status | None = None
    silent = False
    for status, why in _looks(socket):
        told = changes(known, status, why=why)
        if status is None:
            told = [] if silent else told
        elif silent and not told:
            told = ["kioskd answers again"]
        for line in told:
            _print_line(line, console)
        known, silent = status or known, status is None


def _print_line(line: str, console: Console) -> None:
    """Print a line with its time; on a terminal what does not fit goes on below."""
    line = f"{time.strftime('%H:%M:%S')}  {line}"
    if console.is_terminal:
        line = textwrap.fill(line, console.width, subsequent_indent=" " * 10)
    print(line, flush=True)


def top(socket: Socket = DEFAULT_SOCKET) -> None:
    """Show devices, call, rates and the loop's lag, live; q quits.

    On a terminal without a cursor: as `status --watch`.
    """
    if not terminal.live():
        watch(socket, as_json=False)
        return
    console, history = terminal.console(), History()
    with (
        contextlib.suppress(KeyboardInterrupt),
        _keys(),
        Live(console=console, auto_refresh=False, screen=True) as live,
    ):
        while True:
            live.update(_top(socket, history, console), refresh=True)
            if _pressed(EVERY_S) in QUIT:
                return


def _top(socket: Path, history: History, console: Console) -> RenderableType:
    try:
        status = client.status(socket, timeout=ANSWER_S)
    except ControlError as error:
        return _silent(str(error))
    history.add(status)
    return picture(status, history, console, clock=time.strftime("%H:%M:%S"))


def _silent(why: str) -> Text:
    return Text.assemble((SILENT, "bold red"), f"\n{why}\n\nkioskctl doctor says what to do")


@contextlib.contextmanager
def _keys() -> Iterator[None]:
    """Let a key be read as it is pressed, and not be shown."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _pressed(seconds: float) -> str:
    """Wait for a key; return "" when none was pressed."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return ""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return os.read(sys.stdin.fileno(), 1).decode(errors="replace") if ready else ""


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
