"""The talk of a call: a leg to the agent, kept alive, and another when its path dies."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from kioskd.app.devices import Devices
from kioskd.app.sensors import Sensors
from kioskd.call import control
from kioskd.call.ice import IceServer
from kioskd.call.leg import Leg, LegState
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.call.sending import Sending
from kioskd.call.statistics import LegStats
from kioskd.errors import CallError, DeviceError
from kioskd.runtime.others import what_is_wrong
from kioskd.visit import events as ev
from kioskd.visit.events import Event
from kioskd.visit.state import Media
from kioskd.visit.words import EndReason, LineQuality

log = structlog.get_logger(__name__)

HEARTBEAT_S: Final = 1.0
LOOK_S: Final = 0.2
DEAD_S: Final = 1.8
"""A path on which nothing at all came for so long is dead: fifty packets of sound a second and
a heartbeat come on one that is not."""
UNHEARD_S: Final = 6.0
"""An agent whose heartbeats come, and who gets nothing of ours for so long, cannot hear us. That
a heartbeat of ours is not echoed does not say so: it may wait behind a document on a slow line."""
SILENT_S: Final = 5.0
"""An agent's page that hangs while its picture comes: told to the resident after so long."""
ATTEMPT_S: Final = 8.0
"""How long a new leg may take; the next one gathers its candidates anew."""
LOST_S: Final = 30.0
"""docs/protocol.md: how long a call waits for a path. A modem that dials in again takes 20 s."""
EARLY_FRAMES: Final = 64


class _Connection:
    """A leg and what belongs to it alone."""

    def __init__(self, number: int, leg: Leg, camera: CameraTrack, voice: MicrophoneTrack) -> None:
        self.number = number
        self.leg = leg
        self.camera = camera
        self.voice = voice
        self.connected = asyncio.Event()
        self.answered = False
        self.lost = False
        self.early: list[tuple[str, str | bytes]] = []
        """Frames of documents that came before this leg was the one in use."""
        self.base_us: int | None = None
        """Where its pictures begin, on the talk's own time."""


