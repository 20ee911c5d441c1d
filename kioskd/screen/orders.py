"""What the daemon tells the keeper of the screen's Chromium, over a WebSocket beside the pages'.

An order names the life that Chromium shall have: one that was begun for another life shows, and
holds in its memory, what the next resident must not find. It also tells which pages draw: a page
that was opened as `?screen=NAME` says so each second, as long as its drawing reaches the screen.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict

MUTE_S: Final = 4.0
"""A page that has not drawn for so long does not count; it tells each second that it does."""
TELL_S: Final = 0.5
"""How often is looked whether a page has fallen silent."""
HEARTBEAT_S: Final = 5.0
LIMIT_BYTES: Final = 4096


class Order(BaseModel):
    """Daemon to keeper, as JSON text, at each change: the life to have, the pages that draw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    life: str
    drawing: tuple[str, ...]


class Orders:
    """Knows which named pages draw, and tells every keeper that is connected."""

    def __init__(self) -> None:
        self._daemon = secrets.token_hex(4)
        self._visits = 0
        self._drawn: dict[str, float] = {}
        self._keepers: dict[web.WebSocketResponse, asyncio.Event] = {}

    @property
    def kept(self) -> bool:
        """True while a keeper is connected."""
        return bool(self._keepers)

    @property
    def keepers(self) -> list[web.WebSocketResponse]:
        """Their connections."""
        return list(self._keepers)

    @property
    def drawing(self) -> tuple[str, ...]:
        """The names of the pages that draw now."""
        since = time.monotonic() - MUTE_S
        return tuple(sorted(name for name, at in self._drawn.items() if at >= since))

    def begin_anew(self) -> None:
        """Let Chromium begin a new life: a visit is over."""
        self._visits += 1
        self._tell()

    def drawn(self, name: str) -> None:
        """Note that a page has drawn."""
        new = name not in self.drawing
        self._drawn[name] = time.monotonic()
        if new:
            self._tell()

    def gone(self, name: str) -> None:
        """Note that a page has closed its connection."""
        if self._drawn.pop(name, None) is not None:
            self._tell()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve a keeper until it goes."""
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=LIMIT_BYTES, compress=False
        )
        await socket.prepare(request)
        news = self._keepers[socket] = asyncio.Event()
        sender = asyncio.create_task(self._send(socket, news), name="screen's keeper")
        try:
            async for _ in socket:
                pass  # it has nothing to say
        finally:
            del self._keepers[socket]
            sender.cancel()
            await asyncio.wait([sender])
        return socket

    def _tell(self) -> None:
        for news in self._keepers.values():
            news.set()

    async def _send(self, socket: web.WebSocketResponse, news: asyncio.Event) -> None:
        told: Order | None = None
        try:
            while True:
                news.clear()
                order = Order(life=f"{self._daemon}-{self._visits}", drawing=self.drawing)
                if order != told:
                    await socket.send_str(order.model_dump_json())
                    told = order
                try:
                    async with asyncio.timeout(TELL_S):
                        await news.wait()
                except TimeoutError:
                    continue  # a page may have fallen silent
        except ConnectionError:
            return  # the keeper has gone; its reader ends the connection
