"""The watchdog that systemd holds over the daemon, fed only while everything moves.

Whoever does work that must end in a known time says so on a `Pulse`; a pulse that is
overdue means that something hangs, and then systemd hears nothing more and starts the
daemon again (WatchdogSec= in the unit). Waiting for a broker, a device or a resident is no
work: a pulse at rest is never overdue, so that a dead network or a missing device do not
restart the kiosk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import weakref
from collections.abc import Iterator
from typing import Final

import structlog

from kioskd.runtime.notify import notify

log = structlog.get_logger(__name__)

FEEDS_PER_PERIOD: Final = 3
"""sd_watchdog_enabled(3) asks for two; a third bears one that comes late."""
LOOK_S: Final = 3.0
"""How often pulses are looked at where no service manager asks for it."""


class Pulse:
    """The sign of life of one piece of work; every living one is watched."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._due: float | None = None
        _pulses.add(self)

    def expect(self, seconds: float) -> None:
        """Promise the next sign within `seconds`."""
        self._due = time.monotonic() + seconds

    def rest(self) -> None:
        """Promise nothing until the next `expect`."""
        self._due = None

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Promise that the block ends within `seconds`."""
        self.expect(seconds)
        try:
            yield
        finally:
            self.rest()

    def overdue(self, now: float) -> bool:
        """Tell whether a promise was broken; `now` is of the monotonic clock."""
        return self._due is not None and now > self._due


_pulses: Final[weakref.WeakSet[Pulse]] = weakref.WeakSet()


def overdue() -> list[str]:
    """Return the names of what hangs."""
    now = time.monotonic()
    return sorted(pulse.name for pulse in _pulses if pulse.overdue(now))


async def run() -> None:
    """Feed systemd's watchdog until cancelled; say once what hangs, and when it goes on."""
    period = _period()
    hanging: list[str] = []
    while True:
        found = overdue()
        if found != hanging:
            tell = log.error if found else log.info
            tell("watchdog.overdue" if found else "watchdog.goes_on", names=found or hanging)
            hanging = found
        if not found and period is not None:
            notify("WATCHDOG=1")
        await asyncio.sleep(LOOK_S if period is None else period / FEEDS_PER_PERIOD)


def _period() -> float | None:
    """Return systemd's period in seconds; None where it does not watch us."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 1e6
    except (KeyError, ValueError):
        return None
