"""Out of service, because a technician wants it: no new visit, and a running one is not cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from kioskd.audit.events import AuditEvent, MaintenanceBegun, MaintenanceEnded
from kioskd.control.api import Done, MaintenanceStage, MaintenanceStatus
from kioskd.runtime import maintenance as note

log = structlog.get_logger(__name__)


class Maintenance:
    """Begins when nobody is at the kiosk, as `idle` tells, and ends at once.

    `on_change()` shows it to people, `audit` is told of it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        idle: Callable[[], bool],
        on_change: Callable[[], None],
        audit: Callable[[AuditEvent], None],
    ) -> None:
        self.begun = False
        """True while no call can be placed and people are told so."""
        self._folder = folder
        self._idle = idle
        self._on_change = on_change
        self._audit = audit
        self._since: float | None = None
        self._writing = asyncio.Lock()

    @property
    def wanted(self) -> bool:
        """True from the moment it was asked for: nobody new is let in."""
        return self._since is not None

    @property
    def status(self) -> MaintenanceStatus:
        """What kioskctl shows."""
        stage = MaintenanceStage.ON if self.begun else MaintenanceStage.AFTER_VISIT
        return MaintenanceStatus(
            stage=stage if self.wanted else MaintenanceStage.OFF, since=self._since
        )

    def load(self) -> None:
        """Learn what an earlier life of the daemon was told. Blocks for a moment."""
        self._since = note.load(self._folder)

    def follow(self) -> None:
        """Begin if it is wanted and a visit has just ended; call when the visit moved."""
        if self.wanted and not self.begun and self._idle():
            self._set(begun=True)

    async def ask(self, *, on: bool) -> Done:
        """Do what a technician asks for, and keep it over a restart where the disk allows."""
        async with self._writing:
            if on != self.wanted:
                self._since = time.time() if on else None
            if not on and self.begun:
                self._set(begun=False)
            self.follow()
            try:
                await asyncio.to_thread(note.save, self._folder, self._since)
            except OSError as error:
                log.warning("maintenance.not_kept", error=str(error))
                return Done(done=True, message=self._said(), warning=self._lost(error))
            return Done(done=True, message=self._said())

    def _set(self, *, begun: bool) -> None:
        self.begun = begun
        if begun:
            log.warning("maintenance.begun")
        else:
            log.info("maintenance.ended")
        self._audit(MaintenanceBegun() if begun else MaintenanceEnded())
        self._on_change()

    def _said(self) -> str:
        if not self.wanted:
            return "maintenance is off: calls can be placed"
        if self.begun:
            return "maintenance is on: no calls; the screen and the agents are told"
        return "maintenance begins after this visit: a resident is at the kiosk"

    def _lost(self, error: OSError) -> str:
        then = "off" if self.wanted else "on"
        return f"after a restart of kioskd it will be {then} again: {error}"
