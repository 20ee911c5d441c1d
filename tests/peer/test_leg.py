"""A leg against Chromium: picture and sound both ways, channels, ends, leaks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import random
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pytest
from aiohttp import web
from aiortc.rtp import RtpPacket
from av import Packet
from av.video.codeccontext import VideoCodecContext
from playwright.async_api import Browser, Page, async_playwright

from kioskd.call.channels import TO_AGENT, TO_KIOSK
from kioskd.call.coding import LegCoder
from kioskd.call.leg import Leg, LegState
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.call.sending import Sending
from kioskd.errors import CallError
from kioskd.hal.camera import Frame
from kioskd.hal.microphone import CHUNK_SAMPLES, SAMPLE_RATE, AudioChunk
from kioskd.picture.ladder import Profile
from kioskd.picture.lipsync import LipSync

pytestmark = pytest.mark.peer

WIDTH, HEIGHT, FPS = 320, 240, 15
OUR_TONE, THEIR_TONE = 440, 1000

T = TypeVar("T")

PAGE = """<!doctype html><script>
let pc, analyser, audio;
async function answer(sdp) {
  pc = new RTCPeerConnection({iceServers: []});
  audio = new AudioContext();
  pc.ondatachannel = ({channel}) => {
    channel.binaryType = 'arraybuffer';
    channel.onmessage = e => channel.send(e.data);
  };
  pc.ontrack = ({track}) => {
    const stream = new MediaStream([track]);
    const element = document.createElement(track.kind);
    element.muted = true;
    element.srcObject = stream;
    document.documentElement.append(element);
    element.play();
    if (track.kind === 'audio') {
      analyser = audio.createAnalyser();
      analyser.fftSize = 8192;
      audio.createMediaStreamSource(stream).connect(analyser);
    }
  };
  await pc.setRemoteDescription({type: 'offer', sdp});
  const camera = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 480}});
  const tone = audio.createOscillator();
  const sink = audio.createMediaStreamDestination();
  tone.frequency.value = 1000;
  tone.connect(sink);
  tone.start();
  pc.addTrack(sink.stream.getAudioTracks()[0], sink.stream);
  pc.addTrack(camera.getVideoTracks()[0], camera);
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== 'complete')
    await new Promise(done => pc.addEventListener('icegatheringstatechange', done, {once: true}));
  return pc.localDescription.sdp;
}
function peak() {
  if (!analyser) return 0;
  const bins = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(bins);
  let best = 0;
  for (let i = 1; i < bins.length; i++) if (bins[i] > bins[best]) best = i;
  return bins[best] < -60 ? 0 : best * audio.sampleRate / analyser.fftSize;
}
async function decoded() {
  for (const s of (await pc.getStats()).values())
    if (s.type === 'inbound-rtp' && s.kind === 'video') return s.framesDecoded;
  return 0;
}
async function codecs() {
  const all = await pc.getStats(), found = {};
  for (const s of all.values())
    if (s.kind === 'video' && s.codecId) found[s.type] = all.get(s.codecId).mimeType;
  return found;
}
async function until_decoded(pictures) {
  while (await decoded() < pictures) await new Promise(done => setTimeout(done, 50));
}
async function sound() {
  for (const s of (await pc.getStats()).values())
    if (s.type === 'inbound-rtp' && s.kind === 'audio')
      return [s.packetsLost, s.concealedSamples / s.totalSamplesReceived];
  return [0, 1];
}
</script>"""


async def _camera() -> Frame:
    """A bright square that moves, at FPS."""
    await asyncio.sleep(1 / FPS)
    now = asyncio.get_running_loop().time()
    planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    left = int(now * 100) % (WIDTH - 40)
    planes[100:140, left : left + 40] = 230
    return Frame(WIDTH, HEIGHT, planes.tobytes(), 0, now)


class Tone:
    """A microphone that hears OUR_TONE, paced by the clock."""

    def __init__(self) -> None:
        self._count = 0
        self._start = asyncio.get_running_loop().time()

    async def chunk(self) -> AudioChunk:
        at = self._start + (self._count + 1) * CHUNK_SAMPLES / SAMPLE_RATE
        await asyncio.sleep(at - asyncio.get_running_loop().time())
        samples = np.arange(CHUNK_SAMPLES) + self._count * CHUNK_SAMPLES
        self._count += 1
        wave = 8000 * np.sin(2 * math.pi * OUR_TONE / SAMPLE_RATE * samples)
        return AudioChunk(wave.astype("<i2").tobytes(), at)


@dataclass
class Kiosk:
    """A leg and all it has heard."""

    sending: Sending = field(default_factory=Sending)
    control: list[str] = field(default_factory=list)
    documents: list[tuple[str, str | bytes]] = field(default_factory=list)
    frames: list[tuple[bytes, int, bool]] = field(default_factory=list)
    sound: list[bytes] = field(default_factory=list)
    states: list[LegState] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.camera = CameraTrack(_camera, width=WIDTH, height=HEIGHT)
        self.microphone = MicrophoneTrack(Tone().chunk)
        self.leg = Leg(
            ice_servers=[],
            audio=self.microphone,
            video=self.camera,
            on_control=self._keep(self.control.append),
            on_document=lambda label, data: self._keep(self.documents.append)((label, data)),
            on_remote_video=lambda *frame: self._keep(self.frames.append)(frame),
            on_remote_audio=self._hear,
            on_state=self._keep(self.states.append),
            sending=self.sending,
        )

    def _keep(self, keep: Callable[[T], None]) -> Callable[[T], None]:
        def note(item: T) -> None:
            keep(item)
            self.changed.set()

        return note

    async def _hear(self, pcm: bytes) -> None:
        self._keep(self.sound.append)(pcm)

    async def until(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def call(self, page: Page) -> None:
        await self.leg.accept(await page.evaluate("sdp => answer(sdp)", await self.leg.offer()))
        await self.until(lambda: LegState.CONNECTED in self.states)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[
                "--headless",
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                "--autoplay-policy=no-user-gesture-required",
                "--allow-loopback-in-peer-connection",
                "--disable-background-networking",
            ],
        )
        yield chromium
        await chromium.close()


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/"
    await runner.cleanup()


@contextlib.asynccontextmanager
async def _kiosk(sending: Sending | None = None) -> AsyncIterator[Kiosk]:
    kiosk = Kiosk(sending or Sending())
    try:
        yield kiosk
    finally:
        await kiosk.leg.close()


async def _open(browser: Browser, url: str) -> Page:
    page = await browser.new_page()
    await page.goto(url)
    return page


def _peak(sound: list[bytes]) -> float:
    samples = np.frombuffer(b"".join(sound), "<i2").astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(samples)))) * SAMPLE_RATE / len(samples)


def _pictures(frames: list[tuple[bytes, int, bool]]) -> list[np.ndarray[Any, Any]]:
    decoder = VideoCodecContext.create("vp8", "r")
    return [p.to_ndarray(format="gray") for f in frames for p in decoder.decode(Packet(f[0]))]


async def test_media_go_both_ways(browser: Browser, url: str) -> None:
    page = await _open(browser, url)
    async with _kiosk() as kiosk:
        await kiosk.call(page)
        await kiosk.leg.stats()
        await kiosk.until(lambda: len(kiosk.frames) >= 20 and len(kiosk.sound) >= 100)

        assert kiosk.frames[0][2]
        times = [at for _, at, _ in kiosk.frames]
        assert times[0] == 0
        assert times == sorted(set(times))
        pictures = _pictures(kiosk.frames[:20])
        assert len(pictures) == 20
        assert any(
            np.abs(one.astype(int) - two).max() > 50
            for one, two in itertools.pairwise(pictures)
            if one.shape == two.shape
        )
        assert all(len(pcm) == 2 * CHUNK_SAMPLES for pcm in kiosk.sound)
        assert _peak(kiosk.sound[-50:]) == pytest.approx(THEIR_TONE, abs=25)

        async with asyncio.timeout(10):
            # In the page: wait_for_function takes a promise for true before it is kept.
            await page.evaluate("until_decoded(10)")
        await page.wait_for_function(
            f"() => Math.abs(peak() - {OUR_TONE}) < 15", timeout=10_000, polling=100
        )

        seen = len(kiosk.frames)
        await kiosk.leg.request_keyframe()
        await kiosk.until(lambda: any(key for _, _, key in kiosk.frames[seen:]))

        stats = await kiosk.leg.stats()
        assert stats.bytes_received > 10_000
        assert stats.received_bps is not None
        assert stats.received_bps > 0
        assert stats.sent_bps is not None
        assert stats.sent_bps > 0
        assert stats.loss_received == pytest.approx(0, abs=0.05)


async def test_the_agent_sends_vp8_to_a_kiosk_that_sends_h264(browser: Browser, url: str) -> None:
    page = await _open(browser, url)
    async with _kiosk(Sending(coder=partial(LegCoder, software_h264=True))) as kiosk:
        await kiosk.call(page)
        # Its first may come before we are ready: the resident's page then asks for another.
        await kiosk.leg.request_keyframe()
        await kiosk.until(lambda: any(key for _, _, key in kiosk.frames))
        first = next(n for n, (_, _, key) in enumerate(kiosk.frames) if key)
        await kiosk.until(lambda: len(kiosk.frames) >= first + 20)
        assert len(_pictures(kiosk.frames[first : first + 20])) == 20
        async with asyncio.timeout(10):
            await page.evaluate("until_decoded(10)")
        codecs = await page.evaluate("codecs()")
        assert codecs["inbound-rtp"] == "video/H264"
        assert codecs["outbound-rtp"] == "video/VP8"


@pytest.mark.parametrize("profile", Profile)
async def test_a_picture_waits_for_its_voice_unless_it_is_signed(
    browser: Browser, url: str, profile: Profile
) -> None:
    page = await _open(browser, url)
    async with _kiosk(Sending(profile)) as kiosk:
        now = asyncio.get_running_loop().time
        came: list[float] = []
        shown: list[float] = []

        class Later(LipSync):
            def wait(self, source: int, timestamp: int, now: float) -> float:
                came.append(now)
                return 0.3

        offer = await kiosk.leg.offer()
        assert kiosk.leg._arrivals is not None
        kiosk.leg._arrivals._lips = Later()
        kiosk.leg._on_remote_video = lambda *_: kiosk._keep(shown.append)(now())
        await kiosk.leg.accept(await page.evaluate("sdp => answer(sdp)", offer))
        await kiosk.until(lambda: len(shown) >= 20)
    waited = [there - at for at, there in zip(came, shown, strict=False)]
    if profile is Profile.SIGN_LANGUAGE:
        assert min(waited) < 0.1
    else:
        assert min(waited) >= 0.3


def _lose_sound(leg: Leg, share: float) -> None:
    """Lose packets of sound both ways: theirs before they are counted, ours once encrypted."""
    assert leg._pc is not None
    audio, rng = leg._pc.getTransceivers()[0], random.Random(1)
    handle, transport = audio.receiver._handle_rtp_packet, audio.sender.transport
    send, source = transport._send_rtp, audio.sender._ssrc.to_bytes(4, "big")

    async def receive(packet: RtpPacket, arrival_time_ms: int) -> None:
        if rng.random() >= share:
            await handle(packet, arrival_time_ms)

    async def transmit(data: bytes) -> None:
        if data[8:12] != source or rng.random() >= share:
            await send(data)

    audio.receiver._handle_rtp_packet = receive  # type: ignore[method-assign]
    transport._send_rtp = transmit  # type: ignore[method-assign]


async def test_lost_sound_is_recovered_at_both_ends(browser: Browser, url: str) -> None:
    page = await _open(browser, url)
    async with _kiosk() as kiosk:
        offer = await kiosk.leg.offer()
        _lose_sound(kiosk.leg, 0.05)
        await kiosk.leg.accept(await page.evaluate("sdp => answer(sdp)", offer))
        await kiosk.until(lambda: len(kiosk.sound) >= 600, 40)
        ours = (await kiosk.leg.stats()).sound
        lost, concealed = await page.evaluate("sound()")
    assert ours is not None
    assert ours.recovered_red_s > 0.15
    assert ours.concealed_s / ours.played_s < 0.02
    assert ours.malformed_packets == 0
    assert lost > 5
    assert concealed < 0.03


async def test_channels_carry_text_and_bytes(browser: Browser, url: str) -> None:
    page = await _open(browser, url)
    async with _kiosk() as kiosk:
        with pytest.raises(CallError):
            kiosk.leg.send_control("too early")
        await kiosk.call(page)
        kiosk.leg.send_control('{"type": "hello"}')
        await kiosk.until(lambda: kiosk.control == ['{"type": "hello"}'])

        chunk = bytes(range(256)) * 256
        for label in (TO_AGENT, TO_KIOSK):
            for _ in range(8):
                kiosk.leg.send_document(label, chunk)
            assert kiosk.leg.buffered(label) > 0
            await kiosk.leg.wait_drained(label)
            kiosk.leg.send_document(label, "end")
        await kiosk.until(lambda: len(kiosk.documents) == 18)
        for label in (TO_AGENT, TO_KIOSK):
            echoed = [data for name, data in kiosk.documents if name == label]
            assert echoed == [*[chunk] * 8, "end"]


@pytest.mark.parametrize("how", ["hang up", "leave the page"])
async def test_agent_leaves(browser: Browser, url: str, how: str) -> None:
    page = await _open(browser, url)
    async with _kiosk() as kiosk:
        await kiosk.call(page)
        if how == "hang up":
            await page.evaluate("pc.close()")
        else:
            await page.goto("about:blank")
        await kiosk.until(lambda: LegState.LOST in kiosk.states, 5)
        with pytest.raises(CallError):
            kiosk.leg.send_control("gone")
    assert kiosk.states == [LegState.CONNECTED, LegState.LOST, LegState.CLOSED]


async def test_five_legs_leave_nothing(browser: Browser, url: str) -> None:
    page = await _open(browser, url)

    async def one() -> None:
        async with _kiosk() as kiosk:
            await kiosk.call(page)
            kiosk.leg.send_control("bye")
            async with asyncio.timeout(2):
                await kiosk.leg.close()
                await kiosk.leg.close()
            assert kiosk.states == [LegState.CONNECTED, LegState.CLOSED]
            assert (kiosk.camera.readyState, kiosk.microphone.readyState) == ("ended", "ended")
        await page.evaluate("async () => { pc.close(); await audio.close(); }")

    await one()
    before = _held()
    for _ in range(4):
        await one()
    # aiortc's last callbacks run after its close has returned.
    async with asyncio.timeout(5):
        while any(now > then for now, then in zip(_held(), before, strict=True)):  # noqa: ASYNC110  # nothing tells of their end
            await asyncio.sleep(0.05)


def _held() -> tuple[int, int, int]:
    decoders = [t for t in threading.enumerate() if t.name.endswith("-decoder")]
    ours = [t for t in asyncio.all_tasks() if "aiortc" in repr(t) or t.get_name().startswith("leg")]
    return len(decoders), len(ours), len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # proc
