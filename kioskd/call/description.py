"""What kioskd adds to its offer and checks in an answer (SDP, RFC 8866)."""

from __future__ import annotations

import re
from typing import Final

from aiortc.sdp import SessionDescription

from kioskd.call.feedback_seams import URI
from kioskd.errors import CallError

START_KBIT_S: Final = 600
"""Where Chromium begins to send; from its own start it takes many seconds to get there."""
RED_TYPE: Final = 63
"""The payload type of RED, the one that Chromium uses."""
FEEDBACK_EXTENSION: Final = 4
"""aiortc has 1 to 3."""
SDP_LIMIT: Final = 64 * 1024
KINDS: Final = ["audio", "video", "application"]


def with_start_bitrate(sdp: str) -> str:
    """Return our offer with a starting rate for the agent's video (Chromium reads it)."""
    video = re.search(r"^m=video \d+ \S+ (\d+)", sdp, re.MULTILINE)
    if video is None:
        return sdp
    return re.sub(
        rf"^(a=rtpmap:{video[1]} .*?)(\r?\n)",
        rf"\1\2a=fmtp:{video[1]} x-google-start-bitrate={START_KBIT_S}\2",
        sdp,
        count=1,
        flags=re.MULTILINE,
    )


def with_speech(sdp: str) -> str:
    """Return our offer with what Chromium reads of sound: in-band FEC (RFC 7587), and RED first.

    The far end that puts RED first sends it; one that does not know it leaves it out.
    """
    audio = re.search(r"^m=audio \d+ \S+ (\d+)", sdp, re.MULTILINE)
    if audio is None:
        return sdp
    opus = audio[1]
    lines = (
        rf"\1\2a=fmtp:{opus} minptime=10;useinbandfec=1\2"
        rf"a=rtpmap:{RED_TYPE} red/48000/2\2a=fmtp:{RED_TYPE} {opus}/{opus}\2"
    )
    sdp = re.sub(r"^(m=audio \d+ \S+)", rf"\1 {RED_TYPE}", sdp, count=1, flags=re.MULTILINE)
    return re.sub(
        rf"^(a=rtpmap:{opus} opus/48000/2)(\r?\n)", lines, sdp, count=1, flags=re.MULTILINE
    )


def with_feedback(sdp: str) -> str:
    """Return our offer with transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-01)."""
    lines = rf"\1\2a=extmap:{FEEDBACK_EXTENSION} {URI}\2a=rtcp-fb:* transport-cc\2"
    return re.sub(r"^(a=mid:[01])(\r?\n)", lines, sdp, flags=re.MULTILINE)


def gives_feedback(sdp: str) -> bool:
    """Tell whether an answer that was checked gives transport-wide feedback for all media."""
    return all(
        any(one.uri == URI and one.id == FEEDBACK_EXTENSION for one in media.rtp.headerExtensions)
        for media in SessionDescription.parse(sdp).media[:2]
    )


def in_short(sdp: str) -> str:
    """Return our offer without what it says more than once, a third of it.

    All media share the first's transport (RFC 8843), so that its candidates are enough, and of a
    certificate one fingerprint is (RFC 8122): SHA-256, which every browser knows. Mosquitto hands
    a message that is longer than 4 KiB to a page in pieces, a tenth of a second apart.
    """
    sdp = re.sub(r"^a=fingerprint:sha-(?!256 ).*\r?\n", "", sdp, flags=re.MULTILINE)
    sections = re.split(r"^(?=m=)", sdp, flags=re.MULTILINE)
    candidates = r"^a=(candidate:.*|end-of-candidates)\r?\n"
    rest = [re.sub(candidates, "", one, flags=re.MULTILINE) for one in sections[2:]]
    return "".join([*sections[:2], *rest])


def takes_red(sdp: str) -> bool:
    """Tell whether an answer that was checked takes RED as we offer it."""
    audio = SessionDescription.parse(sdp).media[0]
    return any(
        codec.payloadType == RED_TYPE and codec.name.lower() == "red" for codec in audio.rtp.codecs
    )


def check_answer(sdp: str) -> None:
    """Raise CallError for an answer that aiortc would fail on later, in the background."""
    if len(sdp) > SDP_LIMIT:
        raise CallError("the answer is too long")
    try:
        description = SessionDescription.parse(sdp)
    except Exception as error:
        # The parser raises whatever it runs into: ValueError, IndexError, KeyError...
        raise CallError(f"the answer is not SDP: {error!r}") from error
    if [media.kind for media in description.media] != KINDS:
        raise CallError("the answer needs audio, video and data, in this order")
    for media in description.media:
        if media.port == 0:
            raise CallError(f"the answer refuses {media.kind}")
        if media.dtls is None or not media.dtls.fingerprints:
            raise CallError(f"the answer has no fingerprint for {media.kind}")
    bundle = next((group for group in description.group if group.semantic == "BUNDLE"), None)
    if bundle is None or bundle.items != [media.rtp.muxId for media in description.media]:
        raise CallError("the answer does not bundle its media")
