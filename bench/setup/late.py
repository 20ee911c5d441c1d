"""TCP that arrives later: stands before the broker, and each end's messages take its time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Final

PIECE: Final = 64 * 1024


class LateTcp:
    """Takes connections on 127.0.0.1, `port`, and carries them on to `target`.

    Whatever comes from one side reaches the other `delay_s` later, in order.
    """

    def __init__(self, target: int, delay_s: float) -> None:
        self.port = 0
        self._target = target
        self._delay_s = delay_s
        self._ways: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[LateTcp]:
        """Carry as long as the block lasts."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for way in self._ways:
                way.cancel()
            await asyncio.gather(*self._ways, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        for one in (writer, back):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, target in ((reader, back), (there, writer)):
            way = asyncio.create_task(self._carry(source, target), name="late tcp")
            self._ways.add(way)
            way.add_done_callback(self._ways.discard)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()

        def give(piece: bytes) -> None:
            if not target.is_closing():
                target.write(piece)

        with contextlib.suppress(ConnectionError):
            while piece := await source.read(PIECE):
                loop.call_later(self._delay_s, give, piece)
        loop.call_later(self._delay_s, target.close)
