"""The watchdog: systemd hears from us only while everything of ours makes progress.

Each loop of the daemon has a pulse and beats it each time round; one that waits for the
network or a resident looks up now and then to do so. Nothing here depends on a device or
the network being there.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Final

import structlog

from kioskd.runtime.notify import notify

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 1.0
"""How often the pulses are looked at where no service manager asks for it."""


class Pulse:
    """The pulse of one loop; it is stale when it was not beaten for `limit_s` seconds."""

    def __init__(self, name: str, limit_s: float) -> None:
        self.name = name
        self._limit_s = limit_s
        self._last = time.monotonic()

    def beat(self) -> None:
        """Tell that the loop goes round."""
        self._last = time.monotonic()

    @property
    def stale(self) -> bool:
        """True when the loop should have gone round by now."""
        return time.monotonic() - self._last > self._limit_s


class Watchdog:
    """Sends WATCHDOG=1 (sd_notify(3)) while every pulse is fresh and nothing is `overdue`.

    `overdue(now)` names what else has not ended in its time, `now` on the loop's clock.
    """

    def __init__(self, *, overdue: Callable[[float], list[str]] = lambda _: []) -> None:
        self._pulses: list[Pulse] = []
        self._overdue = overdue
        self._told: set[str] = set()

    def pulse(self, name: str, limit_s: float) -> Pulse:
        """Make the pulse of a loop that starts now."""
        pulse = Pulse(name, limit_s)
        self._pulses.append(pulse)
        return pulse

    def stuck(self) -> list[str]:
        """Name what makes no progress; empty when all is well."""
        late = self._overdue(asyncio.get_running_loop().time())
        return [
            *(pulse.name for pulse in self._pulses if pulse.stale),
            *(f"worker {name}" for name in late),
        ]

    async def run(self) -> None:
        """Watch until cancelled, three times in the time that the service manager allows."""
        every = interval_s(os.environ) or LOOK_EVERY_S
        while True:
            stuck = self.stuck()
            if not stuck:
                notify("WATCHDOG=1")
            for name in sorted({*stuck} - self._told):
                log.error("watchdog.stuck", what=name)
            for name in sorted(self._told - {*stuck}):
                log.warning("watchdog.moves_again", what=name)
            self._told = {*stuck}
            await asyncio.sleep(every)


def interval_s(environment: os._Environ[str] | dict[str, str]) -> float | None:
    """Return a third of WATCHDOG_USEC in seconds, or None when no watchdog waits for us.

    sd_watchdog_enabled(3): WATCHDOG_PID, where set, must be our own.
    """
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        limit = int(environment.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return limit / 3e6 if limit > 0 else None
