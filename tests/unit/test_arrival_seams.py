"""The seam that takes pictures from aiortc, against aiortc: it fails when a release moves it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiortc.clock
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import VideoStreamTrack
from av import Packet
from av.video.codeccontext import VideoCodecContext

from kioskd.call.arrival_seams import CODECS, Arrivals, Arrived
from kioskd.call.seams import KeyframeRequester
from kioskd.picture.lipsync import Clock, LipSync


@contextlib.asynccontextmanager
async def receiving(lips: LipSync | None = None) -> AsyncIterator[tuple[RTCRtpReceiver, Any]]:
    """Give a receiver of pictures whose arrivals are ours, and what lets them begin."""
    kiosk, agent = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    video = kiosk.addTransceiver("video", "recvonly")
    capabilities = RTCRtpReceiver.getCapabilities("video")
    assert capabilities is not None
    wanted = ("video/VP8", "video/rtx")
    video.setCodecPreferences([c for c in capabilities.codecs if c.mimeType in wanted])
    asking = asyncio.create_task(Arrivals(video.receiver, lips or LipSync()).run())
    agent.addTrack(VideoStreamTrack())

    async def join() -> None:
        await kiosk.setLocalDescription(await kiosk.createOffer())
        offer = RTCSessionDescription(kiosk.localDescription.sdp, "offer")
        await agent.setRemoteDescription(offer)
        await agent.setLocalDescription(await agent.createAnswer())
        answer = RTCSessionDescription(agent.localDescription.sdp, "answer")
        await kiosk.setRemoteDescription(answer)

    try:
        yield video.receiver, join
    finally:
        asking.cancel()
        await asyncio.gather(kiosk.close(), agent.close())


async def test_received_frames_stay_encoded_and_key_frames_can_be_asked_for() -> None:
    keys = 0
    decoder = VideoCodecContext.create("vp8", "r")
    async with receiving() as (receiver, join), asyncio.timeout(20):
        await join()
        requester = KeyframeRequester(receiver)
        for number in range(60):
            frame: object = await receiver.track.recv()
            assert isinstance(frame, Arrived)
            assert frame.key or number > 0
            assert decoder.decode(Packet(frame.data))[0].width == 640
            keys += frame.key
            if number == 2:
                await requester.request()
            if keys == 2:
                break
    assert keys == 2


async def test_what_is_lost_again_is_asked_for_again() -> None:
    """Of each ten packets one is lost, and so are the first answers to what was asked for."""
    async with receiving() as (receiver, join), asyncio.timeout(20):
        transport = receiver.transport
        handle = transport._handle_rtp_data
        came: Counter[bytes] = Counter()
        lost: Counter[bytes] = Counter()

        async def losing(data: bytes, arrival_time_ms: int) -> None:
            """Lose packets before SRTP has seen them, by their sources (RFC 4588, section 4)."""
            source = data[8:12]
            came[source] += 1
            again = source != next(iter(came))
            if came[source] <= 2 if again else came[source] % 10 == 9:
                lost[source] += 1
            else:
                await handle(data, arrival_time_ms=arrival_time_ms)

        transport._handle_rtp_data = losing  # type: ignore[method-assign]
        await join()
        frames: list[Any] = [await receiver.track.recv() for _ in range(45)]
    # No picture is missing, at 30 a second.
    steps = [after.micros - before.micros for before, after in itertools.pairwise(frames)]
    assert all(abs(step - 33_333) < 1_000 for step in steps)
    assert [frame.key for frame in frames].count(True) == 1
    assert [count >= 2 for count in lost.values()] == [True, True]


async def test_what_the_page_cannot_decode_does_not_get_there() -> None:
    taken: list[Arrived] = []
    codecs = {96: SimpleNamespace(name="VP8"), 97: SimpleNamespace(name="H264")}
    track = SimpleNamespace(_queue=SimpleNamespace(put_nowait=taken.append))
    names = {"_RTCRtpReceiver__jitter_buffer": None, "_RTCRtpReceiver__nack_generator": None}
    reports = {"_handle_rtcp_packet": None}
    receiver: Any = SimpleNamespace(_track=track, **names, **reports, **{CODECS: codecs})
    arrivals = Arrivals(receiver, LipSync())
    key = b"\x10\x00\x00\x9d\x01\x2a"
    for number, kind in enumerate((97, 96, 97)):
        packet: Any = SimpleNamespace(
            sequence_number=number,
            timestamp=number,
            payload_type=kind,
            ssrc=1,
            marker=1,
            _data=key,
        )
        assert arrivals.add(packet) == (False, None)
    assert [one.data for one in taken] == [key]


class Heeded(LipSync):
    """Lip sync that has a picture wait for a second, once it knows the sender's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.reported: list[tuple[Clock, int, float]] = []

    def report(self, clock: Clock, source: int, timestamp: int, ntp_s: float) -> None:
        """Note it."""
        self.reported.append((clock, timestamp, ntp_s))

    def wait(self, source: int, timestamp: int, now: float) -> float:
        """Tell a second, or nothing before."""
        return 1.0 if self.reported else 0.0


async def test_the_senders_reports_tell_when_a_picture_is_due() -> None:
    lips = Heeded()
    async with receiving(lips) as (receiver, join), asyncio.timeout(20):
        seen: set[int] = set()
        handle = receiver._handle_rtp_packet

        async def note(packet: Any, arrival_time_ms: int) -> None:
            seen.add(packet.timestamp)
            await handle(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = note  # type: ignore[method-assign]
        await join()
        before = aiortc.clock.current_ntp_time() / (1 << 32)
        while not lips.reported:
            frame: Any = await receiver.track.recv()
        now = asyncio.get_running_loop().time()
        while frame.due < now + 0.5:
            frame = await receiver.track.recv()
    clock, timestamp, ntp_s = lips.reported[0]
    assert clock is Clock.PICTURE
    assert timestamp in seen
    assert 0 < ntp_s - before < 20
