"""Where the own picture reaches into aiortc's inside. Written for aiortc 1.16.

What is used beyond the public interface, on the objects of one leg:

    RTCRtpSender._next_encoded_frame  awaited for each picture to send; None: nothing this time
    RTCRtpSender._send_keyframe       called when the far end asks for a key frame (PLI, FIR)
    RTCRtpSender.__encoder            gets the far end's estimate (REMB) as its `target_bitrate`
    RTCRtpSender.send                 called once, when the connection stands
    RTCRtpSender.setTransport         gives the one packets leave by, by its `_send_rtp`
    aiortc.clock.current_ntp_time     the time that packets say they left at
    RTCRtpSender._enabled, ._ssrc     whether the far end wants a picture; whose packets they are
    RTCEncodedFrame, VpxPayloadDescriptor

tests/unit/test_picture_seams.py fails when a new release moves one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import aiortc.clock
from aiortc import RTCRtpSender
from aiortc.codecs.vpx import VpxPayloadDescriptor
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpSendParameters
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import is_rtcp

from kioskd import rtp
from kioskd.picture.pacing import Pacer

ENCODER: Final = "_RTCRtpSender__encoder"
PICTURE_IDS: Final = 1 << 15
"""RFC 7741, section 4.2: they go round, also over a change of size."""
SEND_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
LEAST_SLEEP_S: Final = 0.001
MOST_AGAIN: Final = 128
"""Packets that wait to be sent once more: as many as aiortc keeps."""

Payloads: TypeAlias = tuple[list[bytes], int]
"""A picture's packets, and its time in ticks of 90 kHz."""


def send_with(
    sender: RTCRtpSender, give: Callable[[MediaStreamTrack], Awaitable[Payloads | None]]
) -> None:
    """Send what `give` makes of the track, which it is to read, in place of aiortc's encoder."""
    assert callable(sender._next_encoded_frame)  # noqa: SLF001  # fails where aiortc has moved it

    async def following(codec: RTCRtpCodecParameters) -> RTCEncodedFrame | None:  # noqa: ARG001
        if not sender._enabled:  # noqa: SLF001  # seam
            await sender.track.recv()
            return None
        given = await give(sender.track)
        # The sound's level is for sound.
        return None if given is None else RTCEncodedFrame(*given, None)  # type: ignore[arg-type]  # aiortc's own use

    sender._next_encoded_frame = following  # type: ignore[method-assign]  # noqa: SLF001  # seam


def hear_requests(sender: RTCRtpSender, ask: Callable[[], None]) -> None:
    """Call `ask` whenever the far end asks for a key frame."""
    assert callable(sender._send_keyframe)  # noqa: SLF001  # fails where aiortc has moved it
    sender._send_keyframe = ask  # type: ignore[method-assign]  # noqa: SLF001  # seam


class _Estimate:
    """Stands where aiortc keeps its encoder, to hear what the far end estimates."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "target_bitrate":
            self._tell(value)
        else:
            super().__setattr__(name, value)

    target_bitrate = 0


def hear_estimates(sender: RTCRtpSender, tell: Callable[[float], None]) -> None:
    """Call `tell` with the far end's estimate of the line, in bits per second (REMB)."""
    getattr(sender, ENCODER)
    setattr(sender, ENCODER, _Estimate(tell))


