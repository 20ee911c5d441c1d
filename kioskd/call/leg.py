"""One leg of a call: one RTCPeerConnection between the kiosk and the agent's browser.

The kiosk offers, the agent answers, all candidates in the SDP. A leg is used once; a
call that loses it makes a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

import structlog
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from kioskd.call import cost_seams, seams
from kioskd.call.arrival_seams import Arrivals
from kioskd.call.channels import CONTROL, LOW_WATER, Channels
from kioskd.call.control import QueueGone
from kioskd.call.description import (
    FEEDBACK_EXTENSION,
    check_answer,
    gives_feedback,
    in_short,
    takes_red,
    with_feedback,
    with_speech,
    with_start_bitrate,
)
from kioskd.call.ice import IceServer, network
from kioskd.call.picture import LegPicture
from kioskd.call.rate import LegRate
from kioskd.call.sending import Sending
from kioskd.call.sound import LegSound
from kioskd.call.statistics import LegStats, Meter
from kioskd.errors import CallError
from kioskd.picture.ladder import Profile
from kioskd.picture.lipsync import LipSync
from kioskd.sound.ladder import share

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MOST_BUFFERED: Final = 1024 * 1024
ACCEPT_S: Final = 5.0
"""Applying an answer may resolve `.local` names (RFC 8828), on the local network."""
DRAIN_S: Final = 0.3
"""How long `close` waits for the last control message to leave."""
CLOSE_S: Final = 1.5


class LegState(StrEnum):
    """Goes forward only: connecting, connected, lost, closed."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    """Media flow and the three channels are open."""
    LOST = "lost"
    """Ended by the agent's side or the network; `close` is still to be called."""
    CLOSED = "closed"
    """`close` has ended it."""


_ORDER: Final = list(LegState)


