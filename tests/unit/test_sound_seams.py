"""Sound through aiortc itself, over loopback: these fail when a release moves a seam."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.rtp import RtpPacket
from av import AudioFrame

from kioskd.call import sound_seams
from kioskd.call.description import RED_TYPE, takes_red, with_speech
from kioskd.call.media import MicrophoneTrack
from kioskd.call.sound import LegSound
from kioskd.call.speech import Adaptation, SpeechEncoder
from kioskd.call.statistics import SoundStats
from kioskd.call.voice import BACKLOG_MOST_S, PACE_S, Pace, Voice
from kioskd.control.api import CallStatus
from kioskd.errors import DeviceError, Reason
from kioskd.hal.microphone import CHUNK_BYTES, CHUNK_SAMPLES, SAMPLE_RATE, AudioChunk
from kioskd.picture.lipsync import LipSync
from kioskd.sound import ladder, red
from kioskd.sound.ladder import LossMemory, SpeechSettings, choose
from kioskd.sound.opus import Decoder, duration, has_recovery
from kioskd.sound.playout import Playout
from kioskd.visit.words import Scene
from tests.speech import packets, voice
from tests.waiting import until


class Speaker:
    """A microphone that hears the voice, paced by the clock."""

    def __init__(self) -> None:
        self._pcm = voice(5.0, pauses=False).tobytes()
        self._count = 0
        self._start = asyncio.get_running_loop().time()

    async def chunk(self) -> AudioChunk:
        at = self._start + (self._count + 1) * 0.02
        await asyncio.sleep(at - asyncio.get_running_loop().time())
        place = self._count % 250 * CHUNK_BYTES
        self._count += 1
        return AudioChunk(self._pcm[place : place + CHUNK_BYTES], at)


class End:
    """One end of a call that has nothing but sound."""

    def __init__(self, *, use_red: bool) -> None:
        self._use_red = use_red
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pc.addTrack(MicrophoneTrack(Speaker().chunk))
        self.heard: list[bytes] = []
        self._more = asyncio.Event()
        self.running: asyncio.Task[None] | None = None
        self.sound: LegSound | None = None
        self.pc.on("track", self._track)

    @property
    def receiver(self) -> RTCRtpReceiver:
        return self.pc.getTransceivers()[0].receiver

    def prepare(self) -> LegSound:
        self.sound = LegSound(self.pc.getTransceivers()[0], LipSync())
        if self._use_red:
            self.sound.use_red()
        return self.sound

    async def hears(self, chunks: int) -> None:
        async with asyncio.timeout(20):
            while len(self.heard) < chunks:
                await self._more.wait()
                self._more.clear()

    def lose(self, share: float) -> None:
        """Lose packets before aiortc counts them."""
        handle, rng = self.receiver._handle_rtp_packet, random.Random(1)

        async def lossy(packet: RtpPacket, arrival_time_ms: int) -> None:
            if rng.random() >= share:
                await handle(packet, arrival_time_ms)

        self.receiver._handle_rtp_packet = lossy  # type: ignore[method-assign]

    def _track(self, track: Any) -> None:
        sound = self.sound or self.prepare()
        self.running = asyncio.create_task(sound.run(track, self._hear, lambda: None))

    async def _hear(self, pcm: bytes) -> None:
        self.heard.append(pcm)
        self._more.set()


@contextlib.asynccontextmanager
async def call(*, use_red: bool, loss: float = 0.0) -> AsyncIterator[tuple[End, End]]:
    kiosk, agent = End(use_red=use_red), End(use_red=use_red)
    try:
        await kiosk.pc.setLocalDescription(await kiosk.pc.createOffer())
        kiosk.prepare()
        offer = with_speech(kiosk.pc.localDescription.sdp)
        await agent.pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await agent.pc.setLocalDescription(await agent.pc.createAnswer())
        kiosk.lose(loss)
        await kiosk.pc.setRemoteDescription(
            RTCSessionDescription(agent.pc.localDescription.sdp, "answer")
        )
        yield kiosk, agent
    finally:
        await kiosk.pc.close()
        await agent.pc.close()
        for end in (kiosk, agent):
            if end.running is not None:
                await end.running


@pytest.mark.parametrize("use_red", [False, True], ids=["fec", "red"])
async def test_lost_sound_is_recovered_and_reported(use_red: bool) -> None:
    async with call(use_red=use_red, loss=0.08) as (kiosk, agent):
        assert kiosk.sound is not None
        assert agent.sound is not None
        await kiosk.hears(300)
        stats, there = kiosk.sound.stats(), agent.sound.stats()
        reports = await agent.pc.getSenders()[0].getStats()
        settings = agent.sound._speech.settings
    assert {len(chunk) for chunk in kiosk.heard} == {CHUNK_BYTES}
    assert np.abs(np.frombuffer(b"".join(kiosk.heard[100:]), np.int16).astype(int)).mean() > 300
    assert stats.packets < 0.99 * there.packets
    recovered = stats.recovered_red_s if use_red else stats.recovered_fec_s
    assert recovered > 0.1
    assert stats.concealed_s < 0.6
    assert stats.malformed_packets == 0
    assert 0 < stats.delay_s < 0.5
    # The receiver reports tell the true loss, and the sender follows them.
    report: Any = next(r for r in reports.values() if r.type == "remote-inbound-rtp")
    assert report.packetsLost > 0
    assert settings.loss_percent >= 4
    assert (settings.red > 0) == use_red


async def test_the_end_of_the_track_ends_the_voice() -> None:
    async with call(use_red=True) as (kiosk, _):
        await kiosk.hears(10)
        running = kiosk.running
    assert running is not None
    assert running.done()
    assert not [t for t in asyncio.all_tasks() if t.get_name() in ("voice clock", "leg speech")]


async def _unplugged(_: bytes) -> None:
    raise DeviceError(Reason.UNPLUGGED)


async def _broken(_: bytes) -> None:
    raise ValueError("broken")


@pytest.mark.parametrize("play", [_unplugged, _broken])
async def test_the_voice_goes_on_without_a_speaker(
    play: Callable[[bytes], Awaitable[None]],
) -> None:
    it = Voice(LipSync())
    ticking = asyncio.create_task(it._tick(play, lambda: None))
    for number, payload in enumerate(packets(5.0)[:25]):
        it.take(RtpPacket(96, 0, number, number * 960, 7, payload))
        await asyncio.sleep(0.02)
    assert it.stats().played_s > 0.3
    assert not ticking.done()
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)


@pytest.mark.parametrize(("waits", "at_once"), [(None, 2), (0.0, 2), (0.08, 3)])
async def test_what_a_speaker_missed_is_not_put_before_it_afterwards(
    monkeypatch: pytest.MonkeyPatch, waits: float | None, at_once: int
) -> None:
    """After a stall of 0.07 s a speaker that has run out gets no more than it can play at once."""
    loop, played = asyncio.get_running_loop(), list[float]()
    clock, sleep = 100.0, asyncio.sleep

    async def pass_by(seconds: float) -> None:
        nonlocal clock
        clock += max(0.0, seconds)
        await sleep(0)

    async def play(_: bytes) -> None:
        nonlocal clock
        played.append(clock)
        if len(played) == 10:
            clock += 0.07

    it = Voice(LipSync())
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", lambda: clock)
        patch.setattr("kioskd.call.voice.asyncio.sleep", pass_by)
        for number, payload in enumerate(packets(5.0)[:25]):
            it.take(RtpPacket(96, 0, number, number * 960, 7, payload))
        ticking = asyncio.create_task(it._tick(play, lambda: waits))
        while len(played) < 20 and not ticking.done():
            await sleep(0)
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
    assert len([at for at in played[10:] if at - played[10] < 0.001]) == at_once


async def test_packets_that_are_none_harm_nothing() -> None:
    it = Voice(LipSync())
    for payload in (b"", b"\xff", b"\x80", b"\x03", bytes(4000)):
        for kind in (96, RED_TYPE):
            it.take(RtpPacket(kind, 0, 1, 960, 7, payload))
    assert it.stats().malformed_packets == 6

    def fail(_: RtpPacket) -> None:
        raise RuntimeError("broken")

    assert sound_seams._Diversion(fail).add(RtpPacket()) == (False, None)


@pytest.mark.parametrize("ppm", [400, -400])
def test_the_clock_of_the_speaker_is_followed(ppm: int) -> None:
    pace, backlog, backlogs = Pace(), 0.02, []
    for _ in range(20_000):
        step = pace.step(max(0.0, backlog))
        assert abs(step - 0.02) <= PACE_S + 1e-9
        backlog += 0.02 - step * (1 + ppm / 1e6)
        backlogs.append(backlog)
    assert max(backlogs) < BACKLOG_MOST_S + 2 * PACE_S
    assert min(backlogs) > -PACE_S
    assert pace.step(None) == pytest.approx(0.02)


def test_what_the_technician_sees_is_in_the_status() -> None:
    summary = SoundStats.of(Playout()).summary()
    status = CallStatus(scene=Scene.CHOOSING, service=None, scene_s=0, **summary)
    assert status.sound_concealed_s == 0.0
    assert {name for name in CallStatus.model_fields if name.startswith("sound_")} == set(summary)


async def test_a_broken_jitter_buffer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Voice(LipSync())

    def fail(_: float) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(it._playout, "pull", fail)
    assert it._pull(0.0) == bytes(CHUNK_BYTES)
    it.take(RtpPacket(96, 0, 1, 960, 7, packets(5.0)[0]))
    it._pull(asyncio.get_running_loop().time() + 1)
    assert it.stats().played_s == pytest.approx(0.02)


def frame(number: int, pcm: bytes) -> AudioFrame:
    it = AudioFrame(format="s16", layout="mono", samples=CHUNK_SAMPLES)
    it.planes[0].update(pcm)
    it.sample_rate, it.pts = SAMPLE_RATE, number * CHUNK_SAMPLES
    return it


def encode(encoder: SpeechEncoder, numbers: range) -> list[tuple[int, bytes]]:
    pcm = voice(5.0, pauses=False).tobytes()
    out = []
    for number in numbers:
        payloads, at = encoder.encode(
            frame(number, pcm[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES])
        )
        out += [(at, payload) for payload in payloads]
    return out


def test_speech_is_mono_and_small() -> None:
    sent = encode(SpeechEncoder(), range(100))
    assert [at for at, _ in sent] == [number * 960 for number in range(100)]
    assert not any(payload[0] & 4 for _, payload in sent)  # RFC 6716, section 3.1: stereo
    assert sum(len(payload) for _, payload in sent) * 8 / 2 < 1.2 * ladder.FULL_BIT_RATE


def test_packets_repeat_those_before() -> None:
    encoder = SpeechEncoder()
    encoder.red = True
    encoder.settings = SpeechSettings(red=2)
    sent = [(at, red.unpack(payload)) for at, payload in encode(encoder, range(10))]
    assert [len(blocks) for _, blocks in sent] == [1, 2, *[3] * 8]
    own = {at: blocks[-1].payload for at, blocks in sent}
    assert all(own[at - b.offset] == b.payload for at, blocks in sent for b in blocks)
    encoder.settings = SpeechSettings(red=0)
    assert [len(red.unpack(p)) for _, p in encode(encoder, range(10, 12))] == [1, 1]


def test_what_is_repeated_whole_is_not_told_by_fec_too() -> None:
    encoder = SpeechEncoder()
    encoder.red = True
    shares = []
    for depth in (1, 0):
        encoder.settings = SpeechSettings(loss_percent=10, red=depth)
        own = [red.unpack(payload)[-1].payload for _, payload in encode(encoder, range(50))]
        shares.append(sum(map(has_recovery, own)) / len(own))
    assert shares[0] == 0
    assert shares[1] > 0.5


async def test_speech_that_no_longer_fits_is_less_at_once_and_more_by_and_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = SpeechEncoder()
    encoder.red = True
    adaptation = Adaptation(encoder)
    adaptation.available_bps = 320_000
    assert encoder.settings == SpeechSettings()

    monkeypatch.setattr("kioskd.call.speech.REPORT_S", 0.01)
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    following = asyncio.create_task(adaptation.follow(pc.addTransceiver("audio").sender))
    await until(lambda: encoder.settings.bit_rate == ladder.RICH_BIT_RATE)
    following.cancel()
    await pc.close()
    assert encoder.settings.red
    adaptation.available_bps = 100_000
    assert encoder.settings == choose(ladder.FIRST_LOSS, 100_000, red=True)
    # A queue is emptied in a moment: packets of 60 ms would be for that moment only.
    adaptation.available_bps = ladder.FLOOR_BPS
    assert encoder.settings.samples == 960
    assert encoder.settings.line_bps == ladder.SHORT_PACKETS_BPS
    adaptation.available_bps = 320_000
    assert encoder.settings.line_bps == ladder.SHORT_PACKETS_BPS


def test_longer_packets_begin_and_end_at_any_time_and_gaps_are_kept() -> None:
    encoder = SpeechEncoder()
    encode(encoder, range(3))
    encoder.settings = SpeechSettings(samples=2880)
    long = encode(encoder, range(3, 10))
    assert [at // 960 for at, _ in long] == [3, 6]
    assert {duration(payload) for _, payload in long} == {2880}
    encoder.settings = SpeechSettings()
    after = encode(encoder, range(20, 24))  # what was begun before the gap is let go
    assert [at // 960 for at, _ in after] == [20, 21, 22, 23]


def test_silence_is_told_once_with_dtx() -> None:
    encoder = SpeechEncoder()
    encoder.settings = SpeechSettings(dtx=True)
    sent = [encoder.encode(frame(number, bytes(CHUNK_BYTES)))[0] for number in range(200)]
    small = [bool(payloads) and len(payloads[0]) <= 2 for payloads in sent]
    assert sum(map(bool, sent)) < 60
    assert any(small)
    assert not any(one and two for one, two in itertools.pairwise(small))
    decoder = Decoder()
    for payloads in sent:
        if payloads:
            decoder.decode(payloads[0])


@pytest.mark.parametrize(
    ("picture_bps", "expected"),
    [
        (30_000, SpeechSettings(16_000, 2880, 2, 0, dtx=True)),
        (160_000, SpeechSettings(24_000, 960, 2, 0)),  # what 256 kbit/s leave
        (250_000, SpeechSettings(32_000, 960, 2, 0)),
        (400_000, SpeechSettings(32_000, 960, 2, 1)),
        (2_000_000, SpeechSettings(48_000, 960, 2, 1)),
    ],
)
def test_speech_takes_its_share_of_a_thin_line(
    picture_bps: float, expected: SpeechSettings
) -> None:
    assert choose(0.02, ladder.share(picture_bps), red=True) == expected


@pytest.mark.parametrize(
    ("loss", "room", "takes", "expected"),
    [
        (0.0, None, True, SpeechSettings(32_000, 960, 0, 0)),
        (0.006, None, False, SpeechSettings(32_000, 960, 2, 0)),
        (0.02, None, True, SpeechSettings(32_000, 960, 2, 1)),
        (0.02, None, False, SpeechSettings(32_000, 960, 2, 0)),
        (0.10, None, True, SpeechSettings(32_000, 960, 10, 2)),
        (0.10, 100_000, True, SpeechSettings(32_000, 960, 10, 1)),
        (0.00, 159_000, True, SpeechSettings(32_000, 960, 0, 0)),
        (0.00, 160_000, True, SpeechSettings(48_000, 960, 0, 0)),
        (0.10, 165_000, True, SpeechSettings(32_000, 960, 10, 2)),
        (0.10, 168_000, True, SpeechSettings(48_000, 960, 10, 2)),
        (0.10, 60_000, True, SpeechSettings(24_000, 960, 10, 0)),
        (0.90, 30_000, True, SpeechSettings(16_000, 2880, 30, 0, dtx=True)),
    ],
)
def test_the_ladder(loss: float, room: float | None, takes: bool, expected: SpeechSettings) -> None:
    assert choose(loss, room, red=takes) == expected
    packets_s = SAMPLE_RATE / expected.samples
    rate = expected.bit_rate * (1 + expected.red) + 480 * packets_s
    assert rate <= max(room or rate, ladder.FLOOR_BPS)


def test_loss_is_remembered_a_while() -> None:
    memory = LossMemory()
    for share in (0.0, 0.2, 0.0):
        memory.note(share)
    assert memory.share == pytest.approx(0.18)
    for _ in range(60):
        memory.note(0.0)
    assert memory.share < ladder.NO_LOSS


async def test_the_offer_asks_for_fec_and_red() -> None:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        pc.addTrack(MicrophoneTrack(Speaker().chunk))
        offer = with_speech((await pc.createOffer()).sdp)
    finally:
        await pc.close()
    line = re.search(r"^m=audio \d+ \S+ (\d+) (\d+)", offer, re.MULTILINE)
    assert line is not None
    assert line[1] == str(RED_TYPE)
    assert f"a=fmtp:{line[2]} minptime=10;useinbandfec=1" in offer
    assert f"a=fmtp:{RED_TYPE} {line[2]}/{line[2]}" in offer
    assert takes_red(offer)
    assert not takes_red(re.sub(rf"a=(rtpmap|fmtp):{RED_TYPE} .*\r\n", "", offer))
    assert with_speech("v=0\r\n") == "v=0\r\n"
