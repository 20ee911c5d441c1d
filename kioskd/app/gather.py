"""What a support bundle holds, asked for side by side: what hangs or is not there is a note."""

from __future__ import annotations

import asyncio
import json
import platform
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import pulsectl

from kioskd import __version__
from kioskd.audit.verify import verify
from kioskd.control import client
from kioskd.control.api import Status
from kioskd.diagnostics.board import in_thread
from kioskd.diagnostics.bundle_file import Part
from kioskd.errors import ControlError
from kioskd.runtime.sound_server import connection
from kioskd.settings import Settings
from kioskd.visit.words import Scene

COMMAND_S: Final = 5.0
PART_S: Final = 8.0
STATUS_S: Final = 3.0
UNITS: Final = ("kioskd", "cups", "systemd-timesyncd", "systemd-networkd", "NetworkManager")
_PROPERTIES: Final = (
    "Id,LoadState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainCode,"
    "ActiveEnterTimestamp,InactiveEnterTimestamp,MemoryCurrent,TasksCurrent,FragmentPath,DropInPaths"
)
_LIBRARIES: Final = ("aiortc", "av", "aiohttp", "aiomqtt", "pydantic", "python-sane", "pycups")
_PACKAGES: Final = (
    *("cups", "libsane1", "sane-airscan", "pipewire", "wireplumber", "chromium", "cage"),
    *("systemd", "linux-image-amd64", "python3"),
)
_USB: Final = Path("/sys/bus/usb/devices")


@dataclass(frozen=True, slots=True)
class Kiosk:
    """Of which kiosk. Without settings the machine is still told of."""

    control: Path
    settings: Settings | None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gathered:
    """All parts but the log, the scanners and the doctor's word.

    `status` is None where kioskd is silent.
    """

    status: Status | None
    parts: list[Part]


async def gather(kiosk: Kiosk) -> Gathered:
    """Ask for everything. Takes PART_S and STATUS_S seconds at the most, whatever hangs."""
    status, told = await _status(kiosk.control)
    looks: dict[str, Callable[[], Awaitable[str]]] = {
        "versions.json": _blocking(_versions),
        "settings.json": _blocking(lambda: _settings(kiosk)),
        "audit.json": _blocking(lambda: _audit(kiosk)),
        "units.txt": _blocking(_units),
        "usb.json": _blocking(_usb),
        "printers.txt": _blocking(lambda: _printers(kiosk.settings)),
        "sound.json": _sound,
        "network.txt": _blocking(_network),
    }
    parts = await asyncio.gather(*(_part(name, look) for name, look in looks.items()))
    return Gathered(status, [Part("status.json", told), *parts])


async def scanners(status: Status | None) -> Part:
    """Search for scanners; nothing else may use them meanwhile, and no page be under way."""
    idle = status is None or status.call.scene is Scene.CHOOSING
    return await _part(
        "scanners.txt", _blocking(lambda: _run("scanimage", "-L")) if idle else _later
    )


async def _status(control: Path) -> tuple[Status | None, str]:
    try:
        status = await client.ask_status(control, timeout=STATUS_S)
    except ControlError as error:
        return None, _json({"kioskd": "does not answer", "why": str(error)})
    return status, status.model_dump_json(indent=2)


async def _part(name: str, look: Callable[[], Awaitable[str]]) -> Part:
    try:
        async with asyncio.timeout(PART_S):
            return Part(name, await look())
    except TimeoutError:
        return Part(name, f"no answer in {PART_S:.0f} s\n")
    except Exception as error:  # noqa: BLE001  (the other parts are worth more than a trace)
        return Part(name, f"not available: {error!r}\n")


def _blocking(work: Callable[[], str]) -> Callable[[], Awaitable[str]]:
    return lambda: in_thread(work)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"


