"""A talk that stands by while a call waits: its offer is made, and can be sent at once.

To gather takes a round trip or two to the STUN and TURN servers, on a satellite a second. It does
not touch camera or microphone: a talk's tracks are read once its leg is connected, and the devices
are opened by the visit, when an agent has the call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from kioskd.app.talk import Talk
from kioskd.call.ice import addresses
from kioskd.errors import CallError
from kioskd.runtime.tasks import TaskOwner

log = structlog.get_logger(__name__)

NAME: Final = "standby"
FRESH_S: Final = 25.0
"""How long what a STUN or TURN server told is good for. A way through a router that nothing passes
is forgotten, by the worst of them after 30 s (RFC 4787, section 4.3, wants 2 minutes)."""
LOOK_S: Final = 2.0
"""How often the machine's addresses are looked at: Wi-Fi to 4G, a new lease."""
RETRY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Ready:
    talk: Talk
    addresses: frozenset[str]
    until: float
    """On the monotonic clock."""

    @property
    def good(self) -> bool:
        return time.monotonic() < self.until and self.addresses == addresses()


class Standby:
    """Keeps one talk ready from `begin` until it is taken, or its task NAME is cancelled.

    `make` returns a talk, and whether servers are to tell where it can be reached.
    """

    def __init__(self, tasks: TaskOwner, make: Callable[[], Awaitable[tuple[Talk, bool]]]) -> None:
        self._tasks = tasks
        self._make = make
        self._ready: _Ready | None = None
        self._making: Talk | None = None

    def begin(self) -> None:
        """Get a talk ready, and another whenever that one can no longer be used."""
        self._tasks.start(NAME, self._run())

    def take(self) -> Talk | None:
        """Hand the talk over, which is then the caller's to run; None when there is none."""
        talk = None
        if self._ready is not None and self._ready.good:
            talk, self._ready = self._ready.talk, None
        elif self._making is not None:
            talk, self._making = self._making, None
        self._tasks.cancel(NAME)
        return talk

    async def _run(self) -> None:
        try:
            while True:
                fresh = await self._gather()
                before, self._ready = self._ready, fresh
                if before is not None:
                    await before.talk.close()
                await _until_bad(fresh)
        finally:
            await self._end()

    async def _gather(self) -> _Ready:
        while True:
            here = addresses()
            talk, served = await self._make()
            until = time.monotonic() + FRESH_S if served else float("inf")
            self._making = talk
            try:
                await talk.prepare()
            except CallError as error:
                # Once more when the call is taken, and told then.
                log.debug("standby.failed", error=str(error))
                self._making = None
                await talk.close()
                await asyncio.sleep(RETRY_S)
            else:
                self._making = None
                return _Ready(talk, here, until)

    async def _end(self) -> None:
        left = [self._making, None if self._ready is None else self._ready.talk]
        self._making = self._ready = None
        closing = [asyncio.create_task(talk.close()) for talk in left if talk is not None]
        if closing:
            await asyncio.wait(closing)


async def _until_bad(ready: _Ready) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        if not ready.good:
            return
