"""The kiosk's end of its calls: who claims them, the leg to the agent, what is said on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from kioskd.app import telling
from kioskd.app.devices import Devices
from kioskd.app.identity import identity_of
from kioskd.app.line import Line
from kioskd.app.peers import Peers
from kioskd.app.quality import CallQuality
from kioskd.app.sensors import Sensors
from kioskd.app.standby import Standby
from kioskd.app.talk import Talk
from kioskd.app.transfers import Transfers
from kioskd.call import control
from kioskd.call.encoders import Encoders
from kioskd.call.ice import IceServer, IceServers
from kioskd.call.sending import Sending
from kioskd.call.statistics import LegStats
from kioskd.errors import PeerFault
from kioskd.hal.scanner import ScanSettings
from kioskd.runtime.tasks import TaskOwner
from kioskd.settings import Settings
from kioskd.signalling.messages import Answer, Bye, Claim, RefusalReason, Refused
from kioskd.visit import effects as do
from kioskd.visit import events as ev
from kioskd.visit.events import Event
from kioskd.visit.state import Media, Visit
from kioskd.visit.words import EndReason, LineQuality, Scene

FAREWELL_S: Final = 4.0
"""How long a `bye` counts: the path whose death has swallowed the agent's own words is known to
be dead after 2 s (kioskd.app.talk)."""


class Calls:
    """One call at a time, of the visit that `visit` returns; what happens is posted.

    `on_picture(data, timestamp_us, key)` gets the agent's pictures, encoded; `on_sound(pcm)`
    the agent's voice.
    """

    def __init__(
        self,
        settings: Settings,
        devices: Devices,
        sensors: Sensors,
        transfers: Transfers,
        line: Line,
        tasks: TaskOwner,
        *,
        post: Callable[[Event], None],
        visit: Callable[[], Visit],
        on_picture: Callable[[bytes, int, bool], None],
        on_sound: Callable[[bytes], None],
    ) -> None:
        self._settings = settings
        self._devices = devices
        self._sensors = sensors
        self._transfers = transfers
        self._line = line
        self._tasks = tasks
        self._post = post
        self._visit = visit
        self._on_picture = on_picture
        self._on_sound = on_sound
        self._talk: Talk | None = None
        self._farewell: tuple[str, float] | None = None
        """The call of which a `bye` came by the broker while it was up, and when."""
        self._ice = IceServers(servers_of(settings))
        self._standby = Standby(tasks, self._make)
        self.quality = CallQuality(post=post, visit=visit, say=self.say, filmed=self._filmed)
        codes = devices.camera.device.codes
        self.encoders = Encoders(settings.call.encoder, camera_codes=codes)
        self._sending = Sending(settings.call.picture, self.encoders.coder)
        self.peers = Peers(
            settings.kiosk,
            identity_of(settings),
            epoch=line.epoch,
            post=post,
            tell=line.tell,
            visit=visit,
        )

    # -- from the broker and the agent ---------------------------------------------

    def on_signal(self, service: str, agent: str, message: Claim | Answer | Bye) -> None:
        """Take what an agent says through the broker."""
        match message:
            case Claim():
                self.peers.on_claim(service, message)
            case Answer(call=call, sdp=sdp):
                talk = self._talk if self._is_ours(service, agent, call) else None
                if talk is not None and self.peers.accepts(message):
                    self._tasks.start("answer", talk.accept(sdp))
            case Bye(call=call):
                if self._is_ours(service, agent, call):
                    self._on_bye(message)

    def _on_bye(self, bye: Bye) -> None:
        if self._visit().scene is Scene.TALKING:
            # Not signed. An agent who hangs up says so in the call too, while that is up.
            self._farewell = bye.call, time.monotonic()
            self.heed_farewell()
        elif self._visit().scene is not Scene.CONNECTING:
            self._post(ev.End())
        elif bye.reason is EndReason.NOT_VERIFIED:  # the agent does not believe us
            self._post(ev.PeerRefused(bye.call, bye.fault or PeerFault.MISMATCH))
        else:
            self._post(ev.LegFailed())

    def heed_farewell(self) -> None:
        """End a call that is interrupted, and of which the broker said just now that it is over.

        One that was said long before is not true: the agent spoke on in the call. Else a broker
        that forges it would have the call end at its next interruption.
        """
        visit = self._visit()
        if visit.line is not LineQuality.LOST or self._farewell is None:
            return
        call, said_at = self._farewell
        if call == visit.call and time.monotonic() - said_at < FAREWELL_S:
            self._post(ev.End())

    def _is_ours(self, service: str, agent: str, call: str) -> bool:
        visit = self._visit()
        mine = visit.agent is not None and visit.agent.id == agent
        return mine and visit.call == call and visit.service == service

    def _on_control(self, message: control.FromAgent) -> None:
        match message:
            case control.ScanRequest(request=request):
                settings = ScanSettings(message.source, message.mode, message.dpi)
                self._post(ev.ScanAsked(request, settings, by_agent=True))
            case control.ScanCancel(request=request):
                self._post(ev.ScanWithdrawn(request))
            case control.Hearing():
                self.quality.hear(message)
            case control.PrintCancel(document=document):
                self._post(ev.PrintWithdrawn(document))

    # -- what the visit wants ------------------------------------------------------

    def join(self, service: str, call: str, waited_s: float) -> None:
        """Have the call wait in a service's line, where it has waited for `waited_s` seconds."""
        self.peers.begin(call)
        self._standby.begin()  # the offer is there when an agent takes the call
        self._line.join(service, call, self._visit().language, waited_s)

    def refuse(self, call: str, agent: str, taken_by: str | None) -> None:
        """Tell an agent that the call is another's, or gone."""
        reason = RefusalReason.GONE if taken_by is None else RefusalReason.TAKEN
        refused = Refused(call=call, reason=reason, taken_by=taken_by or "")
        service = self._visit().service
        if service:
            self._line.tell(service, agent, refused)

    def start(self, call: str, agent: str) -> None:
        """Offer a leg to the agent who has claimed the call."""
        self._tasks.start("leg", self._run(self._visit().service, call, agent))

    async def _run(self, service: str, call: str, agent: str) -> None:
        talk = self._standby.take()
        if talk is None:
            talk, _ = await self._make()
        self._talk = talk
        talk.set_media(self._visit().own_media)

        def send_offer(sdp: str) -> None:
            self._line.tell(service, agent, self.peers.offer(service, call, agent, sdp))

        await talk.run(send_offer)

    async def _make(self) -> tuple[Talk, bool]:
        """Return a talk to be run, and whether it asks STUN or TURN servers."""
        servers = await self._ice.best()
        talk = Talk(
            servers,
            self._devices,
            self._sensors,
            hello=self._hello,
            post=self._post,
            on_control=self._on_control,
            on_document=self._transfers.receive,
            on_remote_video=self._on_picture,
            on_remote_sound=self._on_sound,
            on_leg=self._transfers.attach,
            on_dead=self._path_died,
            sending=self._sending,
        )
        return talk, bool(servers)

    async def _path_died(self) -> list[IceServer]:
        """The kiosk may be on another network now: doubt all that was known of the old one."""
        self._line.link.hurry()
        self._ice.look(anew=True)
        return await self._ice.best()

    def close(self, close: do.CloseLeg) -> None:
        """End the leg, and say so on it and through the broker."""
        self.quality.end(close.reason)
        talk, self._talk = self._talk, None
        self._transfers.detach()
        if talk is not None:
            talk.say_goodbye(close.reason)
        bye = Bye(call=close.call, reason=close.reason, fault=close.fault)
        self._line.tell(self._visit().service, close.agent, bye)
        self._tasks.cancel("leg", "answer")

    def set_media(self, media: Media) -> None:
        """Send, or stop sending, the resident's voice and picture; the agent is told."""
        if self._talk is not None:
            self._talk.set_media(media)
            self._talk.say(telling.media(media))

    def say(self, message: control.ToAgent) -> None:
        """Tell the agent something, if there is a leg."""
        if self._talk is not None:
            self._talk.say(message)

    def ask_keyframe(self) -> None:
        """The resident's page has lost the picture and needs a whole one."""
        if self._talk is not None:
            self._tasks.start("keyframe", self._talk.leg.request_keyframe())

    def _hello(self) -> list[control.ToAgent]:
        told = telling.hello(self._settings.kiosk, self._visit(), self._devices.reports())
        return [*told, *self.quality.said()]

    def _filmed(self) -> bool:
        return self._visit().own_media.video and self._devices.camera.health.state.usable

    async def stop(self) -> None:
        """Ask no server any more, and end the encoder."""
        await self._ice.close()
        await self.encoders.close()

    async def look(self) -> LegStats | None:
        """Measure the call, once a second; return its figures, or None when there is none."""
        talk = self._talk
        if talk is None:
            return None
        figures = await talk.stats()
        if talk is self._talk:
            self.quality.look(figures, talk.reconnections)
        return figures


def servers_of(settings: Settings) -> tuple[IceServer, ...]:
    """Return the STUN and TURN servers of the configuration."""
    return tuple(
        IceServer(
            one.urls, one.username, one.credential.get_secret_value() if one.credential else None
        )
        for one in settings.call.ice_servers
    )
