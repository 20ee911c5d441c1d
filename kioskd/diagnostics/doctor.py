"""The checks of `kioskctl doctor`: they work with the daemon, the broker or both dead."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

from kioskd.control import client
from kioskd.control.api import Status
from kioskd.diagnostics import findings
from kioskd.diagnostics.findings import Finding
from kioskd.errors import ControlError, Reason
from kioskd.hal.device import DeviceKind, DeviceState

CONNECT_S: Final = 3.0


def examine(control_socket: Path, broker: tuple[str, int], spool: Path) -> list[Finding]:
    """Return what is wrong, worst first; empty on a healthy kiosk. Takes 10 s at the most."""
    try:
        status = client.status(control_socket)
    except ControlError as error:
        found = [findings.daemon_finding(str(error)), *_broker(broker)]
    else:
        found = [] if status.broker_online else _broker(broker) or [_broker_refuses()]
        found += _running(status)
    found += _spool(spool)
    return sorted(found, key=lambda one: one.severity != findings.Severity.BROKEN)


def _broker(address: tuple[str, int]) -> list[Finding]:
    try:
        socket.create_connection(address, timeout=CONNECT_S).close()
    except OSError as error:
        host, port = address
        return [findings.broker_finding(f"{host}:{port}: {error}")]
    return []


def _broker_refuses() -> Finding:
    return findings.broker_finding(
        "the network path is good, but the broker does not take us: certificate, password or clock"
    )


def _running(status: Status) -> list[Finding]:
    found = [] if status.screen_connected else [findings.screen_finding()]
    for device in status.devices:
        reason = device.reason or Reason.IO_ERROR
        healthy = device.state in (DeviceState.READY, DeviceState.BUSY)
        if not healthy and reason is not Reason.NOT_CONFIGURED:
            found.append(findings.device_finding(DeviceKind(device.kind), reason, device.detail))
    return found


def _spool(spool: Path) -> list[Finding]:
    folder = spool
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.R_OK | os.X_OK):
        return []  # not ours to judge: another user's
    kind = _file_system(folder)
    if kind not in ("tmpfs", "ramfs"):
        return [findings.spool_finding(f"{spool} is on {kind}, not in RAM")]
    return []


def _file_system(folder: Path) -> str:
    """Return the type of the file system that `folder` is on, from /proc/self/mountinfo."""
    best, kind = "", "unknown"
    resolved = str(folder.resolve())
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4]
        inside = resolved == mount or resolved.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind
