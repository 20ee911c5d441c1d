"""kioskctl: the technician's command line.

Exit codes: 0 all is well, 1 degraded, 2 broken or wrong settings, 3 wrong usage,
4 the daemon does not answer or an error of our own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import traceback
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TextIO

import structlog
import typer
from rich.table import Table

from kioskd import cli_audit, cli_bundle, cli_live, cli_service, cli_test
from kioskd.cli_identity import authority_app, enrol
from kioskd.control import client
from kioskd.control.api import Status
from kioskd.diagnostics import call_table, findings, fixes, glance, metrics, terminal, text
from kioskd.diagnostics import doctor as doctor_checks
from kioskd.diagnostics import report as reports
from kioskd.diagnostics.report import Fix, Report, Verdict
from kioskd.diagnostics.words import Language, preferred, words
from kioskd.errors import ControlError, SettingsError
from kioskd.hal.device import DeviceKind

# What needs the settings imports them itself: with all drivers they take half of the time that
# `kioskctl status` has.

# typer carries a click of its own and exports only this member of its usage errors.
_USAGE_ERRORS: Final[tuple[type[Any], ...]] = typer.BadParameter.__bases__


class Exit(IntEnum):
    """kioskctl's exit codes."""

    HEALTHY = 0
    DEGRADED = 1
    BROKEN = 2
    USAGE = 3
    INTERNAL = 4


app = typer.Typer(
    no_args_is_help=True, add_completion=True, help=__doc__, rich_markup_mode="markdown"
)
config_app = typer.Typer(no_args_is_help=True, help="Check and describe the configuration.")
app.add_typer(config_app, name="config")
app.add_typer(cli_audit.app, name="audit")
app.add_typer(authority_app, name="authority")
app.command()(enrol)
app.command()(cli_live.top)
app.command()(cli_live.logs)
app.command()(cli_service.restart)
app.command()(cli_service.maintenance)
app.command()(cli_bundle.bundle)
app.command(name="test")(cli_test.run)

DEFAULT_CONFIG = Path("/etc/kioskd/kioskd.toml")
DEFAULT_SOCKET = Path("/run/kioskd/control.sock")

