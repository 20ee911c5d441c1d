"""The own picture through aiortc itself, over loopback: these fail when a release moves a seam."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs.vpx import VpxPayloadDescriptor
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpSendParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    HeaderExtensionsMap,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    RtpPacket,
    is_rtcp,
    pack_remb_fci,
)

from kioskd.call import picture_seams
from kioskd.call.leg import Leg
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.call.picture import LegPicture
from kioskd.errors import CallError, DeviceError, Reason
from kioskd.hal.camera import Frame
from kioskd.picture import vpx
from kioskd.picture.coder import Coder
from tests.pictures import planes
from tests.waiting import until

FPS = 30
START_BPS = 200_000
WIDTH, HEIGHT = 640, 480
CLIP = [planes(n, WIDTH, HEIGHT).tobytes() for n in range(30)]


class Camera:
    """Takes pictures at FPS, by the clock."""

    def __init__(self) -> None:
        self._next = 0.0
        self.taken = 0
        self._more = asyncio.Event()
        self.opened = asyncio.Event()
        self.opened.set()

    async def takes(self, more: int) -> None:
        wanted = self.taken + more
        async with asyncio.timeout(20):
            while self.taken < wanted:
                self._more.clear()
                await self._more.wait()

    async def frame(self) -> Frame:
        loop = asyncio.get_running_loop()
        await self.opened.wait()
        self._next = max(self._next + 1 / FPS, loop.time())
        await asyncio.sleep(self._next - loop.time())
        self.taken += 1
        self._more.set()
        return Frame(WIDTH, HEIGHT, CLIP[self.taken % len(CLIP)], self.taken, loop.time())


@dataclass
class Call:
    """The kiosk's end and what arrives at the other; `sent` are packets and when they left."""

    kiosk: RTCPeerConnection
    agent: RTCPeerConnection
    camera: Camera
    sizes: list[tuple[int, int]] = field(default_factory=list)
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    picture: LegPicture = field(init=False)

    @property
    def sender(self) -> Any:
        return self.kiosk.getTransceivers()[0].sender

    def packets(self, ssrc: int) -> list[tuple[float, bytes]]:
        mine = ssrc.to_bytes(4, "big")
        return [(at, p) for at, p in self.sent if not is_rtcp(p) and p[8:12] == mine]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def more(self, pictures: int) -> None:
        seen = len(self.sizes)
        await self.until(lambda: len(self.sizes) >= seen + pictures)

    async def ask(self, fmt: int, fci: bytes = b"") -> None:
        sender = self.sender
        await sender._handle_rtcp_packet(RtcpPsfbPacket(fmt, 1, sender._ssrc, fci))

    async def watch(self, track: Any) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                self.sizes.append((frame.width, frame.height))
                self.changed.set()

    def listen(self) -> None:
        transport = self.sender.transport
        send = transport._send_rtp

        async def noted(data: bytes) -> None:
            self.sent.append((asyncio.get_running_loop().time(), data))
            await send(data)

        transport._send_rtp = noted


@contextlib.asynccontextmanager
async def call() -> AsyncIterator[Call]:
    kiosk, agent = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    camera = Camera()
    one = Call(kiosk, agent, camera)
    watching: list[asyncio.Task[None]] = []
    agent.on("track", lambda track: watching.append(asyncio.create_task(one.watch(track))))
    kiosk.addTrack(CameraTrack(camera.frame))
    one.picture = LegPicture(kiosk.getTransceivers()[0], START_BPS)
    try:
        await kiosk.setLocalDescription(await kiosk.createOffer())
        one.listen()
        await agent.setRemoteDescription(RTCSessionDescription(kiosk.localDescription.sdp, "offer"))
        await agent.setLocalDescription(await agent.createAnswer())
        await kiosk.setRemoteDescription(
            RTCSessionDescription(agent.localDescription.sdp, "answer")
        )
        yield one
    finally:
        one.picture.close()
        await kiosk.close()
        await agent.close()
        await asyncio.gather(*watching)


def picture_ids(packets: list[tuple[float, bytes]]) -> list[int]:
    ids = []
    for _, packet in packets:
        # RFC 3550, section 5.3.1: our packets have an extension, of so many words.
        begin = 16 + 4 * int.from_bytes(packet[14:16], "big")
        descriptor, _ = VpxPayloadDescriptor.parse(packet[begin:])
        assert descriptor.picture_id is not None
        if descriptor.partition_start:
            ids.append(descriptor.picture_id)
    return ids


