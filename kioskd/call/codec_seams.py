"""Where the choice of the own picture's codec reaches into aiortc's inside. Written for 1.16.

The offer names VP8 first and H.264 after it. The agent's browser sends what comes first, so that
the resident's page gets VP8; of what both know either end may send what it likes (RFC 3264,
section 5.1), and change from one packet to the next. aiortc sends the first codec only:

    RTCRtpSender.send                     called once, with the codecs that both know
    RTCRtpSender._run_rtp                 reads `payloadType` of the first of them for each packet
    RTCRtpSender.__rtx_payload_type       marks what is sent once more
    RTCRtpSender.__rtp_history            what can be sent once more

tests/unit/test_codec_seams.py fails when a new release moves one of them.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Final

from aiortc import RTCRtpSender, RTCRtpTransceiver
from aiortc.codecs import get_capabilities
from aiortc.rtcrtpparameters import (
    RTCRtpCodecCapability,
    RTCRtpCodecParameters,
    RTCRtpSendParameters,
)

from kioskd.call.picture_seams import payloads as vp8_payloads
from kioskd.picture import nal
from kioskd.picture.encoded import Codec, Encoded
from kioskd.picture.h264 import PROFILE

RTX_TYPE: Final = "_RTCRtpSender__rtx_payload_type"
HISTORY: Final = "_RTCRtpSender__rtp_history"


def offer(video: RTCRtpTransceiver, *, h264: bool) -> None:
    """Offer VP8, H.264 too where `h264`, and retransmission of each."""
    capabilities = get_capabilities("video").codecs
    wanted = [one for one in capabilities if one.name == Codec.VP8]
    if h264:
        wanted += [one for one in capabilities if _is_ours(one)]
    video.setCodecPreferences(wanted + [one for one in capabilities if one.name == "rtx"])


def _is_ours(codec: RTCRtpCodecCapability | RTCRtpCodecParameters) -> bool:
    return codec.name == Codec.H264 and codec.parameters.get("profile-level-id") == PROFILE


class Marking:
    """Marks a sender's packets with the codec that they are of.

    To be made before the answer is applied.
    """

    def __init__(self, sender: RTCRtpSender) -> None:
        getattr(sender, RTX_TYPE)  # fails at once where aiortc has moved it
        getattr(sender, HISTORY)
        self._sender = sender
        self._used = Codec.VP8
        self._types: dict[Codec, tuple[int, int | None]] = {}
        self._sent: RTCRtpCodecParameters | None = None
        self._send = sender.send
        sender.send = self._begin  # type: ignore[method-assign]  # seam

    def takes(self, codec: Codec) -> bool:
        """Tell whether the far end takes it; False until it has answered."""
        return codec in self._types

    def use(self, codec: Codec) -> None:
        """Mark what is sent from now on as being of this codec, which the far end takes."""
        if codec is self._used or self._sent is None:
            return
        self._used = codec
        self._sent.payloadType, again = self._types[codec]
        setattr(self._sender, RTX_TYPE, again)
        # Sent once more it would be marked as what it is not.
        getattr(self._sender, HISTORY).clear()

    async def _begin(self, parameters: RTCRtpSendParameters) -> None:
        if self._sent is None:
            again = {c.parameters["apt"]: c.payloadType for c in parameters.codecs if _is_rtx(c)}
            for codec in parameters.codecs:
                if not _is_rtx(codec):
                    assert codec.payloadType is not None  # it is negotiated
                    types = (codec.payloadType, again.get(codec.payloadType))
                    self._types.setdefault(Codec(codec.name), types)
            # The receiver has the same objects.
            self._sent = copy.copy(parameters.codecs[0])
            codecs = [self._sent, *parameters.codecs[1:]]
            parameters = dataclasses.replace(parameters, codecs=codecs)
        await self._send(parameters)


def _is_rtx(codec: RTCRtpCodecParameters) -> bool:
    return codec.name.lower() == "rtx"


def payloads(picture: Encoded, picture_id: int, most: int) -> list[bytes]:
    """Cut a picture into the payloads of its codec, of `most` bytes or a little more."""
    if picture.codec is Codec.H264:
        return nal.payloads(picture.data, most)
    return vp8_payloads(picture.data, picture_id, most)
