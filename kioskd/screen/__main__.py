"""kioskd-screen: keeps the screen's Chromium. Exit codes: 0 stopped, 4 it does not come up."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from kioskd import logging
from kioskd.errors import ScreenError
from kioskd.screen.keeper import Keeper

TROUBLE: Final = 4

app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
def keep(
    entry: Annotated[Path, typer.Option(help="The file that leads to the page.")],
    folder: Annotated[
        Path,
        typer.Option(envvar="RUNTIME_DIRECTORY", help="In RAM, nobody else's; it is emptied."),
    ],
    command: Annotated[
        list[str] | None, typer.Argument(help="Chromium, and more options for it; after `--`.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log at debug level.")] = False,
) -> None:
    """Keep the screen's Chromium until SIGTERM."""
    logging.configure(verbose=verbose)
    keeper = Keeper(entry_file=entry, folder=folder, command=command or ["chromium"])
    try:
        asyncio.run(_until_told(keeper))
    except ScreenError as error:
        print(f"kioskd-screen: {error}", file=sys.stderr)
        sys.exit(TROUBLE)


async def _until_told(keeper: Keeper) -> None:
    work = asyncio.create_task(keeper.run(), name="keeper")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


def main() -> None:
    """Run kioskd-screen."""
    app()


if __name__ == "__main__":
    main()
