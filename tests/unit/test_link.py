"""What the link adds to aiomqtt, without a broker; the rest is in tests/peer/test_line.py."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

import aiomqtt

from kioskd.signalling import link
from tests.e2e.stage import wait_for


async def swallowing(started: asyncio.Event) -> str:
    """Do as asyncio.wait_for does before Python 3.12 when the answer comes with a cancellation."""
    started.set()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "answered"


async def test_a_cancellation_that_aiomqtt_swallows_still_ends_the_task() -> None:
    started = asyncio.Event()
    task = asyncio.create_task(link._firmly(swallowing(started)))
    await started.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_an_answer_comes_through() -> None:
    async def answer() -> int:
        return 7

    assert await link._firmly(answer()) == 7


class HeldBroker:
    """A connection on which nothing is acknowledged before the test says so."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.answers: dict[str, asyncio.Future[None]] = {}

    async def publish(self, topic: str, *_: Any, **__: Any) -> None:
        await self._hold(topic)

    async def unsubscribe(self, topic: str) -> None:
        await self._hold(topic)

    async def _hold(self, topic: str) -> None:
        self.sent.append(topic)
        self.answers[topic] = asyncio.get_running_loop().create_future()
        await self.answers[topic]

    async def until_sent(self, count: int) -> None:
        await wait_for(lambda: len(self.sent) >= count, 5, f"{count} were not sent")


def a_link() -> link.Link:
    return link.Link(
        link.BrokerAddress("127.0.0.1", 1, "kiosk"),
        subscriptions=[],
        will=link.Message("will", b""),
        on_message=lambda *_: None,
        on_connected=list,
        on_change=lambda _: None,
    )


async def test_an_offer_does_not_wait_for_the_acknowledgement_of_what_was_sent_before() -> None:
    one, broker = a_link(), HeldBroker()
    one.watch("line")
    one.watch(None)
    one._outbox.popleft()  # the subscription has been answered
    sending = asyncio.create_task(one._transmit(cast("aiomqtt.Client", broker)))
    one.publish(link.Message("waiting", b"", retain=True))
    one.publish(link.Message("offer", b"sdp", expiry_s=20))
    async with asyncio.timeout(5):
        await broker.until_sent(3)
        assert broker.sent == ["line", "waiting", "offer"]
        for topic in ("offer", "line", "waiting"):
            assert not one._idle.is_set()
            broker.answers[topic].set_result(None)
        await one._idle.wait()
    sending.cancel()
    await asyncio.wait([sending])


async def test_what_was_not_acknowledged_is_sent_again_in_order() -> None:
    one, broker = a_link(), HeldBroker()
    for topic in ("one", "two", "three"):
        one.publish(link.Message(topic, b""))
    sending = asyncio.create_task(one._transmit(cast("aiomqtt.Client", broker)))
    async with asyncio.timeout(5):
        await broker.until_sent(3)
        broker.answers["two"].set_result(None)
        broker.answers["one"].set_exception(aiomqtt.MqttError("the connection is lost"))
        await asyncio.wait([sending])
        assert isinstance(sending.exception(), aiomqtt.MqttError)
        again = HeldBroker()
        sending = asyncio.create_task(one._transmit(cast("aiomqtt.Client", again)))
        await again.until_sent(2)
    sending.cancel()
    await asyncio.wait([sending])
    assert [topic for topic in again.sent if topic != "two"] == ["one", "three"]


async def test_no_more_are_under_way_than_a_broker_takes() -> None:
    one, broker = a_link(), HeldBroker()
    for number in range(link.AT_ONCE + 5):
        one.publish(link.Message(str(number), b""))
    sending = asyncio.create_task(one._transmit(cast("aiomqtt.Client", broker)))
    async with asyncio.timeout(5):
        await broker.until_sent(link.AT_ONCE)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(broker.sent) == link.AT_ONCE
        broker.answers["3"].set_result(None)
        await broker.until_sent(link.AT_ONCE + 1)
    sending.cancel()
    await asyncio.wait([sending])
