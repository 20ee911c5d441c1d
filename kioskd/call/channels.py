"""The three data channels of a leg."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from aiortc import RTCDataChannel, RTCPeerConnection

from kioskd.call import seams
from kioskd.errors import CallError

CONTROL: Final = "control"
TO_AGENT: Final = "documents-to-agent"
TO_KIOSK: Final = "documents-to-kiosk"
LOW_WATER: Final = 64 * 1024
"""Bytes queued in a document channel below which `wait_drained` returns: one chunk."""


class Channels:
    """CONTROL, TO_AGENT and TO_KIOSK of one connection.

    `on_change` is called when one opens, `on_closed` when one closes, `on_message` with the
    label of one and what came.
    """

    def __init__(
        self,
        on_change: Callable[[], None],
        on_closed: Callable[[], None],
        on_message: Callable[[str, str | bytes], None],
    ) -> None:
        self._on_change = on_change
        self._on_closed = on_closed
        self._on_message = on_message
        self._pc: RTCPeerConnection | None = None
        self._channels: dict[str, RTCDataChannel] = {}
        self._low: dict[str, asyncio.Event] = {}

    @property
    def all_open(self) -> bool:
        """Whether something can be said on each."""
        return all(channel.readyState == "open" for channel in self._channels.values())

    def offer(self, pc: RTCPeerConnection) -> None:
        """Add them to a connection, before its offer and after its tracks."""
        self._pc = pc
        for label in (CONTROL, TO_AGENT, TO_KIOSK):
            channel = pc.createDataChannel(label)
            low = asyncio.Event()
            self._channels[label], self._low[label] = channel, low
            channel.bufferedAmountLowThreshold = 0 if label == CONTROL else LOW_WATER
            channel.on("bufferedamountlow", low.set)
            channel.on("open", self._on_change)
            channel.on("close", partial(self._closed, low))
            channel.on("message", partial(self._on_message, label))

    def send(self, label: str, data: str | bytes) -> None:
        """Queue a message; one of CONTROL goes before all documents.

        Raises CallError when the channel is not open.
        """
        channel = self._open(label)
        channel.send(data)
        if label == CONTROL:
            assert self._pc is not None
            seams.hasten(self._pc, channel)

    def buffered(self, label: str) -> int:
        """Return the bytes queued in a channel that SCTP has not taken yet; 0 without one."""
        channel = self._channels.get(label)
        return 0 if channel is None else channel.bufferedAmount

    async def wait_drained(self, label: str) -> None:
        """Wait until at most LOW_WATER bytes (0 for control) are queued in a channel.

        Raises CallError when the channel is not open or closes meanwhile.
        """
        channel, low = self._open(label), self._low[label]
        while channel.bufferedAmount > channel.bufferedAmountLowThreshold:
            low.clear()
            await low.wait()
            self._open(label)

    def release(self) -> None:
        """Let nobody wait any more."""
        for low in self._low.values():
            low.set()

    def _closed(self, low: asyncio.Event) -> None:
        low.set()
        self._on_closed()

    def _open(self, label: str) -> RTCDataChannel:
        channel = self._channels.get(label)
        if channel is None or channel.readyState != "open":
            raise CallError(f"channel {label} is not open")
        return channel
