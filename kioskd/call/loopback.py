"""A call of the kiosk to itself: the leg of every call, and a mirror in the agent's place."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from kioskd.call import seams
from kioskd.call.leg import Leg, LegState
from kioskd.call.media import CHUNK_S, CameraTrack, MicrophoneTrack
from kioskd.errors import CallError
from kioskd.hal.camera import Frame
from kioskd.hal.microphone import AudioChunk

CONNECT_S: Final = 10.0
FLOW_S: Final = 4.0
"""How long the first picture may take to come back, a key frame that was lost included."""
TALK_S: Final = 4.0
CLOSE_S: Final = 1.5
STEP_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Looped:
    """What came of a call to itself.

    `set_up_s` is the time from the offer to the open channels, `first_picture_s` to the first
    picture that came back. Pictures are per second, sound the share of what was due, the losses
    shares of packets, None where nothing was reported.
    """

    set_up_s: float
    first_picture_s: float | None
    pictures_out: float
    pictures_back: float
    sound_out: float
    sound_back: float
    loss_out: float | None
    loss_back: float | None


@dataclass(slots=True)
class _Counts:
    pictures_out: int = 0
    pictures_back: int = 0
    sound_out: int = 0
    sound_back: int = 0

    def copy(self) -> _Counts:
        return _Counts(self.pictures_out, self.pictures_back, self.sound_out, self.sound_back)


class _Given(MediaStreamTrack):
    """A track that gives on what comes out of another, and counts it."""

    def __init__(self, track: MediaStreamTrack, count: Callable[[], None]) -> None:
        super().__init__()
        self.kind = track.kind
        self._track = track
        self._count = count

    async def recv(self) -> Any:
        """Return the next frame of the other track."""
        frame = await self._track.recv()
        self._count()
        return frame


class _Mirror:
    """Answers an offer and sends back the picture, the sound and what is said."""

    def __init__(self, counts: _Counts) -> None:
        self._counts = counts
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._pc.on("track", self._arrived)
        self._pc.on("datachannel", self._channel)

    async def answer(self, offer: str) -> str:
        """Return the answer to an offer. Raises CallError."""
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for one in self._pc.getTransceivers():
                seams.gather_loopback(one.receiver.transport.transport.iceGatherer)
            await self._pc.setLocalDescription(await self._pc.createAnswer())
        except (ValueError, OSError) as error:
            raise CallError(f"the mirror cannot answer: {error}") from error
        return self._pc.localDescription.sdp

    async def close(self) -> None:
        await asyncio.wait([seams.closing(self._pc)], timeout=CLOSE_S)

    def _arrived(self, track: MediaStreamTrack) -> None:
        self._pc.addTrack(_Given(track, self._seen if track.kind == "video" else self._heard))

    def _seen(self) -> None:
        self._counts.pictures_out += 1

    def _heard(self) -> None:
        self._counts.sound_out += 1

    def _channel(self, channel: Any) -> None:
        channel.on("message", channel.send)


async def call_itself(
    frame: Callable[[], Awaitable[Frame]],
    chunk: Callable[[], Awaitable[AudioChunk]],
    tell: Callable[[float], None],
) -> Looped:
    """Call with this camera and this microphone. Raises CallError when no call comes about.

    Nothing leaves the machine and nothing is played. `tell` gets how far it is, 0.0 to 1.0.
    """
    counts = _Counts()
    changed = asyncio.Event()

    def picture(_: bytes, __: int, ___: bool) -> None:
        counts.pictures_back += 1
        changed.set()

    async def sound(_: bytes) -> None:
        counts.sound_back += 1

    leg = Leg(
        ice_servers=[],
        audio=MicrophoneTrack(chunk),
        video=CameraTrack(frame),
        on_control=lambda _: None,
        on_document=lambda _, __: None,
        on_remote_video=picture,
        on_remote_audio=sound,
        on_state=lambda _: changed.set(),
    )
    mirror = _Mirror(counts)
    try:
        return await _talk(leg, mirror, counts, changed, tell)
    finally:
        await leg.close()
        await mirror.close()


async def _talk(
    leg: Leg,
    mirror: _Mirror,
    counts: _Counts,
    changed: asyncio.Event,
    tell: Callable[[float], None],
) -> Looped:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await leg.accept(await mirror.answer(await leg.offer()))
    if not await _until(lambda: leg.state is not LegState.CONNECTING, changed, CONNECT_S):
        raise CallError(f"no connection in {CONNECT_S:.0f} s")
    if leg.state is not LegState.CONNECTED:
        raise CallError("the connection was lost at once")
    set_up_s = loop.time() - began
    flows = await _until(lambda: counts.pictures_back > 0, changed, FLOW_S)
    first_picture_s = loop.time() - began if flows else None
    await leg.stats()  # from now on it counts
    start, since = counts.copy(), loop.time()
    while (seconds := loop.time() - since) < TALK_S:
        tell(seconds / TALK_S)
        await asyncio.sleep(STEP_S)
    stats = await leg.stats()
    if leg.state is not LegState.CONNECTED:
        raise CallError("the connection was lost")
    due = seconds / CHUNK_S
    return Looped(
        set_up_s=set_up_s,
        first_picture_s=first_picture_s,
        pictures_out=(counts.pictures_out - start.pictures_out) / seconds,
        pictures_back=(counts.pictures_back - start.pictures_back) / seconds,
        sound_out=(counts.sound_out - start.sound_out) / due,
        sound_back=(counts.sound_back - start.sound_back) / due,
        loss_out=stats.loss_sent,
        loss_back=stats.loss_received,
    )


async def _until(true: Callable[[], bool], changed: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not true():
                changed.clear()
                await changed.wait()
    return true()
