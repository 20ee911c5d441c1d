"""An attacker's end of a call: a real aiortc peer that counts what reaches its sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Self

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)

from kioskd.call import seams
from kioskd.call.channels import CONTROL, TO_AGENT, TO_KIOSK

APPLICATION_DATA = 23
"""DTLS content type of what a data channel carries (RFC 9147, 4.1): documents, control."""


class Eavesdropper:
    """Answers offers, and counts the datagrams that come, by their first byte (RFC 7983)."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.received = asyncio.Event()
        self._pc = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )

    @property
    def media(self) -> int:
        """SRTP and SRTCP packets."""
        return self.counts["media"]

    @property
    def document_bytes(self) -> int:
        """Bytes in DTLS records of application data, of any channel."""
        return self.counts["application"]

    async def answer(self, offer: str) -> str:
        """Return an answer of our own: our fingerprint, our addresses."""
        await self._pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        gatherer = self._pc.getTransceivers()[0].receiver.transport.transport.iceGatherer
        seams.gather_loopback(gatherer)
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return self._tapped(gatherer)

    async def offer(self) -> str:
        """Return an offer of our own, as a kiosk's."""
        for kind in ("audio", "video"):
            self._pc.addTransceiver(kind, direction="recvonly")
        for label in (CONTROL, TO_AGENT, TO_KIOSK):
            self._pc.createDataChannel(label)
        gatherer = self._pc.getTransceivers()[0].receiver.transport.transport.iceGatherer
        seams.gather_loopback(gatherer)
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return self._tapped(gatherer)

    async def take(self, answer: str) -> None:
        """Go on with the answer to our offer."""
        await self._pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def _tapped(self, gatherer: Any) -> str:
        for protocol in gatherer._connection._protocols:
            self._tap(protocol)
        return str(self._pc.localDescription.sdp)

    def _tap(self, protocol: Any) -> None:
        through = protocol.datagram_received

        def tapped(data: bytes, address: Any) -> None:
            self._count(bytes(data))
            through(data, address)

        protocol.datagram_received = tapped

    def _count(self, data: bytes) -> None:
        first = data[0] if data else 0
        if 128 <= first <= 191:
            self.counts["media"] += 1
        elif first == APPLICATION_DATA:
            self.counts["application"] += len(data)
        else:
            self.counts["dtls" if 20 <= first <= 63 else "stun"] += 1
        if self.media and self.document_bytes:
            self.received.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pc.close()
