"""Keeps the screen's Chromium, in a process and a unit of its own (kioskd-screen.service).

Chromium keeps in its memory what it has shown: an agent's name, a document's, pictures of pages.
So each visit has a Chromium of its own, with a profile of its own in RAM. The next one is begun
beside the old one, which is ended, with all its processes, once the new one draws: the screen is
never dark between two visits, and a touch finds a page. One that has crashed, or draws no more,
is replaced. Without a daemon none is begun: there is no page; one that is there says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import structlog

from kioskd.errors import ScreenError
from kioskd.runtime.children import Child
from kioskd.screen import entry
from kioskd.screen.orders import HEARTBEAT_S, Order

log = structlog.get_logger(__name__)

RETRY_S: Final = 0.5
ANSWER_S: Final = 5.0
LOOK_S: Final = 0.5
START_S: Final = 40.0
"""How long a new Chromium may take until it draws: twenty times what it takes here."""
TRIES: Final = 3
HANG_S: Final = 4.0
"""A Chromium whose page is not among those that draw for so long is replaced; the daemon itself
waits MUTE_S before it says so."""
STOP_S: Final = 0.5
"""How long a Chromium may take to end before it is killed: it has nothing to save."""
FLAGS: Final = (
    "--kiosk",
    "--incognito",
    "--noerrdialogs",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-features=OptimizationHints,MediaRouter",
    "--disable-pinch",
    "--overscroll-history-navigation=0",
    "--password-store=basic",
    "--force-dark-mode",
)
"""No dialogs, no requests of its own, no crash reports (they hold memory), no way off the page;
dark, so that a window that is new does not flash."""


@dataclass(eq=False, slots=True)
class _Chromium:
    """A Chromium that runs. `drawn`: when it was seen to draw last, `begun` at first."""

    life: str
    name: str
    folder: Path
    child: Child
    begun: float
    drawn: float

    @property
    def ended(self) -> bool:
        return self.child.exited.is_set()

    async def stop(self) -> None:
        await self.child.stop(terminate_s=STOP_S)
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)


class Keeper:
    """Shows the page that `entry_file` leads to, in what `command` starts.

    `folder`, which must be in RAM and nobody else's, is emptied and holds the profiles.
    """

    def __init__(self, *, entry_file: Path, folder: Path, command: Sequence[str]) -> None:
        self._entry = entry_file
        self._folder = folder
        self._command = [*command, *FLAGS]
        self._address = ""
        self._order: Order | None = None
        self._news = asyncio.Event()
        self._shown: _Chromium | None = None
        self._coming: _Chromium | None = None
        self._failed = 0

    async def run(self) -> None:
        """Keep it until cancelled. Raises ScreenError when it comes to nothing TRIES times."""
        await asyncio.to_thread(_empty, self._folder)
        listening = asyncio.create_task(self._listen(), name="orders")
        try:
            while not listening.done():
                self._news.clear()
                await self._look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._news.wait()
            listening.result()  # it ends by an error only
        finally:
            listening.cancel()
            await asyncio.wait([listening])
            for one in (self._shown, self._coming):
                if one is not None:
                    await one.stop()

    # -- the daemon's orders -------------------------------------------------------

    async def _listen(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                address = await asyncio.to_thread(entry.address, self._entry)
                if address is not None:
                    with contextlib.suppress(aiohttp.ClientError, OSError, ValueError):
                        await self._follow(session, address)
                self._order = None
                await asyncio.sleep(RETRY_S)

    async def _follow(self, session: aiohttp.ClientSession, address: str) -> None:
        async with asyncio.timeout(ANSWER_S):
            socket = await session.ws_connect(f"{address}orders", heartbeat=HEARTBEAT_S)
        async with socket:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._address = address
                    self._take(Order.model_validate_json(message.data))

    def _take(self, order: Order) -> None:
        now = time.monotonic()
        for one in (self._shown, self._coming):
            # Nobody saw it draw while the daemon was away.
            if one is not None and (self._order is None or one.name in order.drawing):
                one.drawn = now
        self._order = order
        self._news.set()

    # -- Chromium ------------------------------------------------------------------

    async def _look(self) -> None:
        order = self._order
        if order is None:
            return
        await self._look_at_shown(order)
        coming = self._coming
        if coming is None:
            if self._shown is None or self._shown.life != order.life:
                await self._begin(order.life)
        elif coming.name in order.drawing:
            await self._take_over(coming)
        elif coming.ended or time.monotonic() - coming.begun > START_S:
            self._coming = None
            await coming.stop()
            self._failed_once("it ended" if coming.ended else "it does not draw")

    async def _look_at_shown(self, order: Order) -> None:
        shown = self._shown
        if shown is None:
            return
        if shown.name in order.drawing:
            shown.drawn = time.monotonic()
        if shown.ended or time.monotonic() - shown.drawn > HANG_S:
            log.warning("screen.lost", ended=shown.ended)
            self._shown = None
            await shown.stop()

    async def _take_over(self, coming: _Chromium) -> None:
        before, self._shown, self._coming = self._shown, coming, None
        self._failed = 0
        log.info("screen.shown", after_s=round(time.monotonic() - coming.begun, 2))
        if before is not None:
            await before.stop()

    async def _begin(self, life: str) -> None:
        name = secrets.token_hex(4)
        folder = self._folder / name
        # The address holds the screen's token: Chromium finds it in a file, and nobody else does.
        lead = folder / "lead.html"
        await asyncio.to_thread(folder.mkdir, 0o700)
        await asyncio.to_thread(entry.write, lead, f"{self._address}?screen={name}")
        child = Child(
            "chromium",
            [*self._command, f"--user-data-dir={folder / 'profile'}", lead.as_uri()],
            env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)},
        )
        now = time.monotonic()
        try:
            await child.start()
        except OSError as error:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            self._failed_once(str(error))
        else:
            self._coming = _Chromium(life, name, folder, child, begun=now, drawn=now)

    def _failed_once(self, why: str) -> None:
        self._failed += 1
        log.warning("screen.not_shown", why=why, tries=self._failed)
        if self._failed >= TRIES:
            # Not Chromium alone, then: the unit, with the Wayland session, is begun anew.
            raise ScreenError(f"Chromium does not come up: {why}")


def _empty(folder: Path) -> None:
    """Remove what an earlier life has left."""
    for one in folder.iterdir():
        shutil.rmtree(one, ignore_errors=True)
