"""The waiting line through a real Mosquitto: entry, claim, place, presence, reconnection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from kioskd.app.line import Line
from kioskd.settings import KioskSettings
from kioskd.signalling import topics
from kioskd.signalling.link import BrokerAddress
from kioskd.signalling.messages import Answer, Bye, Claim, RefusalReason, Refused
from kioskd.simulation.broker import EmbeddedBroker

pytestmark = pytest.mark.peer


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    with tempfile.TemporaryDirectory(prefix="kioskd-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101  (mosquitto drops to its own user)
        async with EmbeddedBroker(Path(folder)) as one:
            yield one


class Station:
    """A kiosk's line, running."""

    def __init__(self, broker: EmbeddedBroker, name: str) -> None:
        self.signals: list[tuple[str, str, Claim | Answer | Bye]] = []
        self.changed = asyncio.Event()
        self.line = Line(
            KioskSettings(id=name, name="Mairie", town="Exempleville"),
            BrokerAddress("127.0.0.1", broker.port, name),
            on_signal=self._signal,
            on_change=self.changed.set,
        )
        self.line.link._back_off_s = (0.1, 0.2)

    def _signal(self, service: str, agent_id: str, message: Claim | Answer | Bye) -> None:
        self.signals.append((service, agent_id, message))
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@contextlib.asynccontextmanager
async def running(broker: EmbeddedBroker, name: str) -> AsyncIterator[Station]:
    station = Station(broker, name)
    task = asyncio.create_task(station.line.link.run())
    await station.until(lambda: station.line.online)
    try:
        yield station
    finally:
        task.cancel()
        await asyncio.wait([task])


@contextlib.asynccontextmanager
async def agent(broker: EmbeddedBroker, *subscriptions: str) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client(
        "127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5
    ) as client:
        for topic in subscriptions:
            await client.subscribe(topic, qos=1)
        yield client


async def next_json(client: aiomqtt.Client, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        async for message in client.messages:
            payload = message.payload
            assert isinstance(payload, bytes)
            if payload:
                found: dict[str, Any] = json.loads(payload)
                if found["type"] == kind:
                    return found
    raise AssertionError("the broker went away")


async def test_an_entry_reaches_agents_with_presence(broker: EmbeddedBroker) -> None:
    async with running(broker, "k1") as kiosk:
        kiosk.line.join("caf", "call-1", "fr", 0)
        async with agent(broker, "visio/v1/s/caf/wait/+", "visio/v1/k/+/status") as client:
            waiting = await next_json(client, "waiting")
            status = await next_json(client, "status")
    assert waiting["call"] == "call-1"
    assert waiting["kiosk"] == "k1"
    assert status["online"] is True
    assert status["epoch"] == waiting["epoch"]


async def test_a_claim_arrives_once_and_a_refusal_goes_back(broker: EmbeddedBroker) -> None:
    async with (
        running(broker, "k1") as kiosk,
        agent(broker, topics.to_agent("caf", "k1", "lea")) as client,
    ):
        claim = Claim(call="call-1", agent="lea", name="Léa").model_dump_json()
        for _ in range(2):  # QoS 1 may deliver twice
            await client.publish(topics.claim("caf", "k1"), claim, qos=1)
        await client.publish(
            topics.to_kiosk("caf", "k1", "lea"),
            Answer(call="call-1", sdp="v=0").model_dump_json(),
            qos=1,
        )
        await kiosk.until(lambda: len(kiosk.signals) == 2)
        assert [message.type for _, _, message in kiosk.signals] == ["claim", "answer"]
        refused = Refused(call="call-1", reason=RefusalReason.TAKEN, taken_by="Paul")
        kiosk.line.tell("caf", "lea", refused)
        assert (await next_json(client, "refused"))["taken_by"] == "Paul"


async def test_places_follow_the_waiting_time(broker: EmbeddedBroker) -> None:
    async with running(broker, "k1") as first, running(broker, "k2") as second:
        first.line.join("caf", "call-1", "fr", 60)
        second.line.join("caf", "call-2", "fr", 10)
        await second.until(lambda: second.line.place == 2)
        assert first.line.place == 1
        first.line.leave("caf")
        await second.until(lambda: second.line.place == 1)


async def test_a_leftover_of_an_earlier_life_is_cleared(broker: EmbeddedBroker) -> None:
    topic = topics.waiting("caf", "k1")
    async with agent(broker) as client:
        await client.publish(topic, b'{"v":1}', qos=1, retain=True)
        entry = (
            '{"v":1,"type":"waiting","id":"x","epoch":"old","call":"c","kiosk":"k1",'
            '"name":"","town":"","service":"caf","since":1}'
        )
        await client.publish(topic, entry, qos=1, retain=True)
    async with agent(broker, topic) as client, running(broker, "k1"):
        async with asyncio.timeout(10):
            async for message in client.messages:
                if message.payload == b"":
                    break


async def test_garbage_is_dropped_and_counted(broker: EmbeddedBroker) -> None:
    async with running(broker, "k1") as kiosk, agent(broker) as client:
        for payload in (b"{", b"\xff\xfe", b'{"v":9,"type":"claim"}', b"[]", b"x" * 70_000):
            await client.publish(topics.claim("caf", "k1"), payload, qos=1)
        good = Claim(call="call-1", agent="lea", name="Léa").model_dump_json()
        await client.publish(topics.claim("caf", "k1"), good, qos=1)
        await kiosk.until(lambda: len(kiosk.signals) == 1)
        assert kiosk.line.invalid == 5


async def test_a_broker_that_dies_is_found_again_with_the_entry(broker: EmbeddedBroker) -> None:
    async with running(broker, "k1") as kiosk:
        kiosk.line.join("caf", "call-1", "fr", 0)
        await kiosk.line.link.flush(5)
        await broker.stop()
        await kiosk.until(lambda: not kiosk.line.online)
        await broker.start()
        await kiosk.until(lambda: kiosk.line.online)
        async with agent(broker, "visio/v1/s/caf/wait/+") as client:
            assert (await next_json(client, "waiting"))["call"] == "call-1"


async def test_a_kiosk_that_stops_says_goodbye(broker: EmbeddedBroker) -> None:
    async with agent(broker, "visio/v1/k/+/status") as client, running(broker, "k1") as kiosk:
        assert (await next_json(client, "status"))["online"] is True
        await kiosk.line.say_goodbye()
        assert (await next_json(client, "status"))["online"] is False


async def test_the_will_tells_of_a_kiosk_that_vanished(broker: EmbeddedBroker) -> None:
    async with agent(broker, "visio/v1/k/+/status") as client:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.peer.lonely_kiosk", str(broker.port)
        )
        assert (await next_json(client, "status"))["online"] is True
        process.kill()
        await process.wait()
        assert (await next_json(client, "status"))["online"] is False
