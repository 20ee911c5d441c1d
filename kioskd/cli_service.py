"""`kioskctl restart` and `kioskctl maintenance`: what a technician does to a living kiosk."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from kioskd.control import client
from kioskd.control.api import Done
from kioskd.errors import ControlError
from kioskd.hal.device import DeviceKind

DEGRADED: Final = 1
BROKEN: Final = 2
INTERNAL: Final = 4
DEFAULT_SOCKET: Final = Path("/run/kioskd/control.sock")

Socket = Annotated[Path, typer.Option(envvar="KIOSKD_SOCKET", help="The daemon's control socket.")]


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


def restart(
    device: DeviceKind,
    now: Annotated[bool, typer.Option("--now", help="Also in the middle of a visit.")] = False,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Close a device, end its worker process, and open it anew.

    Refused while a resident is at the kiosk, unless --now; says what the resident would notice.
    """
    _tell(lambda: client.restart(socket, device, now=now))


def maintenance(to: Switch, socket: Socket = DEFAULT_SOCKET) -> None:
    """Take the kiosk out of service, or back: no calls, and everybody is told.

    The screen says so, and the agents' page shows the kiosk as not available. A visit under way
    is not cut: it begins after it. It lasts over a restart, until `kioskctl maintenance off`.
    """
    _tell(lambda: client.maintenance(socket, on=to is Switch.ON))


def _tell(work: Callable[[], Done]) -> NoReturn:
    try:
        outcome = work()
    except ControlError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(INTERNAL) from None
    print(outcome.message)
    if outcome.warning:
        print(f"but {outcome.warning}")
    raise typer.Exit(BROKEN if not outcome.done else DEGRADED if outcome.warning else 0)
