"""H.264 and VP8 in turn through aiortc itself: these fail when a release moves a seam."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, rtcrtpreceiver
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RTCP_RTPFB_NACK, RtcpRtpfbPacket, is_rtcp

from kioskd.call.coding import LegCoder
from kioskd.call.media import CameraTrack
from kioskd.call.picture import LegPicture
from tests.unit.test_picture_seams import Camera


@dataclass
class Call:
    """A kiosk that may send H.264, and what an aiortc decodes of it, by codec."""

    kiosk: RTCPeerConnection
    agent: RTCPeerConnection
    picture: LegPicture
    decoded: list[str] = field(default_factory=list)
    """The codec of each picture that was decoded."""
    sent: list[bytes] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def sender(self) -> Any:
        return self.kiosk.getTransceivers()[0].sender

    def types(self) -> dict[int, str]:
        """Return the negotiated payload types: a codec's name, or "rtx of" one."""
        codecs: list[RTCRtpCodecParameters] = self.kiosk.getTransceivers()[0]._codecs
        names: dict[Any, str] = {one.payloadType: one.name for one in codecs}
        for one in codecs:
            if "apt" in one.parameters:
                names[one.payloadType] = f"rtx of {names[one.parameters['apt']]}"
        return names

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def more(self, codec: str, pictures: int = 5) -> None:
        seen = self.decoded.count(codec)
        await self.until(lambda: self.decoded.count(codec) >= seen + pictures)

    async def watch(self, track: Any) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.changed.set()


@contextlib.asynccontextmanager
async def call(monkeypatch: pytest.MonkeyPatch, *, lacks: str = "") -> AsyncIterator[Call]:
    kiosk, agent = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    kiosk.addTrack(CameraTrack(Camera().frame))
    picture = LegPicture(kiosk.getTransceivers()[0], 200_000, coder=LegCoder(software_h264=True))
    one = Call(kiosk, agent, picture)
    get_decoder: Any = vars(rtcrtpreceiver)["get_decoder"]

    def counted(codec: RTCRtpCodecParameters) -> Any:
        decoder: Any = get_decoder(codec)
        decode = decoder.decode

        def noted(frame: Any) -> Any:
            pictures = decode(frame)
            one.decoded += [codec.name] * len(pictures)
            return pictures

        decoder.decode = noted
        return decoder

    monkeypatch.setattr(rtcrtpreceiver, "get_decoder", counted)
    watching: list[asyncio.Task[None]] = []
    agent.on("track", lambda track: watching.append(asyncio.create_task(one.watch(track))))
    try:
        await kiosk.setLocalDescription(await kiosk.createOffer())
        transport = one.sender.transport
        send = transport._send_rtp

        async def sent(data: bytes) -> None:
            one.sent.append(data)
            await send(data)

        transport._send_rtp = sent
        offer = kiosk.localDescription.sdp
        if lacks:
            offer = offer.replace(f"{lacks}/90000", "unheard-of/90000")
        await agent.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await agent.setLocalDescription(await agent.createAnswer())
        answer = RTCSessionDescription(agent.localDescription.sdp, "answer")
        await kiosk.setRemoteDescription(answer)
        yield one
    finally:
        picture.close()
        await kiosk.close()
        await agent.close()
        await asyncio.gather(*watching)


async def test_vp8_is_offered_first_and_h264_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with call(monkeypatch) as one:
        offered = one.kiosk.localDescription.sdp
        assert offered.index("VP8/90000") < offered.index("H264/90000")
        assert "42e01f" in offered
        assert "42001f" not in offered
        await one.more("H264")
        assert set(one.decoded) == {"H264"}
        one.picture.target_bps = 60_000  # of another size
        await one.more("H264")


async def test_who_takes_no_h264_gets_vp8(monkeypatch: pytest.MonkeyPatch) -> None:
    async with call(monkeypatch, lacks="H264") as one:
        await one.more("VP8")
        assert set(one.decoded) == {"VP8"}


async def test_who_takes_h264_only_gets_no_vp8(monkeypatch: pytest.MonkeyPatch) -> None:
    async with call(monkeypatch, lacks="VP8") as one:
        await one.more("H264")
        takes, one.picture._coder.takes_h264 = one.picture._coder.takes_h264, lambda: False
        await asyncio.sleep(0.2)  # some pictures that are not for it
        one.picture._coder.takes_h264 = takes
        await one.more("H264")
        assert set(one.decoded) == {"H264"}


async def test_the_codec_changes_within_a_call_and_so_does_what_is_sent_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with call(monkeypatch) as one:
        await one.more("H264")
        takes, one.picture._coder.takes_h264 = one.picture._coder.takes_h264, lambda: False
        await one.more("VP8")
        await _lose(one)
        one.picture._coder.takes_h264 = takes
        await one.more("H264")
        await _lose(one)
        kinds = [one.types()[p[1] & 0x7F] for p in one.sent if not is_rtcp(p)]
        again = [kind for kind in kinds if kind.startswith("rtx")]
        assert sorted(set(again), key=again.index) == ["rtx of VP8", "rtx of H264"]
        assert one.decoded.count("H264") > 5


async def _lose(one: Call) -> None:
    """Have the newest packet sent once more."""
    mine = one.sender._ssrc.to_bytes(4, "big")
    again = one.sender._rtx_ssrc.to_bytes(4, "big")

    def count() -> int:
        return sum(not is_rtcp(p) and p[8:12] == again for p in one.sent)

    before = count()
    newest = next(p for p in reversed(one.sent) if not is_rtcp(p) and p[8:12] == mine)
    number = int.from_bytes(newest[2:4], "big")
    await one.sender._handle_rtcp_packet(
        RtcpRtpfbPacket(RTCP_RTPFB_NACK, 1, one.sender._ssrc, [number])
    )
    await one.until(lambda: count() > before)
