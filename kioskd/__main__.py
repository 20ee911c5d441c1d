"""kioskd: the daemon's command line. Exit codes: 0 stopped, 2 wrong settings, 4 trouble."""

from __future__ import annotations

import asyncio
import faulthandler
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from kioskd import logging
from kioskd.app.demo import DemoOptions, run_demo
from kioskd.app.purge import purge as clean
from kioskd.app.run import Daemon
from kioskd.errors import KioskError, SettingsError
from kioskd.runtime.vitals import bound_arenas
from kioskd.settings import load

WRONG_SETTINGS: Final = 2
TROUBLE: Final = 4

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

DEFAULT_CONFIG: Final = Path("/etc/kioskd/kioskd.toml")
Config = Annotated[Path, typer.Option(help="The configuration.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log at debug level.")]
Device = Annotated[str | None, typer.Option(help="A real device in place of a simulated one.")]


@app.command()
def run(
    config: Config = DEFAULT_CONFIG,
    verbose: Verbose = False,
) -> None:
    """Run the kiosk until SIGTERM."""
    bound_arenas()
    logging.configure(verbose=verbose)
    _guard(lambda: asyncio.run(_run(config)))


@app.command()
def purge(config: Config = DEFAULT_CONFIG) -> None:
    """Wipe what a daemon that has ended may have left: its documents and its print jobs."""
    logging.configure(verbose=False)
    _guard(lambda: asyncio.run(clean(load(config))))


@app.command()
def demo(
    camera: Device = None,
    microphone: Device = None,
    speaker: Device = None,
    scanner: Device = None,
    printer: Device = None,
    real: Annotated[
        bool, typer.Option(help="SANE's test backend, a private CUPS, a private PipeWire.")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to keep the demo's files.")] = None,
    verbose: Verbose = False,
) -> None:
    """Run a whole kiosk on this machine, with a broker and the agent's page."""
    logging.configure(verbose=verbose)
    options = DemoOptions(
        camera=camera,
        microphone=microphone,
        speaker=speaker,
        scanner=scanner,
        printer=printer,
        real=real,
        folder=folder,
    )
    _guard(lambda: asyncio.run(run_demo(options)))


async def _run(config: Path) -> None:
    settings = load(config)
    # What the watchdog ends (SIGABRT), and a crash, leave in the journal where they were.
    faulthandler.enable()
    await Daemon(settings, on_ready=lambda _: None).run()


def _guard(work: object) -> None:
    """Say errors of ours in one line each; leave the rest as the crash that they are."""
    assert callable(work)
    try:
        work()
    except SettingsError as error:
        print("\n".join(error.faults), file=sys.stderr)
        sys.exit(WRONG_SETTINGS)
    except KioskError as error:
        print(f"kioskd: {error}", file=sys.stderr)
        sys.exit(TROUBLE)


def main() -> None:
    """Run kioskd."""
    app()


if __name__ == "__main__":
    main()