class Leg:
    """One connection to the agent: sound, picture, control and documents.

    Of `ice_servers` the first STUN and the first TURN server are used, and have to answer
    (kioskd.call.ice). The leg stops the tracks it is given. The callbacks run on the event loop:
    `on_control` gets text; `on_document` the channel's label and a text or binary frame;
    `on_remote_video` a VP8 frame, its time in microseconds from the first one, and whether it is a
    key frame; `on_remote_audio` CHUNK_BYTES of sound; `on_state` each change of state.
    `speaker_backlog` tells the seconds of sound that wait at the speaker, None if it cannot: its
    clock is then not followed. An error in a callback is logged and harms nothing.
    """

    def __init__(
        self,
        *,
        ice_servers: Sequence[IceServer],
        audio: MediaStreamTrack,
        video: MediaStreamTrack,
        on_control: Callable[[str], None],
        on_document: Callable[[str, str | bytes], None],
        on_remote_video: Callable[[bytes, int, bool], None],
        on_remote_audio: Callable[[bytes], Awaitable[None]],
        on_state: Callable[[LegState], None],
        speaker_backlog: Callable[[], float | None] = lambda: None,
        sending: Sending | None = None,
    ) -> None:
        self._ice_servers = tuple(ice_servers)
        self._audio = audio
        self._video = video
        self._on_control = on_control
        self._on_document = on_document
        self._on_remote_video = on_remote_video
        self._on_remote_audio = on_remote_audio
        self._on_state = on_state
        self._speaker_backlog = speaker_backlog
        self._sending = sending or Sending()
        self._start_bps = 0.0
        self._state = LegState.CONNECTING
        self._pc: RTCPeerConnection | None = None
        self._keyframes: seams.KeyframeRequester | None = None
        self._arrivals: Arrivals | None = None
        self._channels = Channels(self._connection_changed, self._channel_closed, self._message)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._meter = Meter()
        self._sound: LegSound | None = None
        self._picture: LegPicture | None = None
        self._rate: LegRate | None = None

    @property
    def state(self) -> LegState:
        """Where the leg is."""
        return self._state

    @property
    def packets_received(self) -> int:
        """How many packets of any kind have come from the agent: a dead path adds none."""
        return 0 if self._pc is None else seams.packets_received(self._pc)

    @property
    def delivered(self) -> int:
        """A number that changes with each part of the channels that the agent has got."""
        return 0 if self._pc is None else seams.delivered(self._pc)

    async def offer(self) -> str:
        """Gather candidates and return the offer's SDP; to be called once.

        Takes up to 5 s where a STUN or TURN server does not answer. Raises CallError.
        """
        return await self._run(self._make_offer())

    async def accept(self, sdp: str) -> None:
        """Apply the agent's answer; the connection then goes on by itself.

        Raises CallError when the SDP cannot be used: the leg is then to be closed.
        """
        await self._run(self._apply_answer(sdp))

    def send_control(self, text: str) -> None:
        """Queue a control message before all documents.

        Raises CallError when the channel is not open.
        """
        self._channels.send(CONTROL, text)

    def send_document(self, label: str, data: str | bytes) -> None:
        """Queue a frame, at most 64 KiB, in a documents channel.

        `label` is TO_AGENT or TO_KIOSK. Raises CallError when it is not open.
        """
        self._channels.send(label, data)
        if self._rate is not None:
            self._rate.took(len(data))

    def room(self, label: str) -> int:
        """Return how many bytes of a document may be handed on now.

        What the line has beside speech and picture, where the far end tells what it gets; else
        what the channel takes without becoming long. To be asked some fifty times a second.
        """
        buffered = self.buffered(label)
        known = None if self._rate is None else self._rate.room()
        if known is None:
            return max(0, MOST_BUFFERED - buffered)
        return known if buffered <= LOW_WATER else 0

    def buffered(self, label: str) -> int:
        """Return the bytes queued in a channel that SCTP has not taken yet; 0 without one."""
        return self._channels.buffered(label)

    async def wait_drained(self, label: str) -> None:
        """Wait until little is queued in a channel (kioskd.call.channels). Raises CallError."""
        await self._channels.wait_drained(label)

    async def request_keyframe(self) -> None:
        """Ask the agent's encoder for a key frame, within a second; requests are merged."""
        if self._keyframes is not None and self._state is LegState.CONNECTED:
            await self._keyframes.request()

    async def stats(self) -> LegStats:
        """Measure the leg; the rates are averages since the call before."""
        report = {} if self._pc is None else await self._pc.getStats()
        sound = None if self._sound is None else self._sound.stats()
        return self._meter.measure(report, sound, asyncio.get_running_loop().time())

    async def close(self) -> None:
        """End the leg and free all it holds, within 2 s; may be called in any state, again."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="leg close")
        await asyncio.shield(self._closing)

    async def _make_offer(self) -> str:
        if self._pc is not None:
            raise CallError("a leg offers once")
        try:
            self._pc = self._connection()
            await self._pc.setLocalDescription(await self._pc.createOffer())
            transport = self._pc.getTransceivers()[0].receiver.transport
            cost_seams.receive_at_once(transport)
            cost_seams.send_straight(transport)
        except (ValueError, OSError) as error:
            raise CallError(f"cannot offer: {error}") from error
        sdp = self._pc.localDescription.sdp
        if "a=candidate:" not in sdp:
            raise CallError("no candidate: the machine has no address")
        return in_short(with_feedback(with_speech(with_start_bitrate(sdp))))

    def _connection(self) -> RTCPeerConnection:
        seams.use_steady_clock()
        pc = RTCPeerConnection(
            RTCConfiguration(
                # Never None: aiortc would ask a public STUN server.
                iceServers=[
                    RTCIceServer(server.url, server.username, server.credential)
                    for server in self._ice_servers
                ],
                bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
            )
        )
        pc.on("connectionstatechange", self._connection_changed)
        pc.on("track", self._track_arrived)
        pc.addTrack(self._audio)
        pc.addTrack(self._video)
        lips = LipSync()
        self._sound = LegSound(pc.getTransceivers()[0], lips)
        video = pc.getTransceivers()[1]
        sending, self._network = self._sending, network()
        self._start_bps = sending.known.start_bps(self._network)
        beside = self._start_bps - self._sound.sending_bps
        self._picture = LegPicture(video, beside, sending.profile, self._estimated, sending.coder())
        self._arrivals = Arrivals(video.receiver, lips)
        gatherer = video.receiver.transport.transport.iceGatherer
        seams.gather_loopback(gatherer)
        seams.gather_to_the_end(gatherer)
        seams.bound_early_data(gatherer)
        seams.resolve_names_beside(gatherer)
        seams.end_consent_checks(gatherer)
        seams.check_consent_patiently(gatherer)
        self._keyframes = seams.KeyframeRequester(video.receiver)
        self._channels.offer(pc)
        return pc

    def _estimated(self, bps: float) -> None:
        assert self._sound is not None
        self._sound.rate.available_bps = share(bps)

    async def _apply_answer(self, sdp: str) -> None:
        if self._pc is None or self._sound is None:
            raise CallError("an answer without an offer")
        check_answer(sdp)
        if takes_red(sdp):
            self._sound.use_red()
        if gives_feedback(sdp):
            self._control_rate()
        try:
            async with asyncio.timeout(ACCEPT_S):
                await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        except Exception as error:
            # aiortc raises whatever its parser and its checks run into.
            raise CallError(f"cannot use the answer: {error}") from error

    def _control_rate(self) -> None:
        assert self._pc is not None
        assert self._picture is not None
        assert self._sound is not None
        learn = partial(self._sending.known.learn, self._network)
        self._rate = LegRate(self._picture, self._sound, self._start_bps, learn, self._queue_gone)
        for work in self._rate.take_over(self._pc, FEEDBACK_EXTENSION):
            self._own(asyncio.create_task(work, name="leg rate"))

    def _queue_gone(self) -> None:
        with contextlib.suppress(CallError):
            self.send_control(QueueGone().model_dump_json())

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closing is not None:
            work.close()
            raise CallError("the leg is closed")
        task = asyncio.create_task(work, name="leg set-up")
        self._own(task)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise CallError("the leg was closed") from None

    def _own(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _connection_changed(self) -> None:
        if self._pc is None or self._closing is not None:
            return
        state = self._pc.connectionState
        if state in ("failed", "closed"):
            self._advance(LegState.LOST)
        elif state == "connected" and self._channels.all_open:
            self._advance(LegState.CONNECTED)

    def _channel_closed(self) -> None:
        if self._closing is None:
            self._advance(LegState.LOST)

    def _advance(self, state: LegState) -> None:
        if _ORDER.index(state) <= _ORDER.index(self._state):
            return
        self._state = state
        log.info("leg.state", state=state.value)
        _tell(self._on_state, state)

    def _message(self, label: str, data: str | bytes) -> None:
        if label != CONTROL:
            _tell(self._on_document, label, data)
        elif isinstance(data, str):
            _tell(self._on_control, data)
        else:
            log.warning("leg.binary_control", size=len(data))

    def _track_arrived(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            assert self._arrivals is not None
            self._own(asyncio.create_task(self._arrivals.run(), name="leg arrivals"))
            work = self._watch(track)
        else:
            assert self._sound is not None
            work = self._sound.run(track, self._on_remote_audio, self._speaker_backlog)
        self._own(asyncio.create_task(work, name=f"leg remote {track.kind}"))

    async def _watch(self, track: MediaStreamTrack) -> None:
        now = asyncio.get_running_loop().time
        while True:
            try:
                frame: Any = await track.recv()
            except MediaStreamError:
                return
            # Who reads hands gains nothing by waiting for a voice.
            signed = self._sending.profile is Profile.SIGN_LANGUAGE
            if not signed and (wait := frame.due - now()) > 0:
                await asyncio.sleep(wait)
            _tell(self._on_remote_video, frame.data, frame.micros, frame.key)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_S):
                await self.wait_drained(CONTROL)
        except (CallError, TimeoutError):
            pass  # it cannot be sent any more: the agent finds out by its heartbeat
        for task in self._tasks:
            task.cancel()
        await self._end(list(self._tasks))
        if self._picture is not None:
            self._picture.close()
        self._audio.stop()
        self._video.stop()
        self._channels.release()
        self._advance(LegState.CLOSED)

    async def _end(self, endings: list[asyncio.Task[Any]]) -> None:
        closing = None
        if self._pc is not None:
            closing = seams.closing(self._pc)
            endings.append(closing)
        if not endings:
            return
        done, pending = await asyncio.wait(endings, timeout=CLOSE_S)
        for task in pending:
            log.warning("leg.close_stuck", task=task.get_name())
            if task is not closing:
                task.cancel()
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.warning("leg.close_failed", task=task.get_name(), error=repr(error))


def _tell(callback: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call back; an error raised there would end aiortc's receiving, so it ends here."""
    try:
        callback(*args, **kwargs)
    except Exception:
        log.exception("leg.callback_failed")
