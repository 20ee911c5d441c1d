"""Where the transport-wide feedback reaches into aiortc's inside. Written for aiortc 1.16.

What is used beyond the public interface, on the objects of one leg:

    RTCDtlsTransport._send_rtp         all packets of media and their reports leave by it
    RTCDtlsTransport._send_data        those of the channels
    RTCDtlsTransport._handle_rtp_data, ._handle_rtcp_data   get all that comes, decrypted
    RTCRtpReceiver.__remote_bitrate_estimator  of pictures; None: it makes no estimate
    RTCRtpSender._ssrc
    RTCRtpSender.send                  called once, when the connection stands
    RTCRtpSender.__rtp_header_extensions_map   writes the extensions of each packet

tests/unit/test_feedback_seams.py fails when a new release moves one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from aiortc import RTCDtlsTransport, RTCRtpReceiver, RTCRtpSender
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpSendParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, is_rtcp

from kioskd.rate import feedback

URI: Final = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
EXTENSIONS: Final = "_RTCRtpSender__rtp_header_extensions_map"
ESTIMATOR: Final = "_RTCRtpReceiver__remote_bitrate_estimator"
MEDIA_BYTES: Final = 28 + 10
"""IPv4 and UDP, and SRTP's tag (RFC 3711, section 4.2)."""
DATA_BYTES: Final = 28 + 13 + 24
"""IPv4 and UDP, and DTLS's header, nonce and tag with AES-GCM (RFC 5288)."""


class _WithNumber(HeaderExtensionsMap):
    """Leaves a place in each packet; the number is written when it leaves."""

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        values.transport_sequence_number = 0
        return super().set(values)


def leave_place(sender: RTCRtpSender, extension: int) -> None:
    """Give each packet of this sender a place for its number, once more sent or not.

    To be called before the answer is applied.
    """
    getattr(sender, EXTENSIONS)  # fails at once where aiortc has moved it
    setattr(sender, EXTENSIONS, _WithNumber())
    send = sender.send

    async def send_numbered(parameters: RTCRtpSendParameters) -> None:
        more = RTCRtpHeaderExtensionParameters(id=extension, uri=URI)
        extensions = [*parameters.headerExtensions, more]
        await send(replace(parameters, headerExtensions=extensions))

    sender.send = send_numbered  # type: ignore[method-assign]  # seam


def estimate_no_more(receiver: RTCRtpReceiver) -> None:
    """Send no estimate of aiortc's (REMB): Chromium would hold itself to the lower of both."""
    getattr(receiver, ESTIMATOR)
    setattr(receiver, ESTIMATOR, None)


def count(
    transport: RTCDtlsTransport,
    extension: int,
    number: Callable[[int], int],
    other: Callable[[int], None],
) -> None:
    """Tell of all that leaves, in bytes on the line.

    `number` is told of each packet that has a place for it, and gives its number; `other` of
    everything else.
    """
    send_rtp, send_data = transport._send_rtp, transport._send_data  # noqa: SLF001  # seam

    async def send_counted(data: bytes) -> None:
        size = len(data) + MEDIA_BYTES
        place = None if is_rtcp(data) else _place(data, extension)
        if place is None:
            other(size)
        else:
            data = data[:place] + number(size).to_bytes(2, "big") + data[place + 2 :]
        await send_rtp(data)

    async def send_data_counted(data: bytes) -> None:
        other(len(data) + DATA_BYTES)
        await send_data(data)

    transport._send_rtp = send_counted  # type: ignore[method-assign]  # noqa: SLF001  # seam
    transport._send_data = send_data_counted  # type: ignore[method-assign]  # noqa: SLF001  # seam


def hear(
    transport: RTCDtlsTransport,
    extension: int,
    came: Callable[[int, int, int], None],
    told: Callable[[bytes], None],
) -> None:
    """Call `told` with each feedback, `came` with each packet that has a number.

    It gets the number, the source and the bytes on the line.
    """
    handle_rtp = transport._handle_rtp_data  # noqa: SLF001  # seam
    handle_rtcp = transport._handle_rtcp_data  # noqa: SLF001  # seam

    async def handle_numbered(data: bytes, arrival_time_ms: int) -> None:
        place = _place(data, extension)
        if place is not None:
            number, source = data[place : place + 2], data[8:12]
            size = len(data) + MEDIA_BYTES
            came(int.from_bytes(number, "big"), int.from_bytes(source, "big"), size)
        await handle_rtp(data, arrival_time_ms)

    async def handle_told(data: bytes) -> None:
        found, rest = feedback.split(data)
        for one in found:
            told(one)
        if rest:
            await handle_rtcp(rest)

    transport._handle_rtp_data = handle_numbered  # type: ignore[method-assign]  # noqa: SLF001  # seam
    transport._handle_rtcp_data = handle_told  # type: ignore[method-assign]  # noqa: SLF001  # seam


async def tell(transport: RTCDtlsTransport, packet: bytes) -> None:
    """Send an RTCP packet. Raises ConnectionError."""
    await transport._send_rtp(packet)  # noqa: SLF001  # seam


def _place(data: bytes, extension: int) -> int | None:
    """Return where the two bytes of the number are, in extensions of one byte (RFC 8285, 4.2)."""
    begin = 12 + 4 * (data[0] & 0x0F)
    if not data[0] & 0x10 or data[begin : begin + 2] != b"\xbe\xde":
        return None
    place = begin + 4
    end = min(len(data), place + 4 * int.from_bytes(data[begin + 2 : begin + 4], "big"))
    while place < end:
        kind, size = data[place] >> 4, (data[place] & 15) + 1
        if kind == extension and size == 2 and place + 3 <= end:
            return place + 1
        place += 1 + size if kind else 1
    return None


def source(sender: RTCRtpSender) -> int:
    """Return whose packets a sender's are (SSRC)."""
    return sender._ssrc  # noqa: SLF001  # seam
