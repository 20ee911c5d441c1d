"""A reconnecting MQTT 5 client over aiomqtt.

The broker is allowed to die at any time. Messages are queued while it is away, up to
OUTBOX of them and each no longer than its expiry; retained state is not queued but told
again by its owner at every connection (`on_connected`), because a broker that restarted
may have forgotten it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiomqtt
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

log = structlog.get_logger(__name__)

T = TypeVar("T")

KEEPALIVE_S: Final = 15
"""A frozen broker is noticed after about twice this."""
CONNECT_S: Final = 5.0
PUBLISH_S: Final = 5.0
HURRY_S: Final = 1.5
"""How long the acknowledgement may take where the connection is doubted: a satellite's round
trip is 0.6 s."""
OUTBOX: Final = 200
AT_ONCE: Final = 10
"""Messages that wait for their acknowledgement; a broker takes 20 (Mosquitto's default)."""
BEAT_S: Final = 5.0
LONGEST_ROUND_S: Final = 120.0
"""The longest wait between attempts, and an attempt whose every step takes all its time."""
BACK_OFF_S: Final = (0.2, 30.0)
"""First and longest wait between attempts; the wait is random up to the bound, so that many
kiosks do not come back at the same instant."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and who we are to it."""

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send. `expiry_s` is MQTT's message expiry, whole seconds."""

    topic: str
    payload: bytes
    retain: bool = False
    expiry_s: int | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Subscribe to `topic`."""

    topic: str


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Unsubscribe from `topic`."""

    topic: str


@dataclass(slots=True)
class _Queued:
    what: Message | Watch | Unwatch
    at: float


class Link:
    """Keeps one connection to the broker alive while `run` runs.

    `on_message(topic, payload)` gets every message of the subscriptions;
    `on_connected()` returns the messages that restore our retained state;
    `on_change(online)` is told when the broker comes and goes; `beat()` is called at every
    attempt and each BEAT_S of a connection, so that a wedged link is told from an absent broker.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        subscriptions: Sequence[str],
        will: Message,
        on_message: Callable[[str, bytes], None],
        on_connected: Callable[[], Sequence[Message]],
        on_change: Callable[[bool], None],
        back_off_s: tuple[float, float] = BACK_OFF_S,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.online = False
        self.dropped = 0
        self._address = address
        self._subscriptions = subscriptions
        self._will = will
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_change = on_change
        self._back_off_s = back_off_s
        self._beat = beat
        self._outbox: deque[_Queued] = deque()
        self._watched: str | None = None
        self._doubted = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def publish(self, message: Message) -> None:
        """Queue a message; the oldest goes when OUTBOX wait."""
        self._queue(_Queued(message, time.monotonic()))

    def _queue(self, queued: _Queued) -> None:
        if len(self._outbox) >= OUTBOX:
            self._outbox.popleft()
            self.dropped += 1
        self._outbox.append(queued)
        self._idle.clear()
        self._wake.set()

    def hurry(self) -> None:
        """The way to the world may have changed: doubt the connection.

        A message that is not acknowledged within HURRY_S makes it anew. The keepalive
        would notice an address that is gone only after half a minute.
        """
        self._doubted = True

    def watch(self, topic: str | None) -> None:
        """Subscribe to one more topic, in place of the one watched before; None for none."""
        before, self._watched = self._watched, topic
        if before is not None:
            self._queue(_Queued(Unwatch(before), time.monotonic()))
        if topic is not None:
            self._queue(_Queued(Watch(topic), time.monotonic()))

    async def flush(self, timeout: float) -> None:
        """Wait until all queued messages are acknowledged, `timeout` seconds at the most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._idle.wait()

    async def run(self) -> None:
        """Connect, serve, reconnect, until cancelled. Never raises for the broker's sake."""
        wait = self._back_off_s[0]
        away_since: float | None = None
        while True:
            self._beat()
            try:
                await self._session()
            except (aiomqtt.MqttError, OSError, TimeoutError) as error:
                if self.online:
                    wait, away_since = self._back_off_s[0], None
                if away_since is None:  # once per outage
                    away_since = time.monotonic()
                    log.warning("broker.lost", error=repr(error))
            finally:
                self._set_online(False)
            await asyncio.sleep(random.uniform(0.1, wait))  # noqa: S311  (not a secret)
            wait = min(wait * 2, self._back_off_s[1])

    async def _session(self) -> None:
        """Serve one connection; ends by an error only."""
        client = self._client()
        try:
            async with client:
                watched = () if self._watched is None else (self._watched,)
                for topic in (*self._subscriptions, *watched):
                    await _firmly(client.subscribe(topic, qos=1))
                for message in self._on_connected():
                    await self._send(client, message, message.expiry_s)
                self._set_online(True)
                log.info("broker.connected", host=self._address.host, port=self._address.port)
                await self._serve(client)
        finally:
            reap(client)

    async def _serve(self, client: aiomqtt.Client) -> None:
        # No TaskGroup: before Python 3.13 it leaves its parent's cancelling() raised after a
        # child's error, and _firmly goes by that.
        tasks = [
            asyncio.create_task(self._receive(client), name="broker receive"),
            asyncio.create_task(self._transmit(client), name="broker transmit"),
        ]
        try:
            done: set[asyncio.Task[None]] = set()
            while not done:
                self._beat()
                done, _ = await asyncio.wait(
                    tasks, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    def _client(self) -> aiomqtt.Client:
        """Make a client for one connection; a used one would replay paho's own queue."""
        will = aiomqtt.Will(self._will.topic, self._will.payload, 1, retain=True)
        return aiomqtt.Client(
            self._address.host,
            self._address.port,
            identifier=self._address.client_id,
            username=self._address.username,
            password=self._address.password,
            tls_context=self._address.tls,
            protocol=aiomqtt.ProtocolVersion.V5,
            will=will,
            clean_start=True,
            keepalive=KEEPALIVE_S,
            timeout=CONNECT_S,
            max_queued_incoming_messages=1000,
        )

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload
            if isinstance(payload, bytes):
                self._on_message(message.topic.value, payload)
            del message, payload  # or the last one is kept until another comes

    async def _transmit(self, client: aiomqtt.Client) -> None:
        """Send what is queued, in order, without waiting for one's answer before the next.

        Else each message would take the broker's round trip, and an offer wait behind two others.
        What has no answer when the connection ends is sent again on the next.
        """
        under_way: dict[asyncio.Task[None], _Queued] = {}
        news = asyncio.create_task(self._wake.wait(), name="broker outbox")
        try:
            while True:
                self._wake.clear()
                for queued in self._due(list(under_way.values())):
                    task = asyncio.create_task(self._hand_over(client, queued), name="broker send")
                    under_way[task] = queued
                if not self._outbox and not under_way:
                    self._idle.set()
                if news.done():
                    news = asyncio.create_task(self._wake.wait(), name="broker outbox")
                done, _ = await asyncio.wait(
                    {news, *under_way}, return_when=asyncio.FIRST_COMPLETED
                )
                for answered in [task for task in under_way if task in done]:
                    queued = under_way.pop(answered)
                    answered.result()
                    # publish() may have dropped it meanwhile, to make room
                    self._outbox = deque(one for one in self._outbox if one is not queued)
        finally:
            for one in (news, *under_way):
                one.cancel()
            await asyncio.gather(news, *under_way, return_exceptions=True)

    def _due(self, under_way: list[_Queued]) -> list[_Queued]:
        fresh = [one for one in self._outbox if not any(one is other for other in under_way)]
        return fresh[: AT_ONCE - len(under_way)]

    async def _hand_over(self, client: aiomqtt.Client, queued: _Queued) -> None:
        """Send one; return when the broker has answered. Up to then nothing is awaited first."""
        match queued.what:
            case Watch(topic):
                await _firmly(client.subscribe(topic, qos=1))
            case Unwatch(topic):
                await _firmly(client.unsubscribe(topic))
            case Message(expiry_s=None) as message:
                await self._send(client, message, None)
            case Message(expiry_s=int(expiry_s)) as message:
                left = expiry_s - int(time.monotonic() - queued.at)
                if left > 0:
                    await self._send(client, message, left)

    async def _send(self, client: aiomqtt.Client, message: Message, expiry_s: int | None) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        doubted, self._doubted = self._doubted, False
        await _firmly(
            client.publish(
                message.topic,
                message.payload,
                qos=1,
                retain=message.retain,
                properties=properties,
                timeout=HURRY_S if doubted else PUBLISH_S,
            )
        )

    def _set_online(self, online: bool) -> None:
        if online != self.online:
            self.online = online
            self._on_change(online)


async def _firmly(work: Coroutine[Any, Any, T]) -> T:
    """Await a call of aiomqtt's so that a cancellation of ours is never lost in it.

    aiomqtt waits by asyncio.wait_for, which before Python 3.12 swallows a cancellation that
    comes at the moment the answer does (python/cpython#86296): the session would then go on
    for ever after its connection or its owner has gone.
    """
    result = await work
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return result


def reap(client: aiomqtt.Client) -> None:
    """End what aiomqtt 2.5.1 leaves behind when no CONNACK came: a task and a socket."""
    task = getattr(client, "_misc_task", None)
    if task is not None and not task.done():
        task.cancel()
    inner = client._client  # noqa: SLF001  (no public way to close the socket)
    if inner.socket() is not None:
        inner._sock_close()  # noqa: SLF001
