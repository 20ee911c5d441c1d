"""The line between kiosk and broker: a TCP relay that can be slow, half-open or gone."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Self


class Line(StrEnum):
    """How the line is. HALF_OPEN takes everything and hands nothing on, as a dead NAT does."""

    GOOD = "good"
    SLOW = "slow"
    HALF_OPEN = "half-open"
    REFUSED = "refused"


class Relay:
    """Relays loopback connections to `port`; `address` is where to connect."""

    def __init__(self, port: int, delay_s: float = 0.4) -> None:
        self.address = ("127.0.0.1", 0)
        self._port = port
        self._delay_s = delay_s
        self._line = Line.GOOD
        self._good = asyncio.Event()
        self._good.set()
        self._living = object()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def set(self, line: Line) -> None:
        """Change the line; REFUSED also cuts what is connected."""
        self._line = line
        (self._good.clear if line is Line.HALF_OPEN else self._good.set)()
        if line is Line.REFUSED:
            await self._close()
        elif self._server is None:
            await self._listen()

    def strand(self) -> None:
        """Let what is connected carry nothing any more; new connections do."""
        self._living = object()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, *self.address)
        self.address = self._server.sockets[0].getsockname()

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        living = self._living
        try:
            far, out = await asyncio.open_connection("127.0.0.1", self._port)
            pumps = [
                asyncio.create_task(self._pump(near, out, living)),
                asyncio.create_task(self._pump(far, back, living)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
                out.close()
        except OSError:
            return  # there is no broker: the connection ends
        finally:
            back.close()
            self._tasks.discard(task)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, living: object
    ) -> None:
        while data := await source.read(65536):
            if living is not self._living:
                continue
            if self._line is Line.SLOW:
                await asyncio.sleep(self._delay_s)
            await self._good.wait()
            sink.write(data)
            await sink.drain()
