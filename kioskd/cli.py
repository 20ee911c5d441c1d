"""kioskctl: the technician's command line.

Exit codes: 0 all is well, 1 degraded, 2 broken or wrong settings, 3 wrong usage,
4 the daemon does not answer or an error of our own.
"""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from kioskd.control import client
from kioskd.control.api import Status
from kioskd.diagnostics import doctor as doctor_checks
from kioskd.diagnostics import findings
from kioskd.diagnostics.findings import Finding, Severity
from kioskd.errors import ControlError, Reason, SettingsError
from kioskd.hal.device import DeviceKind
from kioskd.settings import Settings, load

# typer carries a click of its own and exports only this member of its usage errors.
_USAGE_ERRORS: Final[tuple[type[Any], ...]] = typer.BadParameter.__bases__


class Exit(IntEnum):
    """kioskctl's exit codes."""

    HEALTHY = 0
    DEGRADED = 1
    BROKEN = 2
    USAGE = 3
    INTERNAL = 4


app = typer.Typer(no_args_is_help=True, add_completion=True, help=__doc__)
config_app = typer.Typer(no_args_is_help=True, help="Check and describe the configuration.")
app.add_typer(config_app, name="config")

DEFAULT_CONFIG = Path("/etc/kioskd/kioskd.toml")
DEFAULT_SOCKET = Path("/run/kioskd/control.sock")

Socket = Annotated[Path, typer.Option(envvar="KIOSKD_SOCKET", help="The daemon's control socket.")]
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
def status(socket: Socket = DEFAULT_SOCKET, as_json: Json = False) -> None:
    """Show the kiosk at a glance."""
    answer = _status(socket)
    if as_json:
        _print_json(answer.model_dump_json())
        return
    console = Console()
    console.print(f"[bold]{answer.kiosk}[/bold]  kioskd {answer.kioskd}, pid {answer.pid}")
    console.print(f"up for {answer.uptime_s / 3600:.1f} h{_safe_mode(answer)}")
    lag = f"{answer.loop_lag_p99_ms:.0f} ms (p99), {answer.loop_lag_max_ms:.0f} ms at most"
    console.print(f"lag:    {lag} in the last minute")
    console.print(f"broker: {'online' if answer.broker_online else 'OFFLINE'}")
    connected = "connected" if answer.screen_connected else "NOT CONNECTED"
    console.print(f"screen: {answer.screen_url} {connected}")
    console.print(f"visit:  {answer.call.scene.value} {answer.call.service or ''}")
    console.print(_device_table(answer))


def _safe_mode(answer: Status) -> str:
    if not answer.safe_mode:
        return ""
    left_out = [one.kind.value for one in answer.devices if one.reason is Reason.LEFT_OUT]
    return f", [bold]SAFE MODE[/bold] after failed starts; left out: {', '.join(left_out) or '-'}"


@app.command()
def devices(socket: Socket = DEFAULT_SOCKET, as_json: Json = False) -> None:
    """Show every device and its state."""
    answer = _status(socket)
    if as_json:
        print(json.dumps([one.model_dump(mode="json") for one in answer.devices], indent=2))
    else:
        Console().print(_device_table(answer))


def _device_table(answer: Status) -> Table:
    table = Table("device", "state", "reason", "since", "driver")
    for one in answer.devices:
        reason = one.reason.value if one.reason else ""
        since = f"{one.since_s:.0f} s"
        table.add_row(one.kind.value, one.state.value, reason, since, one.driver)
    return table


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
    Console().print(table)


@app.command()
def call(socket: Socket = DEFAULT_SOCKET, as_json: Json = False) -> None:
    """Show the state of the call."""
    answer = _status(socket).call
    if as_json:
        _print_json(answer.model_dump_json())
        return
    for name, value in answer.model_dump(mode="json").items():
        print(f"{name.replace('_', ' '):16} {'-' if value is None else value}")


@app.command(name="test")
def try_device(device: DeviceKind, socket: Socket = DEFAULT_SOCKET) -> None:
    """Try one device: a picture, a sound, a page."""
    try:
        result = client.run_test(socket, device)
    except ControlError as error:
        _fail(str(error), Exit.INTERNAL)
    print(result.message)
    if result.file:
        print(f"see {result.file}")
    raise typer.Exit(Exit.HEALTHY if result.passed else Exit.BROKEN)


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
    config: Annotated[Path, typer.Option(help="The daemon's configuration.")] = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Say what is wrong and what to do, also with the daemon dead."""
    try:
        settings = load(config)
    except SettingsError as error:
        found = [findings.settings_finding(fault) for fault in error.faults]
    else:
        found = _examine(settings)
    if as_json:
        rows = [{name: getattr(one, name) for name in Finding.__slots__} for one in found]
        print(json.dumps({"version": 1, "findings": rows}, indent=2, ensure_ascii=False))
    else:
        _print_findings(found)
    if any(one.severity is Severity.BROKEN for one in found):
        raise typer.Exit(Exit.BROKEN)
    raise typer.Exit(Exit.DEGRADED if found else Exit.HEALTHY)


def _examine(settings: Settings) -> list[Finding]:
    broker = (settings.broker.host, settings.broker.port)
    return doctor_checks.examine(settings.control.socket, broker, settings.documents.spool)


def _print_findings(found: list[Finding]) -> None:
    if not found:
        print("All is well.")
    for one in found:
        print(f"{one.id}  {one.severity.value.upper()}  {one.title}")
        print(f"    cause: {one.cause}")
        print(f"    do:    {one.action}")


@config_app.command("check")
def config_check(file: Path) -> None:
    """Check a configuration: one line for each fault, exit code 2."""
    try:
        load(file)
    except SettingsError as error:
        _fail("\n".join(error.faults), Exit.BROKEN)
    print(f"{file}: good")


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON schema of the configuration."""
    print(json.dumps(Settings.model_json_schema(), indent=2, ensure_ascii=False))


def main() -> None:
    """Run kioskctl."""
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        sys.exit(Exit.INTERNAL)
    except _USAGE_ERRORS as error:
        error.show()
        sys.exit(Exit.USAGE)
    sys.exit(code or Exit.HEALTHY)


if __name__ == "__main__":
    main()
