"""What the devices stand on, asked directly: the sound server, the print system, drivers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pulsectl

from kioskd.diagnostics.findings import Found, Trouble, device_finding, device_id, trouble, why
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.device import Device, DeviceKind, DeviceState
from kioskd.runtime.sound_server import connection

ANSWER_S: Final = 2.5
DEVICE_S: Final = 4.0
CLOSE_S: Final = 0.8
AGAIN_S: Final = 0.3
CUPS_SOCKET: Final = Path("/run/cups/cups.sock")
_USB: Final = (DeviceKind.CAMERA, DeviceKind.MICROPHONE, DeviceKind.SCANNER, DeviceKind.PANEL)
_HUB: Final = 3
"""So many devices do not go at once each for a reason of its own."""


async def sound_server() -> list[Found]:
    """Ask the sound server as its clients do."""
    try:
        async with asyncio.timeout(ANSWER_S), connection("kioskctl", limit_s=ANSWER_S) as pulse:
            await pulse.server_info()
    except TimeoutError:
        return [trouble(Trouble.SOUND_SERVER, f"no answer in {ANSWER_S:g} s")]
    except pulsectl.PulseError as error:
        return [trouble(Trouble.SOUND_SERVER, str(error))]
    return []


async def print_system(server: str) -> list[Found]:
    """Ask cupsd for anything over HTTP. `server` as in CUPS: host:port, a socket, "" its own."""
    where = server or (str(CUPS_SOCKET) if CUPS_SOCKET.exists() else "localhost:631")
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await _connect(where)
            try:
                writer.write(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if not (await reader.readline()).startswith(b"HTTP/"):
                    return [trouble(Trouble.PRINT_SYSTEM, f"{where}: no HTTP")]
            finally:
                writer.transport.abort()
    except TimeoutError:
        return [trouble(Trouble.PRINT_SYSTEM, f"{where}: no answer in {ANSWER_S:g} s")]
    except OSError as error:
        return [trouble(Trouble.PRINT_SYSTEM, f"{where}: {why(error)}")]
    return []


async def _connect(where: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if where.startswith("/"):
        return await asyncio.open_unix_connection(where)
    host, _, port = where.partition(":")
    return await asyncio.open_connection(host, int(port or 631))


async def device(one: Device) -> list[Found]:
    """Let a driver check its device in this process, as the daemon would."""
    try:
        return await _checked(one)
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await one.close()


async def _checked(one: Device) -> list[Found]:
    kind, deadline = one.kind, asyncio.get_running_loop().time() + DEVICE_S
    try:
        async with asyncio.timeout(DEVICE_S):
            while True:
                try:
                    health = await one.check()
                    break
                except DeviceError as error:
                    # SANE's search may outlast a check; the next one goes on with it.
                    left_s = deadline - asyncio.get_running_loop().time()
                    searching = kind is DeviceKind.SCANNER and error.reason is Reason.NO_ANSWER
                    if not searching or left_s < AGAIN_S:
                        raise
                    await asyncio.sleep(AGAIN_S)
    except TimeoutError:
        detail = f"no answer in {DEVICE_S:.0f} s"
        return [device_finding(kind, DeviceState.FAILED, Reason.NO_ANSWER, detail)]
    except DeviceError as error:
        if error.reason is Reason.NOT_CONFIGURED:
            return []
        state = DeviceState.ABSENT if isinstance(error, DeviceAbsent) else DeviceState.FAILED
        return [device_finding(kind, state, error.reason, error.detail)]
    if health.state in (DeviceState.READY, DeviceState.BUSY):
        return []
    reason = health.reason or Reason.IO_ERROR
    return [device_finding(kind, health.state, reason, health.detail)]


def usb_hub(found: Iterable[Found]) -> list[Found]:
    """Tell of a hub where most of what may hang on it is gone."""
    gone = (Reason.NOT_FOUND, Reason.UNPLUGGED)
    ids = {one.id for one in found}
    missing = [kind for kind in _USB if ids & {device_id(kind, reason) for reason in gone}]
    if len(missing) < _HUB:
        return []
    return [trouble(Trouble.USB_HUB, ", ".join(kind.value for kind in missing))]
