"""The seams into aiortc, against aiortc itself: these fail when a release moves one."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aioice.ice
import aioice.stun
import aiortc
import pytest
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    clock,
)

from kioskd.call import seams
from kioskd.call.description import check_answer, with_start_bitrate
from kioskd.call.leg import Leg, LegState
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.errors import CallError, DeviceError, Reason
from kioskd.hal.camera import Coded, Frame
from kioskd.hal.microphone import CHUNK_SAMPLES, AudioChunk
from tests.e2e.stage import wait_for


def _connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def _fails() -> Frame:
    raise DeviceError(Reason.UNPLUGGED)


async def _mute() -> AudioChunk:
    raise DeviceError(Reason.UNPLUGGED)


async def _ignore(_: bytes) -> None: ...


def _leg() -> Leg:
    return Leg(
        ice_servers=[],
        audio=MicrophoneTrack(_mute),
        video=CameraTrack(_fails),
        on_control=lambda _: None,
        on_document=lambda _, __: None,
        on_remote_video=lambda _, __, ___: None,
        on_remote_audio=_ignore,
        on_state=lambda _: None,
    )


async def _join(one: RTCPeerConnection, two: RTCPeerConnection) -> None:
    await one.setLocalDescription(await one.createOffer())
    await two.setRemoteDescription(RTCSessionDescription(one.localDescription.sdp, "offer"))
    await two.setLocalDescription(await two.createAnswer())
    await one.setRemoteDescription(RTCSessionDescription(two.localDescription.sdp, "answer"))


def _differs(connection: RTCPeerConnection, before: int) -> bool:
    return seams.delivered(connection) != before


async def test_what_the_far_end_has_got_of_the_channels_is_known() -> None:
    kiosk, agent = _connection(), _connection()
    try:
        channel = kiosk.createDataChannel("one")
        opened = asyncio.Event()
        channel.on("open", opened.set)
        await _join(kiosk, agent)
        async with asyncio.timeout(10):
            await opened.wait()
            for _ in range(2):
                before = seams.delivered(kiosk)
                channel.send("word")
                await wait_for(partial(_differs, kiosk, before), 10, "nothing was acknowledged")
    finally:
        await asyncio.gather(kiosk.close(), agent.close())


async def test_a_word_is_said_before_the_document_that_waits() -> None:
    kiosk, agent = _connection(), _connection()
    order: list[str] = []
    try:
        papers, words = kiosk.createDataChannel("papers"), kiosk.createDataChannel("words")
        agent.on("datachannel", lambda one: one.on("message", lambda _: order.append(one.label)))
        opened = asyncio.Event()
        words.on("open", opened.set)
        await _join(kiosk, agent)
        async with asyncio.timeout(20):
            await opened.wait()
            for _ in range(20):
                papers.send(bytes(60_000))
            for _ in range(2):
                words.send("heartbeat")
                seams.hasten(kiosk, words)
            await wait_for(lambda: len(order) == 22, 20, "not all has come")
    finally:
        await asyncio.gather(kiosk.close(), agent.close())
    assert order == [*["words"] * 2, *["papers"] * 20]


async def test_what_comes_is_counted_whatever_it_is() -> None:
    kiosk, agent = _connection(), _connection()
    try:
        kiosk.addTransceiver("audio", "recvonly")
        opened = asyncio.Event()
        kiosk.createDataChannel("one").on("open", opened.set)
        assert seams.packets_received(kiosk) == 0
        await _join(kiosk, agent)
        async with asyncio.timeout(10):
            await opened.wait()
        assert seams.packets_received(kiosk) > 0
    finally:
        await asyncio.gather(kiosk.close(), agent.close())


async def test_key_frame_requests_are_merged() -> None:
    sent: list[float] = []

    class Receiver:
        def getSynchronizationSources(self) -> list[object]:  # noqa: N802  # aiortc's name
            sent.append(asyncio.get_running_loop().time())
            return []

    requester = seams.KeyframeRequester(Receiver())  # type: ignore[arg-type]  # stands in
    await requester.request()
    await asyncio.gather(*(requester.request() for _ in range(5)))
    assert len(sent) == 2
    assert sent[1] - sent[0] >= 0.99 * seams.KEYFRAME_INTERVAL_S


async def test_a_machine_without_an_address_offers_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: [])
    leg = _leg()
    try:
        offer = await leg.offer()
    finally:
        await leg.close()
    candidates = [line for line in offer.splitlines() if line.startswith("a=candidate:")]
    assert candidates
    assert all(" 127.0.0.1 " in line for line in candidates)


async def test_the_offer_has_vp8_only_and_a_starting_rate() -> None:
    leg = _leg()
    try:
        offer = await leg.offer()
    finally:
        await leg.close()
    assert "VP8/90000" in offer
    assert "H264" not in offer
    assert "x-google-start-bitrate" in offer
    assert with_start_bitrate("v=0\r\n") == "v=0\r\n"


@pytest.mark.parametrize("damage", ["", "nonsense", "v=0\r\nm=\r\n", "port", "print", "bundle"])
async def test_a_bad_answer_is_refused(damage: str) -> None:
    leg, agent = _leg(), _connection()
    try:
        await agent.setRemoteDescription(RTCSessionDescription(await leg.offer(), "offer"))
        await agent.setLocalDescription(await agent.createAnswer())
        good = agent.localDescription.sdp
        check_answer(good)
        answer = {
            "port": re.sub(r"m=video \d+", "m=video 0", good),
            "print": "\r\n".join(x for x in good.splitlines() if "fingerprint" not in x) + "\r\n",
            "bundle": good.replace("a=group:BUNDLE 0", "a=group:BUNDLE"),
        }.get(damage, damage)
        with pytest.raises(CallError):
            await leg.accept(answer)
    finally:
        await leg.close()
        await agent.close()
    assert leg.state is LegState.CLOSED
    with pytest.raises(CallError):
        await leg.offer()


async def test_closing_while_connecting_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    leg, agent = _leg(), _connection()
    await agent.setRemoteDescription(RTCSessionDescription(await leg.offer(), "offer"))
    await agent.setLocalDescription(await agent.createAnswer())
    seams.end_consent_checks(agent.getTransceivers()[0].receiver.transport.transport.iceGatherer)
    await leg.accept(agent.localDescription.sdp)
    await leg.close()
    await agent.close()
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110  # nothing tells of their end
            await asyncio.sleep(0.01)


async def test_the_camera_fails_and_comes_back() -> None:
    loop = asyncio.get_running_loop()
    healthy = True

    async def frame() -> Frame:
        if not healthy:
            raise DeviceError(Reason.UNPLUGGED)
        return Frame(64, 48, bytes([200]) * (64 * 48 * 3 // 2), 0, loop.time())

    track = CameraTrack(frame)
    first = await track.recv()
    healthy = False
    grey = [await track.recv() for _ in range(2)]
    healthy = True
    back = await track.recv()
    track.enabled = False
    switched_off = await track.recv()
    luma = [p.to_ndarray()[0, 0] for p in (first, *grey, back, switched_off)]
    assert luma == [200, 110, 110, 200, 110]
    stamps = [p.pts or 0 for p in (first, *grey, back, switched_off)]
    assert stamps == sorted(set(stamps))
    assert stamps[2] - stamps[1] >= 0.45 * 90_000
    assert {(p.width, p.height) for p in (*grey, switched_off)} == {(64, 48)}


async def test_what_the_camera_codes_while_it_is_switched_off_is_not_sent() -> None:
    coded: list[Coded] = []

    async def frame() -> Frame:
        await asyncio.sleep(0.01)
        coded.append(Coded(len(coded), b"\x00\x00\x01\x41", time.monotonic()))
        return Frame(64, 48, bytes(64 * 48 * 3 // 2), 0, time.monotonic(), tuple(coded))

    track = CameraTrack(frame)
    first: Any = (await track.recv()).opaque
    assert [one.number for one in first] == [0]
    track.enabled = False
    assert (await track.recv()).opaque is None
    await frame()
    track.enabled = True
    again: Any = (await track.recv()).opaque
    assert [one.number for one in again] == [2]
    assert again[0].picture.pts > first[0].picture.pts


async def test_the_microphone_is_muted_and_fails() -> None:
    loop = asyncio.get_running_loop()
    healthy = True

    async def chunk() -> AudioChunk:
        if not healthy:
            raise DeviceError(Reason.UNPLUGGED)
        await asyncio.sleep(0)
        return AudioChunk(b"\x01\x02" * CHUNK_SAMPLES, loop.time())

    track = MicrophoneTrack(chunk)
    heard = await track.recv()
    track.enabled = False
    muted = await track.recv()
    track.enabled, healthy = True, False
    began = loop.time()
    silent = [await track.recv() for _ in range(5)]
    assert loop.time() - began >= 0.06
    assert bytes(heard.planes[0])[:4] == b"\x01\x02\x01\x02"
    assert all(not any(bytes(f.planes[0])) for f in (muted, *silent))
    stamps = [f.pts for f in (heard, muted, *silent)]
    assert stamps == [i * CHUNK_SAMPLES for i in range(7)]


def test_a_clock_that_is_set_moves_no_time_of_aiortc(monkeypatch: pytest.MonkeyPatch) -> None:
    seams.use_steady_clock()
    seams.use_steady_clock()  # each leg asks for it
    before = clock.current_ms()
    times = [vars(module)["time"].time() for module in seams.CLOCKED]
    monkeypatch.setattr("time.time", lambda: 60.0)  # 1970
    assert 0 <= clock.current_ms() - before < 60_000
    for module, then in zip(seams.CLOCKED, times, strict=True):
        assert 0 <= vars(module)["time"].time() - then < 60


def _ms(at: datetime) -> int:
    return int((at - clock.NTP_EPOCH).total_seconds() * 1000)


@pytest.mark.parametrize(
    ("told", "by_datetime"),
    [("current_ntp_time", clock.datetime_to_ntp), ("current_ms", _ms)],
)
def test_the_time_of_packets_is_that_of_reports(
    told: str, by_datetime: Callable[[datetime], int]
) -> None:
    seams.use_steady_clock()
    before = by_datetime(clock.current_datetime())
    now = getattr(clock, told)()
    after = by_datetime(clock.current_datetime())
    slack = (after >> 50) + 1  # a float has 53 bits, and a datetime microseconds
    assert before - slack <= now <= after + slack


def test_every_place_that_asks_for_the_time_is_known() -> None:
    """Of `time` the modules ask for nothing but the time, and no others ask for it."""
    asked: dict[str, set[str]] = {}
    for package in (aiortc, aioice):
        for path in Path(package.__path__[0]).glob("*.py"):
            calls = set(re.findall(r"(?<![\w.])(?:time\.\w+|datetime\.now)\(", path.read_text()))
            if calls:
                asked[f"{package.__name__}.{path.stem}"] = calls
    own = {module.__name__: {"time.time("} for module in seams.CLOCKED}
    assert asked == own | {"aiortc.mediastreams": {"time.time("}}  # tracks that are not ours


async def test_a_late_answer_to_a_consent_check_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seams, "CONSENT_EVERY_S", 0.02)
    monkeypatch.setattr(seams, "CONSENT_S", 0.2)
    kiosk = _connection()
    try:
        kiosk.addTransceiver("audio", "recvonly")
        gatherer = kiosk.getTransceivers()[0].receiver.transport.transport.iceGatherer
        seams.check_consent_patiently(gatherer)
        connection = gatherer._connection
        connection.remote_username, connection.remote_password = "agent", "p" * 24
        pair = Pair()
        connection._nominated = {1: pair}  # type: ignore[dict-item]
        checks = asyncio.create_task(connection.query_consent())
        async with asyncio.timeout(10):
            await pair.asked_often.wait()
            assert not checks.done()
            pair.answers = False
            await checks
        assert await connection.get_event() is None, "it is not closed"
        assert pair.tries == {seams.CONSENT_TRIES - 1}
    finally:
        await kiosk.close()


class Pair:
    """A candidate pair, and its own protocol, whose far end answers or does not."""

    remote_addr = ("127.0.0.1", 9)
    component = 1
    local_candidate = SimpleNamespace(priority=1, component=1)

    def __init__(self) -> None:
        self.answers = True
        self.tries: set[int] = set()
        self.asked_often = asyncio.Event()
        self._asked = 0

    @property
    def protocol(self) -> Pair:
        return self

    async def request(self, *_: object, retransmissions: int, **__: object) -> None:
        self.tries.add(retransmissions)
        self._asked += 1
        if self._asked > 20:  # longer than a consent lasts
            self.asked_often.set()
        if not self.answers:
            raise aioice.stun.TransactionTimeout
