"""The leg of a call: offered, answered, kept alive by heartbeats, closed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import structlog

from kioskd.app.devices import Devices
from kioskd.app.sensors import Sensors
from kioskd.call import control
from kioskd.call.leg import IceServer, Leg, LegState
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.call.statistics import LegStats
from kioskd.errors import CallError, DeviceError
from kioskd.runtime.others import what_is_wrong
from kioskd.settings import CallSettings
from kioskd.visit import events as ev
from kioskd.visit.events import Event
from kioskd.visit.state import Media
from kioskd.visit.words import EndReason, LineQuality

log = structlog.get_logger(__name__)

HEARTBEAT_S: Final = 1.0
INTERRUPTED_S: Final = 5.0
LOST_S: Final = 15.0
"""docs/protocol.md: when a silence is told to people, and when it ends the call."""


class Talk:
    """One call's leg; made for each claim that wins, and thrown away.

    `on_document(channel, frame)` gets what comes on the two document channels,
    `on_control(message)` what the agent says that is not about the leg itself.
    """

    def __init__(
        self,
        settings: CallSettings,
        devices: Devices,
        sensors: Sensors,
        *,
        hello: Callable[[], list[control.ToAgent]],
        post: Callable[[Event], None],
        on_control: Callable[[control.FromAgent], None],
        on_document: Callable[[str, str | bytes], None],
        on_remote_video: Callable[[bytes, int, bool], None],
        on_remote_sound: Callable[[bytes], None],
    ) -> None:
        self._devices = devices
        self._hello = hello
        self._post = post
        self._on_control = on_control
        self._on_remote_sound = on_remote_sound
        self._heard_at = time.monotonic()
        self._last_at: float | None = None
        self._quality = LineQuality.GOOD
        self._connected = asyncio.Event()
        self._camera = CameraTrack(sensors.frame)
        self._microphone = MicrophoneTrack(sensors.chunk)
        self.invalid = 0
        self.leg = Leg(
            ice_servers=[
                IceServer(
                    one.urls,
                    one.username,
                    one.credential.get_secret_value() if one.credential else None,
                )
                for one in settings.ice_servers
            ],
            audio=self._microphone,
            video=self._camera,
            on_control=self._control,
            on_document=on_document,
            on_remote_video=on_remote_video,
            on_remote_audio=self._play,
            on_state=self._state,
            speaker_backlog=self._backlog,
        )

    def set_media(self, media: Media) -> None:
        """Send, or stop sending, the resident's voice and picture."""
        self._camera.enabled = media.video
        self._microphone.enabled = media.audio

    def say(self, message: control.ToAgent) -> None:
        """Tell the agent something, if the channel stands."""
        with contextlib.suppress(CallError):  # a channel that is gone is told by on_state
            self.leg.send_control(message.model_dump_json())

    async def run(self, send_offer: Callable[[str], None]) -> None:
        """Offer, then keep the leg alive until cancelled; close it in any case."""
        try:
            send_offer(await self.leg.offer())
            await self._connected.wait()
            self._heard_at = time.monotonic()
            self._post(ev.LegConnected())
            for message in self._hello():
                self.say(message)
            await self._beat()
        except CallError as error:
            log.warning("leg.failed", error=str(error))
            self._post(ev.LegFailed())
        finally:
            await self.leg.close()

    async def accept(self, sdp: str) -> None:
        """Take the agent's answer; a bad one ends the leg."""
        try:
            await self.leg.accept(sdp)
        except CallError as error:
            # Its text may quote the SDP, and with it addresses.
            log.warning("leg.answer_refused", error=type(error.__cause__ or error).__name__)
            self._post(ev.LegFailed())

    def say_goodbye(self, reason: EndReason) -> None:
        """Tell the agent on the control channel that the call is over."""
        self.say(control.HangUp(reason=reason))

    async def stats(self) -> LegStats:
        """Return the leg's figures."""
        return await self.leg.stats()

    async def _beat(self) -> None:
        while True:
            self.say(control.Heartbeat(at=time.monotonic() * 1000, echo=self._last_at))
            await asyncio.sleep(HEARTBEAT_S)
            silence = time.monotonic() - self._heard_at
            if silence > LOST_S:
                raise CallError(f"nothing heard of the agent for {silence:.0f} s")
            lost = silence > INTERRUPTED_S
            self._tell_quality(LineQuality.LOST if lost else LineQuality.GOOD)

    def _tell_quality(self, quality: LineQuality) -> None:
        if quality is not self._quality:
            self._quality = quality
            self._post(ev.LineChanged(quality))

    def _state(self, state: LegState) -> None:
        if state is LegState.CONNECTED:
            self._connected.set()
        elif state in (LegState.LOST, LegState.CLOSED):
            self._post(ev.LegFailed())

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
            case control.Heartbeat(at=at):
                self._last_at = at
                self._tell_quality(LineQuality.GOOD)
            case control.Media(audio=audio, video=video):
                self._post(ev.AgentMedia(Media(audio, video)))
            case control.HangUp():
                self._post(ev.End(EndReason.HANG_UP))
            case _:
                self._on_control(message)

    def _backlog(self) -> float | None:
        return self._devices.speaker.device.backlog()

    async def _play(self, pcm: bytes) -> None:
        self._on_remote_sound(pcm)
        speaker = self._devices.speaker
        if not speaker.health.state.usable:
            return
        try:
            await speaker.device.play(pcm)
        except DeviceError as error:
            speaker.report(error)
            speaker.poke()
