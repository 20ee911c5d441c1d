"""What doctor may mend by itself: only what a start of the daemon would do as well."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kioskd.diagnostics.daemon import ask
from kioskd.diagnostics.doctor import Examination, Subject
from kioskd.diagnostics.findings import Trouble
from kioskd.diagnostics.machine import file_system
from kioskd.documents.spool import Spool

SYSTEMCTL_S: Final = 60.0
SETTLE_S: Final = 15.0
LOOK_S: Final = 0.5
_COMING: Final = ("active", "activating", "reloading", "deactivating")


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something to do; `name` is its key in the words. `do` raises OSError, SubprocessError."""

    name: str
    do: Callable[[], None]


def remedies(subject: Subject, seen: Examination) -> list[Remedy]:
    """Return what may be done about what was seen, in this order.

    Nothing while systemd is about to start the daemon: it would do the same at once, and a
    visit might have begun meanwhile.
    """
    ids = {one.id for one in seen.found}
    if not seen.daemon.dead or seen.systemd.get("ActiveState") in _COMING:
        return []
    found = []
    if seen.daemon.stale_socket:
        found.append(Remedy("socket", lambda: subject.control.unlink(missing_ok=True)))
    folder = subject.spool
    if Trouble.SPOOL_FULL in ids and folder is not None and folder.is_dir():
        found.append(Remedy("spool", lambda: _empty(folder)))
    if seen.systemd and not ids & {Trouble.SETTINGS, Trouble.SCREEN_PORT}:
        found.append(Remedy("restart", _restart))
    return found


async def settled(control: Path) -> None:
    """Give a daemon that was just started its time to find the broker and the screen."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            while True:
                daemon = await ask(control)
                status = daemon.status
                online = status is not None and status.broker_online and status.screen_connected
                if online or daemon.dead:
                    return
                await asyncio.sleep(LOOK_S)


def _empty(folder: Path) -> None:
    if file_system(folder) not in ("tmpfs", "ramfs"):
        raise OSError(f"{folder} is not in RAM: it is left alone")
    Spool(folder).wipe()


def _restart() -> None:
    subprocess.run(
        ["systemctl", "restart", "kioskd"], check=True, capture_output=True, timeout=SYSTEMCTL_S
    )
