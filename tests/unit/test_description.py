"""An offer in short: nothing is said twice, and nothing is missing."""

from __future__ import annotations

import asyncio
from collections import Counter

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from kioskd.call.description import check_answer, in_short
from kioskd.call.leg import Leg
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.hal.camera import Frame
from kioskd.hal.microphone import AudioChunk

LONG = 2600
"""Of 4 KiB that Mosquitto sends in one piece: the rest is for token, proof and three kinds of
candidates."""


async def _no_picture() -> Frame:
    raise AssertionError("nothing is read for an offer")


async def _no_sound() -> AudioChunk:
    raise AssertionError("nothing is read for an offer")


async def _play(_: bytes) -> None:
    pass


async def test_an_offer_is_short_and_can_be_answered() -> None:
    leg = Leg(
        ice_servers=[],
        audio=MicrophoneTrack(_no_sound),
        video=CameraTrack(_no_picture),
        on_control=lambda _: None,
        on_document=lambda _, __: None,
        on_remote_video=lambda *_: None,
        on_remote_audio=_play,
        on_state=lambda _: None,
    )
    agent = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        async with asyncio.timeout(30):
            offer = await leg.offer()
            await agent.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            await agent.setLocalDescription(await agent.createAnswer())
    finally:
        await agent.close()
        await leg.close()
    lines = offer.splitlines()
    assert len(offer) < LONG
    assert not {line: n for line, n in Counter(lines).items() if n > 1 and "candidate" in line}
    assert {line.split()[0] for line in lines if "fingerprint" in line} == {"a=fingerprint:sha-256"}
    assert sum(line.startswith("a=fingerprint:") for line in lines) == 3
    assert lines.index("a=end-of-candidates") < next(
        place for place, line in enumerate(lines) if line.startswith("m=video")
    )
    check_answer(agent.localDescription.sdp if agent.localDescription else "")


def test_what_is_no_description_stays_as_it_is() -> None:
    assert in_short("v=0\r\n") == "v=0\r\n"
