"""Which STUN and which TURN server a leg uses: of all that are configured, asked side by side.

aiortc takes the first of each kind, waits 5 s for one that is dead, and goes on without a word
where one refuses the password. A town hall's firewall lets UDP through, or TCP, or TLS on port
443 alone: hence the same TURN server is configured by several transports, best first.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Any, Final, cast

import structlog
from aioice import stun, turn
from aioice.ice import get_host_addresses
from aiortc.rtcicetransport import parse_stun_turn_uri

log = structlog.get_logger(__name__)

WITHIN_S: Final = 2.5
"""How long the servers are waited for: an allocation is two round trips, TCP and TLS three more
(RFC 8656, section 7), and a satellite's takes 0.6 s. A call is not held up for longer."""
GRACE_S: Final = 0.3
"""How long one that is listed earlier is waited for, once a later one has answered."""
VALID_S: Final = 120.0
"""How long a choice holds; the path's death ends it earlier."""


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server, as `stun:host:port` or `turn(s):host:port?transport=udp|tcp`."""

    url: str
    username: str | None = None
    credential: str | None = None

    @property
    def relays(self) -> bool:
        """True for TURN."""
        return self.url.startswith("turn")


class IceServers:
    """Keeps the choice for the legs of one kiosk.

    `look` begins to ask, so that the answers are there when a call needs them.
    """

    def __init__(self, servers: Sequence[IceServer]) -> None:
        self._servers = tuple(servers)
        self._asking: asyncio.Task[list[IceServer]] | None = None
        self._asked_at = 0.0

    def look(self, *, anew: bool = False) -> None:
        """Ask the servers, unless that was done lately; `anew`: the network may be another."""
        if anew or self._asking is None or time.monotonic() - self._asked_at > VALID_S:
            self._asked_at = time.monotonic()
            before, self._asking = (
                self._asking,
                asyncio.create_task(choose(self._servers), name="ice servers"),
            )
            if before is not None:
                before.cancel()

    async def best(self) -> list[IceServer]:
        """Return at most one STUN and one TURN server that answer, within WITHIN_S."""
        self.look()
        assert self._asking is not None
        # Not the task itself: whoever waits may be cancelled, and the answer is for others too.
        done, _ = await asyncio.wait([self._asking])
        task = done.pop()
        return [] if task.cancelled() else task.result()

    async def close(self) -> None:
        """Ask nobody any more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])


def addresses() -> frozenset[str]:
    """Return the machine's own addresses, from which candidates are gathered."""
    return frozenset(get_host_addresses(use_ipv4=True, use_ipv6=True))


def network() -> frozenset[IPv4Address | IPv6Network]:
    """Return what tells one line of the machine from another.

    Its IPv4 addresses, or the IPv6 networks where it has none: an address of those is another each
    day (RFC 8981).
    """
    found = [ip_address(one) for one in addresses()]
    old = frozenset(one for one in found if isinstance(one, IPv4Address))
    return old or frozenset(IPv6Network((int(one), 64), strict=False) for one in found)


async def choose(servers: Sequence[IceServer]) -> list[IceServer]:
    """Ask all at once; return the best STUN and the best TURN server of those that answer.

    The best is the first in order, of those that answer within GRACE_S of the fastest. Never
    raises for a server's sake; what fails is logged.
    """
    best = await asyncio.gather(
        _first([one for one in servers if not one.relays]),
        _first([one for one in servers if one.relays]),
    )
    return [one for one in best if one is not None]


async def _first(servers: Sequence[IceServer]) -> IceServer | None:
    asked = [asyncio.create_task(_answers(one), name=f"ask {one.url}") for one in servers]
    limit = time.monotonic() + WITHIN_S
    patient = True
    try:
        while True:
            good = [one for one, task in zip(servers, asked, strict=True) if _good(task)]
            open_ = [task for task in asked if not task.done()]
            # The first that answers, or may still: all before it have failed.
            first = next((task for task in asked if not task.done() or task.result()), None)
            if first is None or first.done() or not open_:
                return good[0] if good else None
            if good and patient:
                patient, limit = False, min(limit, time.monotonic() + GRACE_S)
            left = max(0.0, limit - time.monotonic())
            done, _ = await asyncio.wait(open_, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return good[0] if good else None
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


def _good(task: asyncio.Task[bool]) -> bool:
    return task.done() and task.result()


async def _answers(server: IceServer) -> bool:
    """Tell whether a server does what it is for; what is wrong with it is logged."""
    try:
        parsed = parse_stun_turn_uri(server.url)
        work: Coroutine[Any, Any, None] = (
            _allocate(parsed, server) if server.relays else _bind(parsed["host"], parsed["port"])
        )
        async with asyncio.timeout(WITHIN_S):
            await work
    except (OSError, ssl.SSLError, stun.TransactionError, TimeoutError, ValueError) as error:
        log.warning("ice.server_fails", url=server.url, error=str(error) or "no answer")
        return False
    return True


async def _allocate(parsed: dict[str, Any], server: IceServer) -> None:
    """Make an allocation, as a call does, and give it back."""
    transport, _ = await turn.create_turn_endpoint(
        asyncio.DatagramProtocol,
        server_addr=(parsed["host"], parsed["port"]),
        username=server.username,
        password=server.credential,
        ssl=parsed["scheme"] == "turns" or None,
        transport=parsed["transport"] or "udp",
    )
    transport.close()


class _Asking(asyncio.DatagramProtocol):
    """A STUN client for one request (RFC 8489, section 6.2.1)."""

    def __init__(self) -> None:
        self.request = stun.Message(
            message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST
        )
        self.transaction = stun.Transaction(self.request, ("", 0), self)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:  # noqa: ARG002
        if self._transport is not None:
            self._transport.sendto(bytes(message))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        with contextlib.suppress(ValueError):  # something else that came to this port
            message = stun.parse_message(data)
            if message.transaction_id == self.request.transaction_id:
                self.transaction.response_received(message, addr)


async def _bind(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    transport, asking = await loop.create_datagram_endpoint(_Asking, remote_addr=(host, port))
    try:
        await asking.transaction.run()
    finally:
        transport.close()