def times(packets: list[tuple[float, bytes]]) -> list[int]:
    """Read when packets say that they left, of 2^18 ticks a second."""
    extensions = HeaderExtensionsMap()
    extensions.configure(
        RTCRtpSendParameters(
            headerExtensions=[RTCRtpHeaderExtensionParameters(3, picture_seams.SEND_TIME)]
        )
    )
    found = [RtpPacket.parse(p, extensions).extensions.abs_send_time for _, p in packets]
    return [one for one in found if one is not None]


async def test_what_is_sent_keeps_to_the_rate_headers_included() -> None:
    async with call() as one:
        one.picture.target_bps = 150_000
        await one.more(20)
        sent = one.packets(one.sender._ssrc)
        await one.more(200)  # what a busy machine sends late is little of them
        more = one.packets(one.sender._ssrc)[len(sent) :]
        seconds = more[-1][0] - more[0][0]
        # IPv4, UDP and SRTP's tag come on top of what is seen here.
        bps = 8 * sum(len(packet) + 38 for _, packet in more[:-1]) / seconds
        assert 0.6 * 150_000 < bps < 1.1 * 150_000


async def test_packets_say_when_they_left() -> None:
    async with call() as one:
        await one.more(20)
        packets = one.packets(one.sender._ssrc)
        told = times(packets)
        assert len(told) == len(packets)
        for (at, _), (later, _), tick, other in zip(
            packets, packets[1:], told, told[1:], strict=False
        ):
            assert (other - tick) % (1 << 24) / (1 << 18) == pytest.approx(later - at, abs=0.05)


async def test_pictures_arrive_and_their_size_follows_the_rate() -> None:
    async with call() as one:
        assert one.picture.target_bps == START_BPS
        await one.more(5)
        assert one.sizes[0] == (320, 240)
        one.picture.target_bps = 180_000  # a little less: the rate changes in place
        await one.more(5)
        assert one.picture.key_frames == 1
        one.picture.target_bps = 60_000
        await one.until(lambda: (240, 180) in one.sizes)
        await one.more(5)
        assert one.picture.key_frames == 2
        assert set(one.sizes) == {(320, 240), (240, 180)}
        ids = picture_ids(one.packets(one.sender._ssrc))
        assert len(ids) >= len(one.sizes)
        assert {(two - first) % (1 << 15) for first, two in itertools.pairwise(ids)} == {1}
        assert one.picture.rung is not None
        assert one.picture.rung.fps == 24


async def test_below_all_rates_there_is_no_picture_until_there_is_room_again() -> None:
    async with call() as one:
        await one.more(3)
        one.picture.target_bps = 5_000
        await one.camera.takes(2)  # the one in hand
        sent = one.picture.pictures
        await one.camera.takes(10)
        assert one.picture.pictures == sent
        one.picture.target_bps = 100_000
        await one.more(3)


async def test_a_storm_of_requests_is_answered_with_one_key_frame() -> None:
    async with call() as one:
        await one.more(5)
        begun = asyncio.get_running_loop().time()
        for _ in range(60):
            await one.ask(RTCP_PSFB_PLI)
            await asyncio.sleep(0.02)
        await one.until(lambda: one.picture.key_frames >= 2)
        seconds = asyncio.get_running_loop().time() - begun
        # The first of all counts too.
        assert one.picture.key_frames <= 2 + seconds


async def test_encoding_is_on_a_thread_of_its_own_that_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = set()
    encode = Coder.encode

    def noted(self: Coder, *args: Any, **kwargs: Any) -> Any:
        threads.add(threading.current_thread())
        return encode(self, *args, **kwargs)

    monkeypatch.setattr(Coder, "encode", noted)
    async with call() as one:
        await one.more(5)
    (thread,) = threads
    assert thread.name.startswith("picture")
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()


async def test_an_error_of_the_coder_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = True
    encode = Coder.encode

    def fails(self: Coder, *args: Any, **kwargs: Any) -> Any:
        if failing:
            raise ValueError("vpx: on purpose")
        return encode(self, *args, **kwargs)

    monkeypatch.setattr(Coder, "encode", fails)
    async with call() as one:
        await one.camera.takes(5)
        failing = False
        await one.more(3)


async def test_the_far_ends_estimate_is_followed() -> None:
    told: list[float] = []
    async with call() as one:
        one.picture._tell = told.append
        await one.more(1)
        await one.ask(RTCP_PSFB_APP, pack_remb_fci(100_000, [one.sender._ssrc]))
        assert one.picture.target_bps == pytest.approx(95_000, rel=0.01)
        assert told == [pytest.approx(100_000, rel=0.01)]
        await one.ask(RTCP_PSFB_APP, pack_remb_fci(900_000, [one.sender._ssrc ^ 1]))
        assert one.picture.target_bps == pytest.approx(95_000, rel=0.01)
        one.picture.target_bps = 500_000  # whoever knows better goes first
        await one.ask(RTCP_PSFB_APP, pack_remb_fci(100_000, [one.sender._ssrc]))
        assert one.picture.target_bps == 500_000