def _run(*command: str) -> str:
    """Run a program for COMMAND_S at the most; return what it says, or why it says nothing."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=COMMAND_S,
            text=True,
            errors="replace",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )
    except FileNotFoundError:
        return f"$ {' '.join(command)}\n{command[0]} is not installed\n"
    except subprocess.TimeoutExpired:
        return f"$ {' '.join(command)}\nno answer in {COMMAND_S:.0f} s\n"
    return f"$ {' '.join(command)}\n{done.stdout}"


def _versions() -> str:
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    query = "${Package} ${Version}\n"
    told = _run("dpkg-query", "--show", f"--showformat={query}", *_PACKAGES)
    debian = [line for line in told.splitlines()[1:] if line and "no packages found" not in line]
    return _json(
        {
            "kioskd": __version__,
            "python": sys.version.split()[0],
            "kernel": platform.release(),
            "machine": platform.machine(),
            "system": release,
            "libraries": {name: _version(name) for name in _LIBRARIES},
            "packages": dict(line.split(" ", 1) for line in debian if " " in line),
        }
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _settings(kiosk: Kiosk) -> str:
    """Return the settings; passwords are pydantic's SecretStr, and come out as stars."""
    if kiosk.settings is None:
        return _json({"faults": list(kiosk.faults)})
    return kiosk.settings.model_dump_json(indent=2)


def _audit(kiosk: Kiosk) -> str:
    """Tell whether the audit log is whole; what it holds stays on the kiosk."""
    if kiosk.settings is None:
        return _json({"verified": False, "why": "no settings"})
    try:
        verdict = verify(kiosk.settings.state.folder / "audit")
    except OSError as error:
        return _json({"verified": False, "why": str(error.strerror)})
    return _json(
        {
            "verified": not verdict.faults,
            "files": verdict.files,
            "events": verdict.events,
            "torn": verdict.torn,
            "seq": verdict.head.seq,
            "head": verdict.head.hash,
            "faults": [str(one) for one in verdict.faults],
        }
    )


def _units() -> str:
    shown = _run("systemctl", "show", *UNITS, f"--property={_PROPERTIES}")
    return shown + "\n" + _run("systemctl", "--failed", "--no-legend", "--plain", "--no-pager")


def _usb() -> str:
    """List what hangs on USB; without serial numbers."""
    found = []
    for folder in sorted(_USB.glob("*")):
        told = {name: _line(folder / name) for name in ("idVendor", "idProduct")}
        if all(told.values()):
            names = {name: _line(folder / name) for name in ("manufacturer", "product", "speed")}
            found.append({"port": folder.name, **told, **names})
    return _json(found)


def _line(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _printers(settings: Settings | None) -> str:
    server = getattr(settings.printer, "server", "") if settings is not None else ""
    host = ["-h", server] if server else []
    # Not the jobs: their titles are ours, but their owners' names are not.
    return "\n".join(_run("lpstat", *host, *option) for option in (["-r"], ["-v"], ["-p"], ["-a"]))


async def _later() -> str:
    return "not looked for: a resident is at the kiosk, and a page may be under way\n"


async def _sound() -> str:
    try:
        async with connection("kioskctl", limit_s=STATUS_S) as pulse:
            server = await pulse.server_info()
            nodes = {"sinks": await pulse.sink_list(), "sources": await pulse.source_list()}
    except (pulsectl.PulseError, TimeoutError) as error:
        return _json({"server": f"no answer: {error or 'it takes too long'}"})
    told = {
        kind: [
            {
                "name": one.name,
                "description": one.description,
                "mute": bool(one.mute),
                "volume": round(float(one.volume.value_flat), 2),
                "state": str(one.state),
            }
            for one in found
        ]
        for kind, found in nodes.items()
    }
    defaults = {
        "sink": server.default_sink_name,
        "source": server.default_source_name,
    }
    return _json({"server": server.server_name, "defaults": defaults, **told})


def _network() -> str:
    parts = [_run("ip", "-brief", "address"), _run("ip", "-brief", "link"), _run("ip", "route")]
    names = Path("/etc/resolv.conf")
    parts.append(f"{names}\n{names.read_text() if names.exists() else 'is not there'}")
    return "\n".join(parts)
