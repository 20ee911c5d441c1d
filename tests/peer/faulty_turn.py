"""A TURN and STUN server with faults on demand: it loses, relays to nobody, or is dumb.

Speaks what RFC 8656 wants of a client that binds channels. What needs no fault is tried with
coturn (turn_server.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aioice import stun
from aioice.turn import is_channel_data, make_integrity_key

REALM = "test"
USER, PASSWORD = "kiosk", "secret"


class _Relay(asyncio.DatagramProtocol):
    """An allocation's relayed address."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        channel = self.client.channels.get(addr)
        if channel is not None:
            self.client.send(struct.pack("!HH", channel, len(data)) + data)


class Client:
    """One client of the server, over one socket or one address."""

    def __init__(self, server: TurnServer, address: tuple[str, int], send: Any) -> None:
        self.server = server
        self.address = address
        self.send: Callable[[bytes], None] = send
        self.channels: dict[tuple[str, int], int] = {}
        self.relay: _Relay | None = None
        self._nonce = os.urandom(8)
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    def take(self, data: bytes) -> None:
        if self.server.dumb:
            return
        if is_channel_data(data):
            self._relay(data)
            return
        message = stun.parse_message(data)
        if message.message_method is stun.Method.BINDING:
            self._answer(message, {"XOR-MAPPED-ADDRESS": self.address})
        elif self._known(message, data):
            task = asyncio.create_task(self._do(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        if self.relay is not None and self.relay.transport is not None:
            self.relay.transport.close()
        self.relay = None

    def _relay(self, data: bytes) -> None:
        number, length = struct.unpack("!HH", data[:4])
        self._count += 1
        if self.server.loses and self._count % self.server.loses == 0:
            return
        peer = next((one for one, channel in self.channels.items() if channel == number), None)
        if peer is not None and self.relay is not None and self.relay.transport is not None:
            self.relay.transport.sendto(data[4 : 4 + length], peer)

    def _known(self, message: stun.Message, data: bytes) -> bool:
        key = make_integrity_key(USER, REALM, PASSWORD)
        name = message.attributes.get("USERNAME")
        if "MESSAGE-INTEGRITY" in message.attributes and name == USER:
            with contextlib.suppress(ValueError):
                if stun.parse_message(data).check_message_integrity(key):
                    return True
        more = {"REALM": REALM, "NONCE": self._nonce}
        self._answer(message, {"ERROR-CODE": (401, "Unauthorized"), **more}, stun.Class.ERROR)
        return False

    async def _do(self, message: stun.Message) -> None:
        key = make_integrity_key(USER, REALM, PASSWORD)
        attributes: dict[str, Any] = {}
        match message.message_method:
            case stun.Method.ALLOCATE:
                loop = asyncio.get_running_loop()
                transport, self.relay = await loop.create_datagram_endpoint(
                    lambda: _Relay(self), local_addr=("127.0.0.1", 0)
                )
                attributes = {
                    "LIFETIME": 600,
                    "XOR-MAPPED-ADDRESS": self.address,
                    "XOR-RELAYED-ADDRESS": transport.get_extra_info("sockname"),
                }
            case stun.Method.CHANNEL_BIND:
                if self.server.lonely:
                    forbidden = {"ERROR-CODE": (403, "Forbidden")}
                    self._answer(message, forbidden, stun.Class.ERROR, key)
                    return
                peer = message.attributes["XOR-PEER-ADDRESS"]
                self.channels[peer] = message.attributes["CHANNEL-NUMBER"]
            case stun.Method.REFRESH:
                attributes = {"LIFETIME": message.attributes["LIFETIME"]}
                if not attributes["LIFETIME"]:
                    self.close()
        self._answer(message, attributes, key=key)

    def _answer(
        self,
        message: stun.Message,
        attributes: dict[str, Any],
        kind: stun.Class = stun.Class.RESPONSE,
        key: bytes | None = None,
    ) -> None:
        answer = stun.Message(message.message_method, kind, message.transaction_id, attributes)
        if key is not None:
            answer.add_message_integrity(key)
        self.send(bytes(answer))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: TurnServer) -> None:
        self._server = server
        self._transport: Any = None
        self._clients: dict[tuple[str, int], Client] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        client = self._clients.get(addr)
        if client is None:
            client = Client(self._server, addr, lambda out: self._transport.sendto(out, addr))
            self._clients[addr] = client
            self._server.clients.append(client)
        client.take(data)


class TurnServer:
    """Listens on free ports of 127.0.0.1: `udp`, `tcp` and, given a context, `tls`.

    `dumb` answers nothing; `loses` drops each so-many-th relayed packet; `lonely` relays to
    nobody.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.udp = self.tcp = self.tls = 0
        self.dumb = False
        self.lonely = False
        self.loses = 0
        self.clients: list[Client] = []
        self._context = context
        self._closing: list[Callable[[], Any]] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=("127.0.0.1", 0)
        )
        self.udp = transport.get_extra_info("sockname")[1]
        self._closing.append(transport.close)
        self.tcp = await self._listen(None)
        if self._context is not None:
            self.tls = await self._listen(self._context)
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.clients:
            client.close()
        for close in self._closing:
            close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _listen(self, context: ssl.SSLContext | None) -> int:
        server = await asyncio.start_server(self._stream, "127.0.0.1", 0, ssl=context)
        self._closing.append(server.close)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        client = Client(
            self,
            writer.get_extra_info("peername"),
            lambda out: writer.write(out + bytes(-len(out) % 4)),
        )
        self.clients.append(client)
        try:
            await _serve(reader.readexactly, client)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._connections.discard(task)
            client.close()
            writer.transport.abort()


async def _serve(read: Callable[[int], Awaitable[bytes]], client: Client) -> None:
    while True:
        head = await read(4)
        length = struct.unpack("!HH", head)[1]
        length += -length % 4
        client.take(head + await read(length if is_channel_data(head) else length + 16))