async def test_packets_of_a_picture_leave_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kioskd.call.picture.payload_bytes", lambda _: 100)
    async with call() as one:
        await one.more(20)
        packets = one.packets(one.sender._ssrc)
        by_picture: dict[bytes, list[float]] = {}
        for at, packet in packets:
            by_picture.setdefault(packet[4:8], []).append(at)
        first = next(iter(by_picture.values()))
        rate = 8 * sum(len(p) + 28 for _, p in packets[1 : len(first)]) / (first[-1] - first[0])
        # At twice the target, as well as a loop's clock allows; in one go it were endless.
        assert rate < 4 * START_BPS
        # What is sent once more goes the same way, once.
        newest = int.from_bytes(packets[-1][1][2:4], "big")
        lost = RtcpRtpfbPacket(
            RTCP_RTPFB_NACK, 1, one.sender._ssrc, [newest - back for back in range(5)]
        )
        for _ in range(3):
            await one.sender._handle_rtcp_packet(lost)
        await one.more(5)
        again = one.packets(one.sender._rtx_ssrc)
        assert len(again) == 5
        # They say when they left, not when they left first; after 64 s that begins anew.
        assert 0 < (times(again)[0] - times(packets)[-1]) % (1 << 24) < 1 << 23
        # Reports are sent on the same way.
        await one.until(lambda: any(is_rtcp(p) for _, p in one.sent))


async def test_what_is_sent_once_more_waits_for_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kioskd.call.media.CAMERA_PATIENCE_S", 60)
    async with call() as one:
        await one.more(20)
        one.camera.opened.clear()
        newest = int.from_bytes(one.packets(one.sender._ssrc)[-1][1][2:4], "big")
        lost = RtcpRtpfbPacket(RTCP_RTPFB_NACK, 1, one.sender._ssrc, [newest - 1, newest])
        for again in (2, 4):  # a last picture may still have been on its way at the first time
            await one.sender._handle_rtcp_packet(lost)
            await until(lambda: len(one.packets(one.sender._rtx_ssrc)) == again)  # noqa: B023
        one.camera.opened.set()


async def test_what_is_asked_for_again_and_again_holds_nothing_new_up() -> None:
    async with call() as one:
        await one.more(20)
        newest = int.from_bytes(one.packets(one.sender._ssrc)[-1][1][2:4], "big")
        lost = RtcpRtpfbPacket(
            RTCP_RTPFB_NACK, 1, one.sender._ssrc, [newest - back for back in range(20)]
        )
        sent, begun = one.picture.pictures, asyncio.get_running_loop().time()
        for _ in range(60):
            await one.sender._handle_rtcp_packet(lost)
            await one.camera.takes(1)
        seconds = asyncio.get_running_loop().time() - begun
        assert one.picture.pictures - sent >= 20
        again = sum(len(packet) for _, packet in one.packets(one.sender._rtx_ssrc))
        assert again * 8 < (seconds + 2) * START_BPS


def test_frames_are_cut_evenly() -> None:
    data = bytes(range(256)) * 15
    cut = picture_seams.payloads(data, 5, 1200)
    parsed = [VpxPayloadDescriptor.parse(one) for one in cut]
    assert b"".join(rest for _, rest in parsed) == data
    assert [(d.partition_start, d.picture_id) for d, _ in parsed] == [(1, 5), *[(0, 5)] * 3]
    assert {len(one) for one in cut} == {4 + 960}


async def test_without_the_library_a_call_fails_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> None:
        raise OSError("libvpx.so.7 of libvpx7 is missing")

    async def nothing(*_: Any) -> Any:
        raise DeviceError(Reason.UNPLUGGED)

    monkeypatch.setattr(vpx, "check", missing)
    leg = Leg(
        ice_servers=[],
        audio=MicrophoneTrack(nothing),
        video=CameraTrack(nothing),
        on_control=lambda _: None,
        on_document=lambda _, __: None,
        on_remote_video=lambda _, __, ___: None,
        on_remote_audio=nothing,
        on_state=lambda _: None,
    )
    with pytest.raises(CallError, match="libvpx7 is missing"):
        await leg.offer()
    await leg.close()
