"""kioskctl's end of the control socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp

from kioskd.control.api import Done, Readmission, Status
from kioskd.control.trial import TOLD, Ended, Options, Outcome, Progress
from kioskd.errors import ControlError
from kioskd.hal.device import DeviceKind
from kioskd.hal.trial import Trial

SILENT_S: Final = 15.0
"""Longer than a loop that lags; a trial that runs is heard of each second."""


def status(socket: Path, *, timeout: float = 5.0) -> Status:
    """Ask the daemon for its status. Raises ControlError when it does not answer."""
    return asyncio.run(ask_status(socket, timeout=timeout))


async def ask_status(socket: Path, *, timeout: float = 5.0) -> Status:
    """Do as `status`, on a loop that runs."""
    return Status.model_validate_json(await _request(socket, "GET", "/status", timeout))


async def run_test(
    socket: Path,
    trial: Trial,
    options: Options,
    tell: Callable[[Progress], None],
) -> Outcome | Ended:
    """Let the daemon try a part of the kiosk. Raises ControlError when it does not answer.

    Whoever cancels this ends the trial too.
    """
    limit = aiohttp.ClientTimeout(total=None, sock_read=SILENT_S)
    async with _asked(
        socket, "POST", f"/test/{trial.value}", limit, options.model_dump_json()
    ) as answer:
        rest = b""
        async for data in answer.content.iter_any():
            *lines, rest = (rest + data).split(b"\n")
            for line in filter(None, lines):
                match TOLD.validate_json(line):
                    case Progress() as progress:
                        tell(progress)
                    case end:
                        return end
    raise ControlError("kioskd ended in the middle of the test")


def readmit(socket: Path, device: DeviceKind, *, timeout: float = 30.0) -> Readmission:
    """Let the daemon try a device that it left out. Raises ControlError when it does not answer."""
    text = asyncio.run(_request(socket, "POST", f"/readmit/{device.value}", timeout))
    return Readmission.model_validate_json(text)


def restart(socket: Path, device: DeviceKind, *, now: bool = False, timeout: float = 40.0) -> Done:
    """Let the daemon restart a device. Raises ControlError when it does not answer."""
    path = f"/restart/{device.value}" + ("?now=1" if now else "")
    return Done.model_validate_json(asyncio.run(_request(socket, "POST", path, timeout)))


def maintenance(socket: Path, *, on: bool, timeout: float = 10.0) -> Done:
    """Take the kiosk out of service, or back. Raises ControlError when it does not answer."""
    path = f"/maintenance/{'on' if on else 'off'}"
    return Done.model_validate_json(asyncio.run(_request(socket, "POST", path, timeout)))


async def _request(socket: Path, method: str, path: str, timeout: float) -> str:
    limit = aiohttp.ClientTimeout(total=timeout)
    async with _asked(socket, method, path, limit) as answer:
        return await answer.text()


@contextlib.asynccontextmanager
async def _asked(
    socket: Path, method: str, path: str, limit: aiohttp.ClientTimeout, body: str | None = None
) -> AsyncIterator[aiohttp.ClientResponse]:
    connector = aiohttp.UnixConnector(str(socket))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limit) as session,
            session.request(method, f"http://kioskd{path}", data=body) as answer,
        ):
            if answer.status == HTTPStatus.FORBIDDEN:
                raise ControlError(f"{socket}: only root and members of kioskd's group may")
            answer.raise_for_status()
            yield answer
    except aiohttp.ClientConnectorError as error:
        raise ControlError(_why(error.os_error, socket)) from error
    except TimeoutError as error:
        seconds = limit.total or limit.sock_read
        raise ControlError(f"kioskd does not answer within {seconds:.0f} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ControlError(f"kioskd does not answer on {socket}: {error}") from error


def _why(error: OSError, socket: Path) -> str:
    if isinstance(error, PermissionError):
        return f"no permission for {socket}: use sudo"
    if isinstance(error, FileNotFoundError):
        return f"kioskd does not run: there is no {socket}"
    return f"kioskd does not run: {socket} is left from a dead daemon"
