"""A connection to the sound server that leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pulsectl
import pulsectl_asyncio

CONNECT_S: Final = 2.0


class _Pending(set[asyncio.Future[None]]):
    """The futures that still wait, for the library fails them all when the server dies.

    One whose answer came in the same turn of the loop would make it raise in libpulse.
    """

    def __iter__(self) -> Iterator[asyncio.Future[None]]:
        return iter([one for one in super().__iter__() if not one.done()])


@contextlib.asynccontextmanager
async def connection(
    name: str, *, address: str | None = None, limit_s: float = CONNECT_S
) -> AsyncIterator[Any]:
    """Connect to the sound server as client `name`, and disconnect in any case.

    Raises PulseError, or TimeoutError after `limit_s`: pipewire-pulse lets a client in once
    PipeWire and the session manager have answered too, so a stop of any of the three shows.
    Cancelling ends the connection before anything else runs; libpulse would otherwise call
    back into what Python has freed.
    """
    pulse = pulsectl_asyncio.PulseAsync(name, server=address)
    pulse.waiting_futures = _Pending()
    try:  # its own `async with` keeps the socket of a connection that was never made
        async with asyncio.timeout(limit_s):
            await pulse.connect()
        yield pulse
    except pulsectl.PulseDisconnected as error:  # which is no PulseError
        raise pulsectl.PulseError("the sound server has gone") from error
    finally:
        pulse.close()
