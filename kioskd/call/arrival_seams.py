"""Where kioskd takes the far end's pictures from aiortc. Written for aiortc 1.16.

aiortc asks for a lost packet once, and again only when another one is lost: when the request or
its answer is lost too, the picture stands. It tells of a picture by the first packet of the next
one, and hands on one for each packet that comes, so that a delay stays.

What is used beyond the public interface, on the objects of one leg:

    RTCRtpReceiver.__jitter_buffer     gets every packet of pictures, whatever was sent once more
    RTCRtpReceiver.__nack_generator    says what was lost
    RTCRtpReceiver.__codecs            the codecs by their payload types
    RTCRtpReceiver._send_rtcp_nack, ._send_rtcp_pli   (RFC 4585, 6.2.1 and 6.3.1)
    RTCRtpReceiver._handle_rtcp_packet   gets the sender's reports (RFC 3550, section 6.4.1)
    RTCRtpReceiver._track._queue       what the remote track's recv() returns
    RtpPacket._data                    a payload without its descriptor

tests/unit/test_arrival_seams.py fails when a new release moves one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, Final

from aiortc import RTCRtpReceiver
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket, RtpPacket

from kioskd import rtp
from kioskd.picture.arriving import Arriving, Whole
from kioskd.picture.lipsync import Clock, LipSync

JITTER_BUFFER: Final = "_RTCRtpReceiver__jitter_buffer"
NACK_GENERATOR: Final = "_RTCRtpReceiver__nack_generator"
CODECS: Final = "_RTCRtpReceiver__codecs"


@dataclass(frozen=True, slots=True)
class Arrived:
    """A picture as it was encoded.

    `micros` counts from the first one; `due` is when it goes with the voice, in the loop's
    seconds: it may be past.
    """

    data: bytes
    micros: int
    key: bool
    due: float


def is_key(data: bytes) -> bool:
    """Tell a key frame of VP8, or its beginning, by its start code (RFC 6386, section 9.1)."""
    return data[3:6] == b"\x9d\x01\x2a" and not data[0] & 1


class _NoLosses:
    """Stands where aiortc notes what is lost: Arrivals knows, and asks."""

    def add(self, packet: RtpPacket) -> bool:  # noqa: ARG002  # aiortc's
        """Say that nothing is."""
        return False


class Arrivals:
    """Makes the remote VP8 track's recv() return Arrived ones in place of decoded frames.

    They come as soon as they are whole; `lips`, which gets the sender's reports of them, tells
    when they are due. To be made before the answer is applied, and `run` until the leg ends. The
    codec negotiated must be VP8: frames of another are left out.
    """

    def __init__(self, receiver: RTCRtpReceiver, lips: LipSync) -> None:
        for name in (JITTER_BUFFER, NACK_GENERATOR, CODECS):
            getattr(receiver, name)  # fails at once where aiortc has moved it
        self._receiver = receiver
        self._lips = lips
        self._arriving = Arriving(is_key)
        self._source: int | None = None
        self._timestamp: int | None = None
        self._ticks = 0
        self._stirred = asyncio.Event()
        setattr(receiver, JITTER_BUFFER, self)
        setattr(receiver, NACK_GENERATOR, _NoLosses())
        follow_reports(receiver, Clock.PICTURE, lips)

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet from aiortc, which gets no frame to decode."""
        codec = getattr(self._receiver, CODECS).get(packet.payload_type)
        if codec is None or codec.name != "VP8":
            # The page knows no other; whoever heeds the offer's order sends none.
            return False, None
        if packet.ssrc != self._source:
            self._source, self._arriving = packet.ssrc, Arriving(is_key)
        data: Any = packet._data  # type: ignore[attr-defined]  # noqa: SLF001  # seam
        number, marker = packet.sequence_number, bool(packet.marker)
        now = asyncio.get_running_loop().time()
        for one in self._arriving.add(number, packet.timestamp, data, marker=marker, now=now):
            self._hand_on(one)
        if self._arriving.due(now) is not None:
            self._stirred.set()
        return False, None

    async def run(self) -> None:
        """Ask for what is missing until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            left = self._arriving.due(loop.time())
            if left == 0:
                await self._ask(loop.time())
                continue
            self._stirred.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._stirred.wait()

    async def _ask(self, now: float) -> None:
        assert self._source is not None
        if lost := self._arriving.ask(now):
            await self._receiver._send_rtcp_nack(self._source, lost)  # noqa: SLF001  # seam
        if self._arriving.wants_key(now):
            await self._receiver._send_rtcp_pli(self._source)  # noqa: SLF001  # seam

    def _hand_on(self, whole: Whole) -> None:
        if self._timestamp is not None:
            self._ticks += (whole.timestamp - self._timestamp) % rtp.TIMESTAMPS
        self._timestamp = whole.timestamp
        assert self._source is not None
        now = asyncio.get_running_loop().time()
        due = now + self._lips.wait(self._source, whole.timestamp, now)
        given = Arrived(whole.data, self._ticks * 100 // 9, whole.key, due)
        self._receiver._track._queue.put_nowait(given)  # type: ignore[union-attr]  # noqa: SLF001  # seam


def follow_reports(receiver: RTCRtpReceiver, clock: Clock, lips: LipSync) -> None:
    """Let `lips` have what the sender reports of a receiver's packets."""
    handle = receiver._handle_rtcp_packet  # noqa: SLF001  # seam

    async def look(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket):
            info = packet.sender_info
            # 32 bits of seconds and 32 of their fraction (RFC 3550, section 4).
            lips.report(clock, packet.ssrc, info.rtp_timestamp, info.ntp_timestamp / (1 << 32))
        await handle(packet)

    receiver._handle_rtcp_packet = look  # type: ignore[method-assign]  # noqa: SLF001  # seam
