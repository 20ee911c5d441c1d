"""Is the daemon there, does it answer, and what does it say? Works with it dead or hanging."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kioskd.control import client
from kioskd.control.api import DeviceStatus, MaintenanceStage, Status
from kioskd.diagnostics.findings import Found, Trouble, device_finding, trouble, why
from kioskd.errors import ControlError, Reason
from kioskd.hal.device import DeviceKind, DeviceState

ANSWER_S: Final = 3.0
CONNECT_S: Final = 1.0
LATELY_S: Final = 20.0
"""Longer than it takes to open a device again and to judge it (kioskd/app/sensors.py)."""
FEW: Final = 8
"""A daemon with no more descriptors left than this cannot start a worker."""
_PROC: Final = Path("/proc")
_PEER: Final = struct.Struct("3i")  # struct ucred: unix(7)


@dataclass(slots=True)
class Daemon:
    """What could be learnt of it. `dead` is true only where that is certain."""

    found: list[Found] = field(default_factory=list)
    status: Status | None = None
    pid: int | None = None
    dead: bool = False
    stale_socket: bool = False


async def ask(control: Path) -> Daemon:
    """Ask the daemon behind a control socket for its status. Takes 4.5 s at the most."""
    daemon = Daemon()
    try:
        daemon.pid = await _owner(control)
    except PermissionError:
        daemon.found.append(trouble(Trouble.NOT_ALLOWED, f"{control}: permission denied"))
        return daemon
    except (BlockingIOError, TimeoutError):
        daemon.found.append(trouble(Trouble.HANGS, f"{control}: it takes no connection"))
        return daemon
    except OSError as error:
        daemon.dead = True
        daemon.stale_socket = isinstance(error, ConnectionRefusedError)
        left = "left by a dead kioskd" if daemon.stale_socket else why(error)
        daemon.found.append(trouble(Trouble.DEAD, f"{control}: {left}"))
        return daemon
    try:
        daemon.status = await client.ask_status(control, timeout=ANSWER_S)
    except ControlError as error:
        daemon.found.append(trouble(Trouble.HANGS, f"{error}{_state(daemon.pid)}"))
    else:
        daemon.found += running(daemon.status)
    daemon.found += descriptors(daemon.pid)
    return daemon


def running(status: Status) -> list[Found]:
    """Return what a daemon that answers says is wrong."""
    found = []
    if not status.screen_connected:
        found.append(trouble(Trouble.NO_SCREEN, status.screen_url))
    if status.safe_mode:
        starts = f"{status.failed_starts} starts"
        found.append(trouble(Trouble.SAFE_MODE, starts))
    if status.unsigned:
        found.append(trouble(Trouble.UNSIGNED, "identity.unsigned = true"))
    if status.clock_doubted:
        found.append(trouble(Trouble.CLOCK, "an agent's clock says otherwise"))
    if status.stuck:
        found.append(trouble(Trouble.STUCK, ", ".join(status.stuck)))
    if status.audit.failing or status.audit.lost:
        lost = f"{status.audit.lost} events lost since the start"
        found.append(trouble(Trouble.AUDIT, ", ".join(filter(None, (status.audit.failing, lost)))))
    if status.encoder_trouble:
        found.append(trouble(Trouble.ENCODER, status.encoder_trouble))
    if status.maintenance.stage is not MaintenanceStage.OFF:
        found.append(maintenance(status.maintenance.since))
    return found + [one for device in status.devices for one in _device(device)]


def maintenance(since: float | None) -> Found:
    """Tell that somebody wants the kiosk out of service, since a Unix time."""
    told = "" if since is None else f"{datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M} UTC"
    return trouble(Trouble.MAINTENANCE, told)


def _device(device: DeviceStatus) -> list[Found]:
    if device.state not in (DeviceState.READY, DeviceState.BUSY):
        reason = device.reason or Reason.IO_ERROR
        if reason is Reason.NOT_CONFIGURED:
            return []
        return [device_finding(device.kind, device.state, reason, device.detail)]
    # A frozen camera that was opened anew is well until its pictures are judged again.
    if device.kind is DeviceKind.CAMERA and device.lately and (device.lately_s or 0) < LATELY_S:
        detail = f"{device.lately_s:.0f} s ago; opened anew since"
        return [device_finding(device.kind, DeviceState.DEGRADED, device.lately, detail)]
    return []


def descriptors(pid: int, proc: Path = _PROC) -> list[Found]:
    """Tell whether a process can hardly open another file. Nothing where we may not look."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        limit = _limit(pid, "Max open files", proc)
        used = [int(one.name) for one in (proc / str(pid) / "fd").iterdir()]
        below = sum(number < limit for number in used)
        if limit - below <= FEW:
            return [trouble(Trouble.NO_DESCRIPTORS, f"pid {pid}: {len(used)} open, limit {limit}")]
    return []


def core_dumps(pid: int, proc: Path = _PROC) -> list[Found]:
    """Tell whether a crash of the daemon would write its memory to the disk."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        pattern = (proc / "sys/kernel/core_pattern").read_text().strip()
        if _limit(pid, "Max core file size", proc) > 0 and pattern:
            return [trouble(Trouble.CORE_DUMPS, f"pid {pid}, {pattern}")]
    return []


def _limit(pid: int, name: str, proc: Path) -> float:
    """Return a soft limit of a process (proc_pid_limits(5))."""
    lines = (proc / str(pid) / "limits").read_text().splitlines()
    value = next(line for line in lines if line.startswith(name)).removeprefix(name).split()[0]
    return float("inf") if value == "unlimited" else int(value)


async def _owner(control: Path) -> int:
    """Return the process that listens on the socket. Raises OSError, TimeoutError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.setblocking(False)
        async with asyncio.timeout(CONNECT_S):
            await asyncio.get_running_loop().sock_connect(one, str(control))
        pid, _, _ = _PEER.unpack(one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if pid == 0:  # the queue is full, which asyncio takes for a connection
        raise BlockingIOError
    return int(pid)


def _state(pid: int) -> str:
    """Return what the kernel says of a process, in brackets; "" where nothing can be read."""
    with contextlib.suppress(OSError, IndexError):
        state = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
        words = {"T": "stopped by a signal", "D": "held in the kernel", "R": "it computes"}
        return f" (pid {pid}: {words.get(state, state)})"
    return ""


async def systemd(unit: str = "kioskd") -> dict[str, str]:
    """Return what systemd knows of the unit; empty where there is no systemd, or no such unit."""
    names = ("LoadState", "ActiveState", "SubState", "Result", "NRestarts", "MemorySwapMax")
    try:
        process = await asyncio.create_subprocess_exec(
            *("systemctl", "show", unit, "--no-pager", f"--property={','.join(names)}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError:
        return {}
    try:
        async with asyncio.timeout(ANSWER_S):
            output, _ = await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return {}
    told = dict(line.split("=", 1) for line in output.decode().splitlines() if "=" in line)
    return told if told.get("LoadState") == "loaded" else {}
