"""What kioskd spares aiortc, with aiortc itself: these fail when a release moves a seam."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aioice.ice import StunProtocol
from aiortc import RTCConfiguration, RTCDtlsTransport, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack, VideoStreamTrack
from aiortc.rtp import RtcpRrPacket, RtpPacket, is_rtcp
from structlog.testing import capture_logs

from kioskd.call import cost_seams, seams
from kioskd.call.media import MicrophoneTrack
from kioskd.call.speech import SpeechEncoder
from kioskd.hal.microphone import CHUNK_BYTES, AudioChunk
from tests.e2e.stage import wait_for


async def _silence() -> AudioChunk:
    await asyncio.sleep(0.02)
    return AudioChunk(bytes(CHUNK_BYTES), asyncio.get_running_loop().time())


def _is_rtp(data: bytes) -> bool:
    return len(data) > 1 and 127 < data[0] < 192 and not is_rtcp(data)


class Call:
    """A kiosk's end and an agent's, over loopback; `queued` is what the kiosk's pump gets.

    `alone` is what of it came while nothing waited: on a busy machine other packets come in the
    same turn of the loop, and wait behind it.
    """

    def __init__(self) -> None:
        self.kiosk = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.agent = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.queued: list[bytes] = []
        self.alone: list[bytes] = []
        self.opened = asyncio.Event()

    @property
    def dtls(self) -> RTCDtlsTransport:
        return self.kiosk.getTransceivers()[0].receiver.transport

    @property
    def ice(self) -> Any:
        return self.dtls.transport.iceGatherer._connection

    @property
    def protocol(self) -> StunProtocol:
        one: StunProtocol = self.ice._nominated[1].protocol
        return one

    async def join(self) -> None:
        kiosk, agent = self.kiosk, self.agent
        kiosk.createDataChannel("one").on("open", self.opened.set)
        await kiosk.setLocalDescription(await kiosk.createOffer())
        cost_seams.receive_at_once(self.dtls)
        cost_seams.send_straight(self.dtls)
        usual = self.ice.data_received

        def note(data: bytes, component: int) -> None:
            self.queued.append(data)
            if self.ice._queue.empty():
                self.alone.append(data)
            usual(data, component)

        self.ice.data_received = note
        await agent.setRemoteDescription(RTCSessionDescription(kiosk.localDescription.sdp, "offer"))
        await agent.setLocalDescription(await agent.createAnswer())
        await kiosk.setRemoteDescription(
            RTCSessionDescription(agent.localDescription.sdp, "answer")
        )
        async with asyncio.timeout(20):
            await self.opened.wait()
        self.queued.clear()
        self.alone.clear()

    async def gets(self, packets: int) -> None:
        wanted = seams.packets_received(self.kiosk) + packets
        await wait_for(
            lambda: seams.packets_received(self.kiosk) >= wanted, 20, "no packets have come"
        )


@contextlib.asynccontextmanager
async def call(track: MediaStreamTrack) -> AsyncIterator[Call]:
    """Let the agent send this track."""
    it = Call()
    try:
        it.kiosk.addTransceiver(track.kind, "recvonly")
        it.agent.addTrack(track)
        await it.join()
        yield it
    finally:
        await asyncio.gather(it.kiosk.close(), it.agent.close())


async def test_media_are_handled_when_they_come_and_the_rest_as_ever() -> None:
    async with call(MicrophoneTrack(_silence)) as it:
        receiver = it.kiosk.getTransceivers()[0].receiver
        await it.gets(30)
        assert it.agent.sctp is not None
        for channel in it.agent.sctp._data_channels.values():
            channel.send("word")
        await wait_for(lambda: any(map(_is_other, it.queued)), 20, "the channel is silent")
        await wait_for(lambda: any(map(is_rtcp, it.queued)), 20, "no report has come")
        sources = receiver.getSynchronizationSources()
        assert vars(it.protocol.transport)["max_size"] == cost_seams.LARGEST
    assert len(sources) == 1
    assert not any(map(_is_rtp, it.alone))


def _is_other(data: bytes) -> bool:
    return 19 < data[0] < 64


async def test_nothing_overtakes_what_waits() -> None:
    async with call(MicrophoneTrack(_silence)) as it:
        packet = RtpPacket(96, 0, 1, 1, 1, b"forged").serialize()
        await wait_for(it.ice._queue.empty, 20, "the queue is not read")
        it.protocol.datagram_received(packet, ("127.0.0.1", 1))
        assert it.ice._queue.empty()
        it.ice._queue.put_nowait((packet, 1))
        it.protocol.datagram_received(packet, ("127.0.0.1", 1))
        assert it.ice._queue.qsize() == 2
        await it.gets(5)  # what is forged harms nothing


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80\x60" + bytes(1900), b"\x80\xc8" + bytes(1900)],
    ids=["empty", "large rtp", "large rtcp"],
)
async def test_a_stranger_cannot_end_the_call_with_one_datagram(data: bytes) -> None:
    async with call(MicrophoneTrack(_silence)) as it:
        it.protocol.datagram_received(data, ("127.0.0.1", 1))
        await it.gets(10)


async def test_reports_go_straight_to_the_socket_and_are_counted() -> None:
    async with call(MicrophoneTrack(_silence)) as it:
        sent: list[int] = []
        sendto = it.protocol.transport.sendto

        def noted(data: bytes, addr: tuple[Any, ...] | None = None) -> None:
            sent.append(len(data))
            sendto(data, addr)

        it.protocol.transport.sendto = noted  # type: ignore[method-assign,assignment]
        before = it.dtls._get_stats()[it.dtls._stats_id]
        await it.dtls._send_rtp(bytes(RtcpRrPacket(ssrc=7)))
        after = it.dtls._get_stats()[it.dtls._stats_id]
        assert after.packetsSent - before.packetsSent == 1
        assert after.bytesSent - before.bytesSent == sent[-1]
        await wait_for(lambda: _reported(it), 20, "the agent has got no report")
    with pytest.raises(ConnectionError):
        await it.dtls._send_rtp(bytes(RtcpRrPacket(ssrc=7)))


def _reported(it: Call) -> bool:
    sender = it.agent.getSenders()[0]
    return any(one.type == "remote-inbound-rtp" for one in sender._RTCRtpSender__stats.values())  # type: ignore[attr-defined]


async def test_lost_packets_are_asked_for_once_more() -> None:
    async with call(VideoStreamTrack()) as it:
        again: list[int] = []
        sender = it.agent.getSenders()[0]
        retransmit, take, count = sender._retransmit, it.protocol.datagram_received, 0

        async def noted(sequence_number: int) -> None:
            again.append(sequence_number)
            await retransmit(sequence_number)

        def lossy(data: bytes, addr: tuple[Any, ...]) -> None:
            nonlocal count
            count += _is_rtp(data)
            if not _is_rtp(data) or count % 10:
                take(data, addr)

        sender._retransmit = noted  # type: ignore[method-assign]
        it.protocol.datagram_received = lossy  # type: ignore[method-assign,assignment]
        with capture_logs() as logs:
            await wait_for(lambda: len(again) >= 3, 20, "nothing was asked for once more")
    assert not [one for one in logs if one["event"] == "leg.packet_failed"]


async def test_an_error_costs_one_packet() -> None:
    async with call(MicrophoneTrack(_silence)) as it:
        handle, failed = it.dtls._handle_rtp_data, 0

        async def fails(data: bytes, arrival_time_ms: int) -> None:
            nonlocal failed
            failed += 1
            if failed == 1:
                raise ZeroDivisionError
            if failed == 2:
                await asyncio.sleep(0)
            await handle(data, arrival_time_ms)

        it.dtls._handle_rtp_data = fails  # type: ignore[method-assign]
        with capture_logs() as logs:
            await it.gets(5)
    assert [one["event"] for one in logs if "packet" in one["event"]] == ["leg.packet_failed"] * 2


async def test_speech_is_encoded_on_the_loop_and_without_its_level() -> None:
    threads: set[int] = set()

    class Noting(SpeechEncoder):
        def encode_samples(self, pcm: bytes, pts: int) -> tuple[list[bytes], int]:
            threads.add(threading.get_ident())
            return super().encode_samples(pcm, pts)

    kiosk = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        sender = kiosk.addTrack(MicrophoneTrack(_silence))
        cost_seams.send_speech(sender, Noting())
        sent = await sender._next_encoded_frame(None)  # type: ignore[arg-type]
        sender._enabled = False
        unwanted = await sender._next_encoded_frame(None)  # type: ignore[arg-type]
        assert unwanted is None
    finally:
        await kiosk.close()
    assert sent is not None
    assert threads == {threading.get_ident()}
    assert len(sent.payloads) == 1
    assert sent.audio_level is None


@pytest.mark.parametrize("ours", [False, True])
async def test_who_sends_a_level(ours: bool) -> None:
    """Where aiortc no longer does, the seam has no reason left."""
    async with call(MicrophoneTrack(_silence)) as it:
        receiver, levels = it.kiosk.getTransceivers()[0].receiver, []
        handle = receiver._handle_rtp_packet

        async def noted(packet: RtpPacket, arrival_time_ms: int) -> None:
            levels.append(packet.extensions.audio_level)
            await handle(packet, arrival_time_ms)

        if ours:
            cost_seams.send_speech(it.agent.getSenders()[0], SpeechEncoder())
            await it.gets(10)
        receiver._handle_rtp_packet = noted  # type: ignore[method-assign]
        await wait_for(lambda: len(levels) >= 3, 20, "no sound has come")
    assert {level is None for level in levels} == {ours}
