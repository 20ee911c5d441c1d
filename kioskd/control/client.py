"""kioskctl's end of the control socket."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

import aiohttp

from kioskd.control.api import Outcome, Status, TestResult
from kioskd.errors import ControlError
from kioskd.hal.device import DeviceKind


def status(socket: Path, *, timeout: float = 5.0) -> Status:
    """Ask the daemon for its status. Raises ControlError when it does not answer."""
    return asyncio.run(ask_status(socket, timeout=timeout))


async def ask_status(socket: Path, *, timeout: float = 5.0) -> Status:
    """Do as `status`, on a loop that runs."""
    return Status.model_validate_json(await _request(socket, "GET", "/status", timeout))


def run_test(socket: Path, device: DeviceKind, *, timeout: float = 90.0) -> TestResult:
    """Let the daemon test a device. Raises ControlError when it does not answer."""
    text = asyncio.run(_request(socket, "POST", f"/test/{device.value}", timeout))
    return TestResult.model_validate_json(text)


def readmit(socket: Path, device: DeviceKind, *, timeout: float = 30.0) -> TestResult:
    """Let the daemon try a device that it left out. Raises ControlError when it does not answer."""
    text = asyncio.run(_request(socket, "POST", f"/readmit/{device.value}", timeout))
    return TestResult.model_validate_json(text)


def restart(
    socket: Path, device: DeviceKind, *, now: bool = False, timeout: float = 40.0
) -> Outcome:
    """Let the daemon restart a device. Raises ControlError when it does not answer."""
    path = f"/restart/{device.value}" + ("?now=1" if now else "")
    return Outcome.model_validate_json(asyncio.run(_request(socket, "POST", path, timeout)))


def maintenance(socket: Path, *, on: bool, timeout: float = 10.0) -> Outcome:
    """Take the kiosk out of service, or back. Raises ControlError when it does not answer."""
    path = f"/maintenance/{'on' if on else 'off'}"
    return Outcome.model_validate_json(asyncio.run(_request(socket, "POST", path, timeout)))


async def _request(socket: Path, method: str, path: str, timeout: float) -> str:
    connector = aiohttp.UnixConnector(str(socket))
    limit = aiohttp.ClientTimeout(total=timeout)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limit) as session,
            session.request(method, f"http://kioskd{path}") as answer,
        ):
            if answer.status == HTTPStatus.FORBIDDEN:
                raise ControlError(f"{socket}: only root and members of kioskd's group may")
            answer.raise_for_status()
            return await answer.text()
    except aiohttp.ClientConnectorError as error:
        raise ControlError(_why(error.os_error, socket)) from error
    except TimeoutError as error:
        raise ControlError(f"kioskd does not answer within {timeout:.0f} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ControlError(f"kioskd does not answer on {socket}: {error}") from error


def _why(error: OSError, socket: Path) -> str:
    if isinstance(error, PermissionError):
        return f"no permission for {socket}: use sudo"
    if isinstance(error, FileNotFoundError):
        return f"kioskd does not run: there is no {socket}"
    return f"kioskd does not run: {socket} is left from a dead daemon"
