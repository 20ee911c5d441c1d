"""What is done when the daemon has ended, however it did: nothing of its visit may come out."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from kioskd.documents.spool import Spool
from kioskd.errors import ControlError, DeviceAbsent, DeviceError, Reason
from kioskd.settings import Settings

PURGE_S: Final = 8.0
"""Within systemd's TimeoutStopSec=, which is 10 s in the unit."""


async def purge(settings: Settings) -> None:
    """Wipe the spool, then cancel what CUPS and the printer have of ours.

    Raises ControlError while a daemon lives, whose documents these are; DeviceError when the
    printer does not answer or stop within PURGE_S: the next start of the daemon tries again.
    """
    if await _lives(settings.control.socket):
        raise ControlError("kioskd runs, and a visit may: stop it first (systemctl stop kioskd)")
    Spool(settings.documents.spool).prepare()
    printer = settings.printer.build()
    try:
        async with asyncio.timeout(PURGE_S):
            await printer.purge()
    except DeviceAbsent:
        pass  # nothing can come out of a printer that is not there
    except TimeoutError as error:
        raise DeviceError(Reason.NO_ANSWER, "the printer is not purged") from error
    finally:
        await printer.close()


async def _lives(socket: Path) -> bool:
    """Tell whether somebody listens at the control socket; a dead daemon's file is no sign."""
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_unix_connection(socket)
        writer.close()
        return True
    return False