class Talk:
    """One call's connection to the agent; made for each claim that wins, and thrown away.

    `on_document(channel, frame)` gets what comes on the two document channels,
    `on_control(message)` what the agent says that is not about the leg itself, `on_leg(leg)`
    each leg as it comes into use. `on_dead()` is awaited when a path has died, before another
    leg is offered, and returns the STUN and TURN servers for it; `ice_servers` are the first's.
    """

    def __init__(
        self,
        ice_servers: Sequence[IceServer],
        devices: Devices,
        sensors: Sensors,
        *,
        hello: Callable[[], list[control.ToAgent]],
        post: Callable[[Event], None],
        on_control: Callable[[control.FromAgent], None],
        on_document: Callable[[str, str | bytes], None],
        on_remote_video: Callable[[bytes, int, bool], None],
        on_remote_sound: Callable[[bytes], None],
        on_leg: Callable[[Leg], None],
        on_dead: Callable[[], Awaitable[Sequence[IceServer]]],
        sending: Sending,
    ) -> None:
        self._ice_servers = ice_servers
        self._devices = devices
        self._sensors = sensors
        self._hello = hello
        self._post = post
        self._on_control = on_control
        self._on_document = on_document
        self._on_remote_video = on_remote_video
        self._on_remote_sound = on_remote_sound
        self._on_leg = on_leg
        self._on_dead = on_dead
        self._sending = sending
        self._begun = time.monotonic()
        self._media = Media()
        self._quality = LineQuality.GOOD
        self._last_at: float | None = None
        self._beat_at = self._heard_at = self._echoed_at = 0.0
        self._count = 0
        self._used = self._made = self._make()
        """The leg in use, and the newest: the same but while another is being offered."""
        self._seen = self._spoken = self._used
        """The legs whose pictures and whose sound are taken."""
        self._closing: set[asyncio.Task[None]] = set()
        self._offered: asyncio.Task[str] | None = None
        self.invalid = 0
        self.reconnections = 0

    @property
    def leg(self) -> Leg:
        """The leg in use."""
        return self._used.leg

    def set_media(self, media: Media) -> None:
        """Send, or stop sending, the resident's voice and picture."""
        self._media = media
        for one in (self._used, self._made):
            one.camera.enabled = media.video
            one.voice.enabled = media.audio

    def say(self, message: control.ToAgent) -> None:
        """Tell the agent something, if the channel stands; on a new leg all is said anew."""
        with contextlib.suppress(CallError):
            self.leg.send_control(message.model_dump_json())

    async def prepare(self) -> str:
        """Make the first offer, which `run` then sends; may be awaited by several, and again.

        Raises CallError when it cannot be made.
        """
        if self._offered is None:
            self._offered = asyncio.create_task(self.leg.offer(), name="leg first offer")
        return await asyncio.shield(self._offered)

    async def run(self, send_offer: Callable[[str], None]) -> None:
        """Offer, then keep the agent connected until cancelled; close every leg in any case."""
        try:
            self._on_leg(self.leg)
            send_offer(await self.prepare())
            await self._used.connected.wait()
            if self._used.lost:
                raise CallError("it ended before it began")
            self._begin()
            self._post(ev.LegConnected())
            while True:
                await self._until_dead()
                await self._reconnect(send_offer)
        except CallError as error:
            log.warning("leg.failed", error=str(error))
            self._post(ev.LegFailed())
        finally:
            await self.close()

    async def accept(self, sdp: str) -> None:
        """Take the agent's answer to the newest leg; a bad one ends that leg."""
        made = self._made
        made.answered = True
        try:
            await made.leg.accept(sdp)
        except CallError as error:
            # Its text may quote the SDP, and with it addresses.
            log.warning("leg.answer_refused", error=type(error.__cause__ or error).__name__)
            self._lose(made)

    async def close(self) -> None:
        """Close every leg, which takes 2 s at the most, whoever is in a hurry meanwhile.

        The end of a visit cancels us, and so does its wipe: what is not closed by then would
        stay open.
        """
        for one in {self._used, self._made}:
            self._leave(one)
        hurried = False
        while self._closing:
            try:
                await asyncio.wait(self._closing)
            except asyncio.CancelledError:
                hurried = True
        if self._offered is not None:  # the leg has ended it
            await asyncio.gather(self._offered, return_exceptions=True)
        if hurried:
            raise asyncio.CancelledError

    def say_goodbye(self, reason: EndReason) -> None:
        """Tell the agent on the control channel that the call is over."""
        self.say(control.HangUp(reason=reason))

    async def stats(self) -> LegStats:
        """Return the figures of the leg in use."""
        return await self.leg.stats()

    # -- legs ------------------------------------------------------------------------

    def _make(self) -> _Connection:
        camera = CameraTrack(self._sensors.frame)
        voice = MicrophoneTrack(self._sensors.chunk)
        camera.enabled, voice.enabled = self._media.video, self._media.audio

        def mine() -> _Connection:
            return one

        leg = Leg(
            ice_servers=self._ice_servers,
            audio=voice,
            video=camera,
            on_control=self._control,
            on_document=lambda label, frame: self._document(mine(), label, frame),
            on_remote_video=lambda *frame: self._picture(mine(), *frame),
            on_remote_audio=lambda pcm: self._play(mine(), pcm),
            on_state=lambda state: self._state(mine(), state),
            speaker_backlog=self._backlog,
            sending=self._sending,
        )
        one = _Connection(self._count, leg, camera, voice)
        self._count += 1
        return one

    def _begin(self) -> None:
        """Say first, on a leg, all that the agent has to know."""
        self._heard_at = self._echoed_at = time.monotonic()
        self._beat_at = 0.0
        for message in self._hello():
            self.say(message)

    def _use(self, fresh: _Connection) -> None:
        """Speak on this leg from now on."""
        self._leave(self._used)
        self._used = fresh
        self._begin()
        self._on_leg(fresh.leg)
        early, fresh.early = fresh.early, []
        for label, frame in early:
            self._on_document(label, frame)

    def _leave(self, one: _Connection) -> None:
        task = asyncio.create_task(one.leg.close(), name="leg close behind")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _until_dead(self) -> None:
        """Beat until the path of the leg in use carries nothing any more."""
        packets, moved_at = -1, time.monotonic()
        delivered, got_at = self.leg.delivered, moved_at
        while True:
            now = time.monotonic()
            self._beat(now)
            if packets != self.leg.packets_received:
                packets, moved_at = self.leg.packets_received, now
            if delivered != self.leg.delivered:
                delivered, got_at = self.leg.delivered, now
            unheard = self._heard_at - got_at > UNHEARD_S
            if self._used.lost or unheard or now - moved_at > DEAD_S:
                log.warning("leg.dead", lost=self._used.lost, unheard=unheard)
                return
            silence = now - self._heard_at
            if silence > LOST_S:
                raise CallError(f"nothing heard of the agent for {silence:.0f} s")
            self._tell_quality(LineQuality.LOST if silence > SILENT_S else LineQuality.GOOD)
            await asyncio.sleep(LOOK_S)

    async def _reconnect(self, send_offer: Callable[[str], None]) -> None:
        """Bring another leg up, or the one in use back; raise CallError where neither can be."""
        died_at = time.monotonic()
        self._tell_quality(LineQuality.LOST)
        while time.monotonic() < died_at + LOST_S:
            usable = await self._attempt(send_offer, died_at)
            if usable is None:
                await asyncio.sleep(LOOK_S)
                continue
            if usable is not self._used:
                self.reconnections += 1
                self._use(usable)
            took = round(time.monotonic() - died_at, 1)
            log.info("leg.back", leg=usable.number, after_s=took)
            self._tell_quality(LineQuality.GOOD)
            return
        raise CallError(f"no path to the agent for {LOST_S:.0f} s")

    async def _attempt(
        self, send_offer: Callable[[str], None], died_at: float
    ) -> _Connection | None:
        """Offer another leg; return what carries, it or the one in use, or None."""
        self._ice_servers = await self._on_dead()
        fresh = self._made = self._make()
        usable = None
        try:
            async with asyncio.timeout(ATTEMPT_S):
                send_offer(await fresh.leg.offer())
                usable = await self._first(fresh, died_at)
        except (CallError, TimeoutError) as error:
            log.info("leg.attempt_failed", leg=fresh.number, error=str(error))
        if usable is not fresh:
            self._made = self._used
            self._leave(fresh)
        return usable

    async def _first(self, fresh: _Connection, died_at: float) -> _Connection | None:
        """Return the leg that carries first: the fresh one, or the one before, come back."""
        while not fresh.connected.is_set():
            self._beat(time.monotonic())
            # Heard by the agent, and the agent by us: what was sent later has been echoed. An
            # answered offer is kept to: the agent has changed over, or is about to.
            if self._echoed_at > died_at and not fresh.answered and not self._used.lost:
                return self._used
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await fresh.connected.wait()
        return None if fresh.lost else fresh

    def _state(self, one: _Connection, state: LegState) -> None:
        if state is LegState.CONNECTED:
            one.connected.set()
        elif state is LegState.LOST:
            self._lose(one)

    def _lose(self, one: _Connection) -> None:
        one.lost = True
        one.connected.set()  # nobody need wait for it

    # -- what goes and comes -----------------------------------------------------------

    def _beat(self, now: float) -> None:
        if now - self._beat_at >= HEARTBEAT_S:
            self._beat_at = now
            self.say(control.Heartbeat(at=now * 1000, echo=self._last_at))

    def _tell_quality(self, quality: LineQuality) -> None:
        if quality is not self._quality:
            self._quality = quality
            self._post(ev.LineChanged(quality))

    def _control(self, text: str) -> None:
        self._heard_at = time.monotonic()
        try:
            message = control.parse_from_agent(text)
        except ValueError as error:
            self.invalid += 1
            if self.invalid == 1:
                log.warning("control.invalid", error=what_is_wrong(error))
            return
        match message:
            case control.Heartbeat(at=at, echo=echo):
                self._last_at = at
                heard = self._heard_at if echo is None else min(echo / 1000, self._heard_at)
                self._echoed_at = max(self._echoed_at, heard)
            case control.Media(audio=audio, video=video):
                self._post(ev.AgentMedia(Media(audio, video)))
            case control.HangUp():
                self._post(ev.End(EndReason.HANG_UP))
            case _:
                self._on_control(message)

    def _backlog(self) -> float | None:
        return self._devices.speaker.device.backlog()

    def _document(self, one: _Connection, label: str, frame: str | bytes) -> None:
        if one is self._used:
            self._on_document(label, frame)
        elif one is self._made and len(one.early) < EARLY_FRAMES:
            one.early.append((label, frame))

    def _picture(self, one: _Connection, data: bytes, timestamp_us: int, key: bool) -> None:
        """Show the newest leg's pictures, from its first whole one on, in one line of time."""
        if key and one.number > self._seen.number:
            self._seen = one
        if one is not self._seen:
            return
        if one.base_us is None:
            one.base_us = round((time.monotonic() - self._begun) * 1e6) - timestamp_us
        self._on_remote_video(data, one.base_us + timestamp_us, key)

    async def _play(self, one: _Connection, pcm: bytes) -> None:
        if one.number > self._spoken.number:
            self._spoken = one
        if one is not self._spoken:
            return
        self._on_remote_sound(pcm)
        speaker = self._devices.speaker
        if not speaker.health.state.usable:
            return
        try:
            await speaker.device.play(pcm)
        except DeviceError as error:
            speaker.report(error)
            speaker.poke()
