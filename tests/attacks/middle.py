"""The man in the middle: two brokers, and nothing goes from one to the other but through him."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiomqtt

from kioskd.signalling import topics

Message = dict[str, Any]
Change = Callable[[Message], Awaitable[Message | None]]
_TO_AGENTS = ("k/+/status", "s/+/wait/+", "s/+/call/+/+/k2a")
_TO_KIOSK = ("s/+/claim/+", "s/+/call/+/+/a2k", "s/+/agent/+")


async def unchanged(message: Message) -> Message | None:
    """Let a message through."""
    return message


@contextlib.asynccontextmanager
async def between(
    kiosks: int, agents: int, *, to_agents: Change = unchanged, to_kiosk: Change = unchanged
) -> AsyncIterator[None]:
    """Carry messages between two brokers' ports; a change returns what goes on, if anything."""
    version = aiomqtt.ProtocolVersion.V5
    async with (
        aiomqtt.Client("127.0.0.1", kiosks, protocol=version) as left,
        aiomqtt.Client("127.0.0.1", agents, protocol=version) as right,
    ):
        tasks = [
            asyncio.create_task(_carry(left, right, _TO_AGENTS, to_agents)),
            asyncio.create_task(_carry(right, left, _TO_KIOSK, to_kiosk)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _carry(
    source: aiomqtt.Client, target: aiomqtt.Client, filters: tuple[str, ...], change: Change
) -> None:
    for one in filters:
        await source.subscribe(f"{topics.ROOT}/{one}", qos=1)
    async for message in source.messages:
        payload, topic = bytes(message.payload), message.topic.value
        kept = topic.endswith("/status") or "/wait/" in topic or "/agent/" in topic
        changed = await change(json.loads(payload)) if payload else {}
        if changed is None:
            continue
        text = json.dumps(changed) if changed else ""
        await target.publish(topic, text, qos=1, retain=kept)
