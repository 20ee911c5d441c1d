"""Transport-wide feedback through aiortc itself, over loopback: fails when a seam moves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCBundlePolicy

from kioskd.call import feedback_seams
from kioskd.call.description import (
    FEEDBACK_EXTENSION,
    gives_feedback,
    with_feedback,
)
from kioskd.call.media import MicrophoneTrack
from kioskd.errors import DeviceError, Reason
from kioskd.hal.microphone import AudioChunk
from kioskd.rate import feedback
from tests.waiting import until


async def _mute() -> AudioChunk:
    raise DeviceError(Reason.UNPLUGGED)


@dataclass
class End:
    """One end of a call with sound and a channel; what its seams tell is kept."""

    pc: RTCPeerConnection
    numbered: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)
    came: list[tuple[int, int, int]] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)

    @classmethod
    def made(cls) -> End:
        configuration = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        end = cls(RTCPeerConnection(configuration))
        end.pc.addTrack(MicrophoneTrack(_mute))
        return end

    @property
    def sender(self) -> Any:
        return self.pc.getTransceivers()[0].sender

    def reach(self) -> None:
        feedback_seams.leave_place(self.sender, FEEDBACK_EXTENSION)
        transport = self.sender.transport
        feedback_seams.count(transport, FEEDBACK_EXTENSION, self._number, self.others.append)
        feedback_seams.hear(
            transport,
            FEEDBACK_EXTENSION,
            lambda *packet: self.came.append(packet),
            self.told.append,
        )

    def _number(self, size: int) -> int:
        self.numbered.append(size)
        return (65_530 + len(self.numbered)) % feedback.NUMBERS


@contextlib.asynccontextmanager
async def called() -> AsyncIterator[tuple[End, End]]:
    one, other = End.made(), End.made()
    try:
        channel = one.pc.createDataChannel("documents")
        await one.pc.setLocalDescription(await one.pc.createOffer())
        one.reach()
        await other.pc.setRemoteDescription(
            RTCSessionDescription(one.pc.localDescription.sdp, "offer")
        )
        other.reach()
        await other.pc.setLocalDescription(await other.pc.createAnswer())
        await one.pc.setRemoteDescription(
            RTCSessionDescription(other.pc.localDescription.sdp, "answer")
        )
        async with asyncio.timeout(20):
            await until(lambda: channel.readyState == "open")
        channel.send(bytes(1000))
        yield one, other
    finally:
        await one.pc.close()
        await other.pc.close()


async def test_packets_are_numbered_and_counted_and_feedback_comes_back() -> None:
    async with called() as (one, other), asyncio.timeout(20):
        await until(lambda: len(other.came) >= 20)
        first = other.came[0][0]
        assert [number for number, _, _ in other.came[:20]] == [
            (first + n) % feedback.NUMBERS for n in range(20)
        ]
        assert {source for _, source, _ in other.came} == {feedback_seams.source(one.sender)}
        assert all(60 < size < 200 for size in one.numbered)
        assert {size for _, _, size in other.came} <= set(one.numbered)
        await until(lambda: any(size > 1000 for size in one.others))
        fci = feedback.build(3, [256, None, 300], 0)
        transport = other.sender.transport
        await feedback_seams.tell(transport, feedback.packet(1, other.came[0][1], fci))
        await until(lambda: bool(one.told))
        assert one.told == [fci]


async def test_our_offer_asks_for_it_for_all_media() -> None:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        pc.addTrack(MicrophoneTrack(_mute))
        pc.addTransceiver("video")
        await pc.setLocalDescription(await pc.createOffer())
        plain = pc.localDescription.sdp
        asking = with_feedback(plain)
        assert not gives_feedback(plain)
        assert gives_feedback(asking)
        assert asking.count("a=rtcp-fb:* transport-cc\r\n") == 2
        # A far end that gives it for sound only gives none.
        once = asking.replace(f"a=extmap:{FEEDBACK_EXTENSION} ", "a=extmap:5 ", 1)
        assert not gives_feedback(once)
    finally:
        await pc.close()
