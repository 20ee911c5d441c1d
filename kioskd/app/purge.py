"""What is done when the daemon has ended, however it did: nothing of its visit may come out."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from kioskd.app.auditing import log_of
from kioskd.audit.events import AuditEvent, PurgeDone, PurgeFailed
from kioskd.documents.spool import Spool
from kioskd.errors import ControlError, DeviceAbsent, DeviceError, Reason
from kioskd.settings import Settings

log = structlog.get_logger(__name__)

PURGE_S: Final = 8.0
"""Within systemd's TimeoutStopSec=, which is 10 s in the unit."""


async def purge(settings: Settings) -> None:
    """Wipe the spool, cancel what CUPS and the printer have of ours, tell the audit log.

    Raises ControlError while a daemon lives, whose documents these are; DeviceError when the
    printer does not answer or stop within PURGE_S: the next start of the daemon tries again.
    """
    if await _lives(settings.control.socket):
        raise ControlError("kioskd runs, and a visit may: stop it first (systemctl stop kioskd)")
    Spool(settings.documents.spool).prepare()
    try:
        await _purge_printer(settings)
    except DeviceError as error:
        await asyncio.to_thread(_tell, settings, PurgeFailed(reason=error.reason))
        raise
    await asyncio.to_thread(_tell, settings, PurgeDone())


async def _purge_printer(settings: Settings) -> None:
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


def _tell(settings: Settings, event: AuditEvent) -> None:
    """Write one event. A daemon that has started meanwhile holds the log, and wipes for itself."""
    log_file = log_of(settings)
    try:
        log_file.open()
        log_file.append(event, datetime.now(UTC))
        log_file.sync()
    except OSError as error:
        log.warning("purge.not_told", error=error.strerror)
    finally:
        log_file.close()


async def _lives(socket: Path) -> bool:
    """Tell whether somebody listens at the control socket; a dead daemon's file is no sign."""
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_unix_connection(socket)
        writer.close()
        return True
    return False
