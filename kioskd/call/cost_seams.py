"""Where kioskd spares aiortc work. Written for aiortc 1.16, aioice 0.13 and Python 3.11.

Nothing here changes what a call does, only what it costs; docs/cost.md has what each is worth.
What is used beyond the public interface, on the objects of one leg:

    RTCRtpSender._next_encoded_frame   awaited for each 20 ms of sound; aiortc's own measures how
                                       loud they are, sample by sample in Python
    RTCRtpSender._enabled              whether the far end wants sound
    RTCIceGatherer._connection         the aioice connection behind a gatherer
    aioice Connection._protocols       one for each socket (or relay) of ours
    aioice Connection._queue           what came and was not yet looked at, in order
    StunProtocol.datagram_received     gets every datagram; aioice's own tries each as STUN
    RTCDtlsTransport._state, ._rx_srtp, ._handle_rtp_data, .__rx_bytes, .__rx_packets
    RTCDtlsTransport._send_rtp, ._tx_srtp, .__tx_bytes, .__tx_packets
    aioice Connection._nominated       the pair of addresses in use
    asyncio's datagram transport .max_size   how much memory is taken for each datagram

tests/unit/test_cost_seams.py fails when a new release moves one of them.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

import aiortc.clock
import pylibsrtp
import structlog
from aioice.ice import StunProtocol
from aiortc import RTCDtlsTransport, RTCRtpSender
from aiortc.rtcdtlstransport import State
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import is_rtcp

from kioskd.call.media import MicrophoneTrack
from kioskd.call.speech import SpeechEncoder

log = structlog.get_logger(__name__)

RX_BYTES: Final = "_RTCDtlsTransport__rx_bytes"
RX_PACKETS: Final = "_RTCDtlsTransport__rx_packets"
TX_BYTES: Final = "_RTCDtlsTransport__tx_bytes"
TX_PACKETS: Final = "_RTCDtlsTransport__tx_packets"
SRTP_BYTES: Final = 1500
"""Of the largest packet that pylibsrtp opens."""
LARGEST: Final = 2048
"""Bytes of a datagram: none of a call has more than an Ethernet frame's 1500."""
COMPONENT: Final = 1
"""The one with everything in it (RTCP multiplexed, RFC 8834, section 4.5)."""


def send_speech(sender: RTCRtpSender, encoder: SpeechEncoder) -> None:
    """Send what our encoder makes of the track's sound, encoded on the loop.

    Without the level of each packet (RFC 6464), which is for mixers: there is none. 20 ms take
    less time to encode than to hand to a thread and back. To be called before the answer is
    applied.
    """
    assert callable(sender._next_encoded_frame)  # noqa: SLF001  # fails where aiortc has moved it

    async def following(codec: RTCRtpCodecParameters) -> RTCEncodedFrame | None:  # noqa: ARG001
        track = sender.track
        assert isinstance(track, MicrophoneTrack)
        pcm, pts = await track.take()
        if not sender._enabled:  # noqa: SLF001  # seam
            return None
        payloads, timestamp = encoder.encode_samples(pcm, pts)
        if not payloads:
            return None
        return RTCEncodedFrame(payloads, timestamp, None)  # type: ignore[arg-type]  # aiortc's own use

    sender._next_encoded_frame = following  # type: ignore[method-assign]  # noqa: SLF001  # seam


class _Intake:
    """Takes a socket's datagrams: media at once, all others the usual way.

    aioice puts each into a queue, from which a task takes it at the loop's next turn.
    """

    def __init__(self, dtls: RTCDtlsTransport, protocol: StunProtocol) -> None:
        self._dtls = dtls
        self._usual = protocol.datagram_received
        self._waiting = protocol.receiver._queue  # noqa: SLF001  # seam

    def __call__(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take a datagram, which is bytes. Nothing overtakes what waits."""
        assert isinstance(data, bytes)
        if not data:
            return  # aiortc would end the call
        # RFC 7983, section 7: the first byte tells the protocols apart.
        media = 127 < data[0] < 192
        if media and len(data) > SRTP_BYTES:
            return  # the same
        connected = self._dtls._state is State.CONNECTED  # noqa: SLF001  # seam
        if media and connected and not is_rtcp(data) and self._waiting.empty():
            self._take(data)
        else:
            self._usual(data, addr)

    def _take(self, data: bytes) -> None:
        dtls = self._dtls
        setattr(dtls, RX_BYTES, getattr(dtls, RX_BYTES) + len(data))
        setattr(dtls, RX_PACKETS, getattr(dtls, RX_PACKETS) + 1)
        try:
            plain = dtls._rx_srtp.unprotect(data)  # noqa: SLF001  # seam
        except pylibsrtp.Error:
            return  # forged, or there twice
        try:
            _finish(dtls._handle_rtp_data(plain, aiortc.clock.current_ms()))  # noqa: SLF001  # seam
        except Exception:
            log.exception("leg.packet_failed")


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Run what never waits; raise RuntimeError where it does."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise RuntimeError("aiortc waits while it handles a packet")


def receive_at_once(dtls: RTCDtlsTransport) -> None:
    """Handle packets of media in the turn of the loop that they come in.

    To be called when all candidates are gathered.
    """
    for name in (RX_BYTES, RX_PACKETS):
        getattr(dtls, name)  # fails at once where aiortc has moved it
    connection = dtls.transport.iceGatherer._connection  # noqa: SLF001  # seam
    for protocol in connection._protocols:  # noqa: SLF001  # seam
        protocol.datagram_received = _Intake(dtls, protocol)  # type: ignore[method-assign]  # seam
        if hasattr(protocol.transport, "max_size"):  # a relay's has none
            protocol.transport.max_size = LARGEST


def send_straight(dtls: RTCDtlsTransport) -> None:
    """Let packets of media and their reports go to the socket without six calls in between."""
    for name in (TX_BYTES, TX_PACKETS):
        getattr(dtls, name)  # fails at once where aiortc has moved it
    assert callable(dtls._send_rtp)  # noqa: SLF001  # the same
    nominated = dtls.transport.iceGatherer._connection._nominated  # noqa: SLF001  # seam

    async def send_rtp(data: bytes) -> None:
        pair = nominated.get(COMPONENT)
        if pair is None or dtls._state is not State.CONNECTED:  # noqa: SLF001  # seam
            raise ConnectionError("not connected")
        srtp = dtls._tx_srtp  # noqa: SLF001  # seam
        sealed = srtp.protect_rtcp(data) if is_rtcp(data) else srtp.protect(data)
        pair.protocol.transport.sendto(sealed, pair.remote_addr)
        setattr(dtls, TX_BYTES, getattr(dtls, TX_BYTES) + len(sealed))
        setattr(dtls, TX_PACKETS, getattr(dtls, TX_PACKETS) + 1)

    dtls._send_rtp = send_rtp  # type: ignore[method-assign]  # noqa: SLF001  # seam