Socket = Annotated[Path, typer.Option(envvar="KIOSKD_SOCKET", help="The daemon's control socket.")]
Config = Annotated[Path, typer.Option(help="The daemon's configuration.")]
Spoken = Annotated[Language | None, typer.Option(help="Default: the terminal's, else the kiosk's.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _status(socket: Path) -> Status:
    try:
        return client.status(socket)
    except ControlError as error:
        _fail(str(error), Exit.INTERNAL)


def _fail(message: str, code: Exit) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)


def _print_json(text: str) -> None:
    print(json.dumps(json.loads(text), indent=2, ensure_ascii=False))


@app.command()
def status(
    socket: Socket = DEFAULT_SOCKET,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C, with each change.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the kiosk at a glance."""
    if watch:
        cli_live.watch(socket, as_json=as_json)
        return
    answer = _status(socket)
    if as_json:
        _print_json(answer.model_dump_json())
        return
    console = terminal.console()
    console.print(glance.glance(answer, console))


@app.command()
def devices(socket: Socket = DEFAULT_SOCKET, as_json: Json = False) -> None:
    """Show every device and its state."""
    answer = _status(socket)
    if as_json:
        print(json.dumps([one.model_dump(mode="json") for one in answer.devices], indent=2))
    else:
        console = terminal.console()
        console.print(glance.devices(answer, console))


@app.command()
def services(socket: Socket = DEFAULT_SOCKET, as_json: Json = False) -> None:
    """Show the services and which are open."""
    answer = _status(socket)
    if as_json:
        print(json.dumps([one.model_dump(mode="json") for one in answer.services], indent=2))
        return
    table = Table("service", "name", "open", "opens next")
    for one in answer.services:
        table.add_row(one.id, one.name, "yes" if one.open else "no", one.opens or "")
    terminal.console().print(table)


@app.command()
def call(socket: Socket = DEFAULT_SOCKET, as_json: Json = False) -> None:
    """Show the call and how good it is, and the last ones: figures, and nothing of who spoke."""
    answer = _status(socket)
    if as_json:
        lately = [one.model_dump(mode="json") for one in answer.calls]
        print(json.dumps(answer.call.model_dump(mode="json") | {"lately": lately}, indent=2))
        return
    console = terminal.console()
    console.print(call_table.picture(answer, console))


@app.command(name="metrics")
def print_metrics(socket: Socket = DEFAULT_SOCKET) -> None:
    """Print the kiosk's and the calls' figures in Prometheus's text format."""
    print(metrics.text(_status(socket)), end="")


@app.command()
def readmit(device: DeviceKind, socket: Socket = DEFAULT_SOCKET) -> None:
    """Try a device again that was left out because kioskd failed to start with it."""
    try:
        result = client.readmit(socket, device)
    except ControlError as error:
        _fail(str(error), Exit.INTERNAL)
    print(result.message)
    raise typer.Exit(Exit.HEALTHY if result.passed else Exit.BROKEN)


@app.command()
def doctor(
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
    language: Spoken = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Do what is safe: start a dead kioskd, clean after it.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the schema of --json.")] = False,
) -> None:
    """Say what is wrong and what to do, also with the daemon dead.

    Most likely cause first. Exit codes: 0 healthy, 1 degraded, 2 broken, 3 usage, 4 internal.
    """
    if schema:
        print(json.dumps(Report.model_json_schema(), indent=2))
        return
    from kioskd.app import examine

    subject, settings = examine.subject(config)
    kiosk_speaks = settings.kiosk.language if settings else None
    spoken = language or preferred(os.environ, kiosk_speaks)
    seen = doctor_checks.examine(subject)
    done: list[Fix] = []
    if fix and (remedies := fixes.remedies(subject, seen)):
        done = [_mend(one, spoken, sys.stderr if as_json else sys.stdout) for one in remedies]
        if any(one.name == "restart" for one in remedies):
            asyncio.run(fixes.settled(subject.control))
        seen = doctor_checks.examine(subject)
    told = reports.report(
        seen.found,
        seen.board.checks,
        took_s=seen.took_s,
        kiosk=subject.kiosk,
        language=spoken,
    )
    told = told.model_copy(update={"fixes": done})
    if as_json:
        _print_json(told.model_dump_json())
    else:
        text.show(told, terminal.console())
    code = {Verdict.HEALTHY: Exit.HEALTHY, Verdict.DEGRADED: Exit.DEGRADED}
    _leave(code.get(told.verdict, Exit.BROKEN), whole=seen.whole)


def _mend(remedy: fixes.Remedy, language: Language, output: TextIO) -> Fix:
    """Do one thing, named before it is done."""
    said = words(language)
    name = said.fixes[remedy.name]
    print(f"{said.ui.fixing}{said.ui.colon}{name} ... ", end="", file=output, flush=True)
    try:
        remedy.do()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{said.ui.not_fixed}{said.ui.colon}{error}", file=output)
        return Fix(name=name, done=False, detail=str(error))
    print(said.ui.fixed, file=output)
    return Fix(name=name, done=True, detail="")


def _leave(code: Exit, *, whole: bool) -> NoReturn:
    """Exit; at once where a check hangs in a thread that the interpreter would wait for."""
    if not whole:
        sys.stdout.flush()
        os._exit(code)
    raise typer.Exit(code)


@app.command()
def explain(
    identifier: Annotated[
        str,
        typer.Argument(metavar="KSK-NNN", help="A finding's id.", autocompletion=findings.known),
    ],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
    language: Spoken = None,
) -> None:
    """Print one finding in full: what it means, its likely cause, what to do."""
    known = findings.normal(identifier)
    if known is None:
        _fail(f"there is no finding {identifier!r}", Exit.USAGE)
    spoken = language or preferred(os.environ, _kiosk_speaks(config))
    told = reports.explain(known, spoken, findings.severity_of(known))
    if as_json:
        _print_json(told.model_dump_json())
    else:
        text.show_one(told, spoken, terminal.console())


def _kiosk_speaks(config: Path) -> str | None:
    from kioskd.settings import load

    try:
        return load(config).kiosk.language
    except SettingsError:
        return None


@config_app.command("check")
def config_check(file: Path) -> None:
    """Check a configuration: one line for each fault, exit code 2."""
    from kioskd.settings import load

    try:
        load(file)
    except SettingsError as error:
        _fail("\n".join(error.faults), Exit.BROKEN)
    print(f"{file}: good")


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON schema of the configuration."""
    from kioskd.settings import Settings

    print(json.dumps(Settings.model_json_schema(), indent=2, ensure_ascii=False))


def main() -> None:
    """Run kioskctl."""
    # What is printed is the answer; drivers that are checked in this process say it by errors.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    terminal.prepare()
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        sys.exit(Exit.INTERNAL)
    except _USAGE_ERRORS as error:
        error.show()
        sys.exit(Exit.USAGE)
    except Exception:  # noqa: BLE001  (Python's own code for it is 1, which means degraded here)
        traceback.print_exc()
        sys.exit(Exit.INTERNAL)
    sys.exit(code or Exit.HEALTHY)


if __name__ == "__main__":
    main()