class _Paced:
    """A transport for one sender whose packets leave in even steps; but RTCP goes at once.

    What is sent once more goes at once, and before the next new packet.
    """

    def __init__(self, transport: Any, ssrc: int, pacer: Pacer, send_time: int) -> None:
        self._transport = transport
        self._send_time = send_time
        self._source = ssrc.to_bytes(4, "big")
        self._pacer = pacer
        self._newest: int | None = None
        self._again: dict[bytes, bytes] = {}
        self._work: asyncio.Task[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def _send_rtp(self, data: bytes) -> None:
        if is_rtcp(data):
            await self._transport._send_rtp(data)  # noqa: SLF001  # seam
        elif self._is_new(data):
            await self._send_again()
            await self._leave(data)
            if not data[1] & 0x80:  # RFC 3550, section 5.1: the marker, on the last
                await self._pause()
        elif len(self._again) < MOST_AGAIN:
            # Asked for by the task that receives everything, which must not wait. But for its
            # sequence number a packet is the same each time.
            self._again.setdefault(data[4:], data)
            if self._work is None or self._work.done():
                self._work = asyncio.create_task(self._send_again(), name="leg picture again")

    def close(self) -> None:
        """Send nothing once more."""
        self._again.clear()
        if self._work is not None:
            self._work.cancel()

    async def _send_again(self) -> None:
        while self._again:
            data = self._again.pop(next(iter(self._again)))
            if self._pacer.resend(len(data), asyncio.get_running_loop().time()):
                try:
                    await self._leave(data)
                except ConnectionError:
                    return  # the leg tells of its end by itself
                await self._pause()

    async def _leave(self, data: bytes) -> None:
        # Else the far end takes our waiting, and more so what is sent once more, for the line's.
        stamped = _stamped(data, self._send_time, aiortc.clock.current_ntp_time())
        await self._transport._send_rtp(stamped)  # noqa: SLF001  # seam
        self._pacer.sent(len(data), asyncio.get_running_loop().time())

    async def _pause(self) -> None:
        wait = self._pacer.wait_s(asyncio.get_running_loop().time())
        if wait >= LEAST_SLEEP_S:
            await asyncio.sleep(wait)

    def _is_new(self, data: bytes) -> bool:
        if data[8:12] != self._source:
            return False
        number = int.from_bytes(data[2:4], "big")
        if self._newest is not None:
            number = rtp.unwrapped(number, self._newest, rtp.SEQUENCE_NUMBERS)
            if number <= self._newest:
                return False
        self._newest = number
        return True


def _stamped(data: bytes, extension: int, ntp: int) -> bytes:
    """Write the time into a packet that has this extension, of one byte (RFC 8285, 4.2)."""
    if data[0] & 0x1F != 0x10 or data[12:14] != b"\xbe\xde":
        return data
    place, end = 16, 16 + 4 * int.from_bytes(data[14:16], "big")
    while place < end:
        kind, size = data[place] >> 4, (data[place] & 15) + 1
        if kind == extension and size == 3:
            now = (ntp >> 14) & 0xFFFFFF
            return data[: place + 1] + now.to_bytes(3, "big") + data[place + 4 :]
        place += 1 + size if kind else 1
    return data


def pace(sender: RTCRtpSender, pacer: Pacer) -> Callable[[], None]:
    """Make the packets of a picture leave one after the other, as `pacer` tells.

    To be called before the answer is applied; what it returns, at the end. Each packet says when
    it left (abs-send-time).
    """
    send = sender.send
    made: list[_Paced] = []

    async def send_paced(parameters: RTCRtpSendParameters) -> None:
        if not isinstance(sender.transport, _Paced):
            ids = [e.id for e in parameters.headerExtensions if e.uri == SEND_TIME]
            paced = _Paced(sender.transport, sender._ssrc, pacer, *ids or [0])  # noqa: SLF001  # seam
            made.append(paced)
            sender.setTransport(paced)  # type: ignore[arg-type]  # seam
        await send(parameters)

    def end() -> None:
        for one in made:
            one.close()

    sender.send = send_paced  # type: ignore[method-assign]  # seam
    return end


def payloads(data: bytes, picture_id: int, most: int) -> list[bytes]:
    """Cut a VP8 frame into payloads of about the same size (RFC 7741, section 4.2).

    They have `most` bytes and the descriptor's at the most.
    """
    count = -(-len(data) // most)
    size = -(-len(data) // count)
    first, rest = (bytes(VpxPayloadDescriptor(start, 0, picture_id=picture_id)) for start in (1, 0))
    return [
        (rest if begin else first) + data[begin : begin + size]
        for begin in range(0, len(data), size)
    ]
