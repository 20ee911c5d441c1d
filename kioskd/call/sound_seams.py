"""Where sound reaches into aiortc's inside. Written for aiortc 1.16.

What is used beyond the public interface, on the objects of one leg:

    RTCRtpReceiver.__jitter_buffer   add() gets every packet of a known payload type, after it
                                     was counted for the receiver reports; what it returns goes
                                     to the decoder's thread, which ends the track when it ends
    RTCRtpReceiver.receive           called once, with the payload types that are routed to it
    RTCRtpSender.send                called once; sends with the first codec's payload type

tests/unit/test_sound_seams.py fails when a new release moves one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog
from aiortc import RTCRtpCodecParameters, RTCRtpReceiver, RTCRtpSender
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters, RTCRtpSendParameters
from aiortc.rtp import RtpPacket

log = structlog.get_logger(__name__)

JITTER_BUFFER: Final = "_RTCRtpReceiver__jitter_buffer"


class _Diversion:
    """Stands where aiortc puts packets in order, and keeps them all."""

    def __init__(self, take: Callable[[RtpPacket], None]) -> None:
        self._take = take

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Hand a packet on; there is never a frame for aiortc to decode."""
        try:
            self._take(packet)
        except Exception:
            log.exception("sound.packet_failed")  # it would end aiortc's receiving
        return False, None


def divert(receiver: RTCRtpReceiver, take: Callable[[RtpPacket], None]) -> None:
    """Give an audio receiver's packets to `take`, on the event loop; its track gives none.

    To be called before the answer is applied. The track's recv() still ends with the leg.
    """
    getattr(receiver, JITTER_BUFFER)  # fails at once where aiortc has moved it
    setattr(receiver, JITTER_BUFFER, _Diversion(take))


def receive_red(receiver: RTCRtpReceiver, payload_type: int) -> None:
    """Take packets with redundancy (RFC 2198) too. To be called before the answer is applied."""
    receive = receiver.receive

    async def receive_both(parameters: RTCRtpReceiveParameters) -> None:
        red = RTCRtpCodecParameters(
            mimeType="audio/red", clockRate=48_000, channels=2, payloadType=payload_type
        )
        await receive(replace(parameters, codecs=[*parameters.codecs, red]))

    receiver.receive = receive_both  # type: ignore[method-assign]  # seam


def send_red(sender: RTCRtpSender, payload_type: int) -> None:
    """Say of all packets that they are RED. To be called before the answer is applied."""
    send = sender.send

    async def send_as_red(parameters: RTCRtpSendParameters) -> None:
        first, *others = parameters.codecs
        red = replace(first, payloadType=payload_type)
        await send(replace(parameters, codecs=[red, *others]))

    sender.send = send_as_red  # type: ignore[method-assign]  # seam
