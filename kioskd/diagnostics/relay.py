"""STUN and TURN servers, each by the transport it is configured for: round trip and loss.

Through a TURN server packets go the whole way of a call: out to one allocation, over to a second
one at the same server, and back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from aioice import stun, turn
from aiortc.rtcicetransport import parse_stun_turn_uri

from kioskd.call.ice import IceServer
from kioskd.diagnostics.board import in_thread
from kioskd.diagnostics.findings import why

NAMES_S: Final = 2.0
SERVER_S: Final = 5.0
"""An allocation takes two round trips, TLS two more: RFC 8656, section 7."""
LAST_S: Final = 1.0
"""How long the last packet is waited for."""
OPEN_S: Final = 2.0
PACKETS: Final = 25
EVERY_S: Final = 0.02
SIZE: Final = 160
"""Half a second of speech: a packet each 20 ms, about as large as one of Opus."""
CLOSE_S: Final = 1.0
_STUN_STUNS: Final = ("stun", "stuns")


@dataclass(frozen=True, slots=True)
class Way:
    """What came of one server. `error` is "" where it answers; `refused`: it does not take us.

    `trip_s` is the median round trip, None where no packet came back; `loss` the share of
    packets that did not, 0.0 to 1.0. `carries` tells whether any did.
    """

    url: str
    transport: str
    trip_s: float | None = None
    loss: float = 1.0
    carries: bool = False
    error: str = ""
    refused: bool = False


class _Count:
    """Numbered packets that went out and came back."""

    def __init__(self) -> None:
        self._sent: dict[int, float] = {}
        self._all_back = asyncio.Event()
        self.trips: list[float] = []

    def sent(self, number: int) -> None:
        self._sent[number] = time.monotonic()

    def back(self, number: int) -> None:
        sent_at = self._sent.pop(number, None)
        if sent_at is not None:
            self.trips.append(time.monotonic() - sent_at)
            self._done()

    def _done(self) -> None:
        if len(self.trips) == PACKETS:
            self._all_back.set()

    async def send(self, one: Callable[[int], None]) -> None:
        """Send PACKETS packets and wait for the last."""
        for number in range(PACKETS):
            self.sent(number)
            one(number)
            await asyncio.sleep(EVERY_S)
        self._done()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await self._all_back.wait()

    def result(self, way: Way) -> Way:
        if not self.trips:
            return way
        middle = sorted(self.trips)[len(self.trips) // 2]
        loss = 1 - len(self.trips) / PACKETS
        return replace(way, trip_s=middle, loss=round(loss, 3), carries=True)


async def probe(server: IceServer) -> Way:
    """Go to one server. Takes 12 s at the most, and raises nothing for the server's sake."""
    try:
        parsed = parse_stun_turn_uri(server.url)
    except ValueError as error:
        return Way(server.url, "-", error=str(error))
    secure = parsed["scheme"] == "turns"
    transport = "tls" if secure else parsed.get("transport") or "udp"
    way = Way(server.url, transport)
    try:
        address = await _resolve(parsed["host"], parsed["port"])
        if parsed["scheme"] in _STUN_STUNS:
            return await _stun(address, way)
        named = (parsed["host"], parsed["port"]) if secure else address
        return await _turn(named, server, way)
    except TimeoutError:
        return replace(way, error="no answer")
    except stun.TransactionFailed as error:
        code = error.response.attributes.get("ERROR-CODE", (0, ""))
        return replace(way, error=f"{code[0]} {code[1]}".strip(), refused=True)
    except ssl.SSLCertVerificationError as error:
        return replace(way, error=error.verify_message)
    except ssl.SSLError as error:
        return replace(way, error=error.reason or str(error))
    except OSError as error:
        return replace(way, error=why(error))
    except stun.TransactionError as error:
        return replace(way, error=str(error) or "no answer")


async def _resolve(host: str, port: int) -> tuple[str, int]:
    async with asyncio.timeout(NAMES_S):
        found = await in_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM))
    address: Any = found[0][4]
    return str(address[0]), int(address[1])


class _StunClient(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.count = _Count()
        self._numbers: dict[bytes, int] = {}
        self._transport: Any = None
        self.error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def error_received(self, exc: Exception) -> None:
        self.error = exc

    def send(self, number: int) -> None:
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        self._numbers[request.transaction_id] = number
        self._transport.sendto(bytes(request))

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002
        with contextlib.suppress(ValueError):  # something else that came to this port
            number = self._numbers.get(stun.parse_message(data).transaction_id)
            if number is not None:
                self.count.back(number)


async def _stun(address: tuple[str, int], way: Way) -> Way:
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(_StunClient, remote_addr=address)
    try:
        await client.count.send(client.send)
    finally:
        transport.close()
    if not client.count.trips:
        error = client.error
        return replace(way, error=why(error) if isinstance(error, OSError) else "no answer")
    return client.count.result(way)


class _Relayed(asyncio.DatagramProtocol):
    """One end of an allocation; `on_data(data, address)` gets what is relayed to it."""

    def __init__(self) -> None:
        self.on_data: Callable[[bytes, tuple[str, int]], None] = lambda _, __: None
        self.gone = asyncio.Event()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.on_data(data, addr)

    def error_received(self, exc: Exception) -> None:
        """A peer that the server does not relay to: seen by what does not come back."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.gone.set()


async def _turn(address: tuple[str, int], server: IceServer, way: Way) -> Way:
    ends: list[tuple[turn.TurnTransport, _Relayed]] = []
    try:
        for _ in range(2):
            async with asyncio.timeout(SERVER_S):
                ends.append(
                    await turn.create_turn_endpoint(
                        _Relayed,
                        server_addr=address,
                        username=server.username,
                        password=server.credential,
                        ssl=way.transport == "tls" or None,
                        transport="udp" if way.transport == "udp" else "tcp",
                    )
                )
        return await _through(ends, way)
    finally:
        for transport, _ in ends:
            transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                for _, protocol in ends:
                    await protocol.gone.wait()


async def _through(ends: list[tuple[turn.TurnTransport, _Relayed]], way: Way) -> Way:
    (near, here), (far, there) = ends
    far_address = far.get_extra_info("sockname")
    near_address = near.get_extra_info("sockname")
    there.on_data = lambda data, _: far.sendto(data, near_address)
    count, opened = _Count(), asyncio.Event()

    def back(data: bytes, _: tuple[str, int]) -> None:
        opened.set()
        count.back(int.from_bytes(data[:4], "big"))

    here.on_data = back
    # Each end must have sent to the other before the server lets the other's packets in.
    until = time.monotonic() + OPEN_S
    while not opened.is_set() and time.monotonic() < until:
        far.sendto(bytes(SIZE), near_address)
        near.sendto(b"\xff" * SIZE, far_address)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5 * EVERY_S):
                await opened.wait()
    if opened.is_set():
        await count.send(
            lambda number: near.sendto(number.to_bytes(4, "big").ljust(SIZE, b"."), far_address)
        )
    return count.result(way)
