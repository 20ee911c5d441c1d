"""The kiosk: takes what happens, asks the visit, carries out what it wants."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from typing import Final

import structlog

from kioskd.app import telling, view
from kioskd.app.audited import Step
from kioskd.app.auditing import Auditing
from kioskd.app.devices import Devices
from kioskd.app.eyes import Eyes
from kioskd.app.front import Front
from kioskd.app.identity import identity_of
from kioskd.app.line import ENTRY_EVERY_S, STATUS_EVERY_S, Line
from kioskd.app.peers import Peers
from kioskd.app.printing import Printing
from kioskd.app.scanning import Scanning
from kioskd.app.sensors import Sensors
from kioskd.app.sound import Sound
from kioskd.app.talk import Talk
from kioskd.app.transfers import Transfers
from kioskd.call import control
from kioskd.call.statistics import LegStats
from kioskd.documents.spool import Spool
from kioskd.errors import DeviceAbsent, DeviceError, DocumentError, PeerFault, Reason
from kioskd.hal.panel import PanelEvent
from kioskd.hal.scanner import ScanSettings
from kioskd.runtime.tasks import TaskOwner
from kioskd.runtime.vitals import collect_what_is_dropped
from kioskd.runtime.watchdog import Watchdog
from kioskd.screen import messages as screen
from kioskd.screen.server import ScreenServer
from kioskd.settings import Settings
from kioskd.signalling.link import LONGEST_ROUND_S, BrokerAddress
from kioskd.signalling.messages import (
    Answer,
    Bye,
    Claim,
    RefusalReason,
    Refused,
    new_id,
)
from kioskd.visit import effects as do
from kioskd.visit import events as ev
from kioskd.visit.effects import Effect
from kioskd.visit.events import Event
from kioskd.visit.machine import step
from kioskd.visit.state import HiddenPart, Media, Visit, deadline, sensors_allowed
from kioskd.visit.words import EndReason, LineQuality, Scene

log = structlog.get_logger(__name__)

BEAT_S: Final = 2.0
PULSE_S: Final = 10.0
"""A loop that waits for an event looks up each BEAT_S; PULSE_S without that is a hang."""
COLLECT_S: Final = (1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 5.0, 10.0)
"""Pauses after a visit. The screen's old Chromium has gone after some 2 s, on a slow machine 10."""
SHOW_EVERY_S: Final = 5.0
"""The view is sent again at this pace: opening hours and waiting times move by themselves."""


class Kiosk:
    """Wires the visit to devices, broker, call, documents and screen.

    `post` may be called from anywhere on the loop; events are handled one at a time, in
    order, and each effect is started before the next event.
    """

    def __init__(
        self,
        settings: Settings,
        devices: Devices,
        address: BrokerAddress,
        screen_server: ScreenServer,
        spool: Spool,
        watchdog: Watchdog,
        audit: Auditing,
    ) -> None:
        self.visit = Visit(language=settings.kiosk.language, entered=time.monotonic())
        self.line = Line(
            settings.kiosk,
            address,
            on_signal=self._on_signal,
            on_change=self._show,
            beat=watchdog.pulse("broker link", LONGEST_ROUND_S).beat,
            audit_head=lambda: audit.status().head,
        )
        self.devices = devices
        self._settings = settings
        self._screen = screen_server
        self._spool = spool
        self._watchdog = watchdog
        self._audit = audit
        self._events: deque[Event] = deque()
        self._handling = False
        self._timer = asyncio.Event()
        self._tasks = TaskOwner("kiosk")
        self._front = Front(devices, self._on_panel)
        self._sound = Sound(devices, on_volume=self._show, on_levels=self._show_levels)
        self._sensors = Sensors(devices, self._show_own_picture, self._sound.meter.own)
        self._scanning = Scanning(devices, spool, self.post, self._show)
        self._printing = Printing(devices, spool, self.post)
        self._transfers = Transfers(
            spool,
            post=self.post,
            visit=lambda: self.visit,
            on_refused=audit.document_refused,
        )
        self._talk: Talk | None = None
        self._farewell = ""
        self.eyes = Eyes(
            devices,
            self._front,
            audit,
            allowed=lambda: sensors_allowed(self.visit),
            on_change=self._show,
        )
        self.peers = Peers(
            settings.kiosk,
            identity_of(settings),
            epoch=self.line.epoch,
            post=self.post,
            tell=self.line.tell,
            visit=lambda: self.visit,
        )
        self.peers.on_refused = self._on_peer_refused
        devices.on_change = self._devices_changed

    # -- what happens ------------------------------------------------------------

    def post(self, event: Event) -> None:
        """Handle an event, after those that came before."""
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._events:
                self._handle(self._events.popleft())
        finally:
            self._handling = False
        self._scanning.follow(self.visit.scan.stage if self.visit.scan else None)
        self._show()
        self._timer.set()

    def _handle(self, event: Event) -> None:
        before = self.visit
        self.visit, wanted = step(before, event, time.monotonic())
        self._audit.step(Step(before, event, self.visit, wanted))
        if self.visit.scene is not before.scene:
            log.info("visit.scene", scene=self.visit.scene.value, service=self.visit.service)
            if self.visit.scene is Scene.CHOOSING:
                self._sound.reset()
                if before.scene is not Scene.CLOSED:
                    self._screen.begin_anew()
                    self._tasks.start("collect", self._collect())
            self._front.show_scene(self.visit.scene)
        if self.visit.line is not before.line:
            self._heed_farewell()
        for effect in wanted:
            self._carry(effect)

    async def run(self) -> None:
        """Live until cancelled. What an earlier life has left is wiped first."""
        self._spool.prepare()
        await self._wipe()
        self._sound.reset()
        panel_pulse = self._watchdog.pulse("panel", PULSE_S)
        async with asyncio.TaskGroup() as group:
            for name, work in {
                "devices": self.devices.run(self._watchdog),
                "broker": self.line.link.run(),
                "timers": self._run_timers(),
                "refresh": self._run_refresh(),
                "panel": self._front.run(panel_pulse, BEAT_S),
            }.items():
                group.create_task(work, name=name)

    async def stop(self) -> None:
        """End the visit cleanly; call before `run` is cancelled. Takes 4 s at the most."""
        self.post(ev.End(EndReason.KIOSK_STOPPED))
        await self._tasks.stop("print", "scan", "send", "leg", "sensors")
        await self.line.say_goodbye()
        await self._wipe()

    async def _run_timers(self) -> None:
        pulse = self._watchdog.pulse("timers", PULSE_S)
        while True:
            pulse.beat()
            due = deadline(self.visit)
            left = BEAT_S if due is None else min(due - time.monotonic(), BEAT_S)
            self._timer.clear()
            try:
                async with asyncio.timeout(left):
                    await self._timer.wait()
            except TimeoutError:
                if due is not None and due <= time.monotonic():
                    self.post(ev.Tick())

    async def _run_refresh(self) -> None:
        last_entry = last_status = time.monotonic()
        pulse = self._watchdog.pulse("refresh", PULSE_S)
        while True:
            pulse.beat()
            await asyncio.sleep(SHOW_EVERY_S)
            now = time.monotonic()
            if now - last_entry >= ENTRY_EVERY_S:
                self.line.refresh()
                last_entry = now
            if now - last_status >= STATUS_EVERY_S:
                self.line.refresh_status()
                last_status = now
            self._show()

    def _on_panel(self, event: PanelEvent) -> None:
        match event:
            case PanelEvent.HANG_UP:
                self.post(ev.End())
            case PanelEvent.HANDSET_LIFTED:
                self._sound.lift()
            case PanelEvent.HANDSET_REPLACED:
                if self._sound.replace():
                    self.post(ev.HandsetReplaced())
            case PanelEvent.VOLUME_UP:
                self._sound.louder(1)
            case PanelEvent.VOLUME_DOWN:
                self._sound.louder(-1)
            case PanelEvent.NEXT | PanelEvent.PREVIOUS | PanelEvent.PRESS:
                self._screen.key(screen.Key(key=event.value))

    # -- from the broker and the agent ---------------------------------------------

    def _on_signal(self, service: str, agent: str, message: Claim | Answer | Bye) -> None:
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
        if self.visit.scene is Scene.TALKING:
            # Not signed. An agent who hangs up says so in the call too, while that is up.
            self._farewell = bye.call
            self._heed_farewell()
        elif self.visit.scene is not Scene.CONNECTING:
            self.post(ev.End())
        elif bye.reason is EndReason.NOT_VERIFIED:  # the agent does not believe us
            self.post(ev.PeerRefused(bye.call, bye.fault or PeerFault.MISMATCH))
        else:
            self.post(ev.LegFailed())

    def _heed_farewell(self) -> None:
        """End a call that is interrupted, and that the broker says is over."""
        if self.visit.line is LineQuality.LOST and self._farewell == self.visit.call:
            self.post(ev.End())

    def _on_peer_refused(self, fault: PeerFault, service: str, agent: str, _: str) -> None:
        known = service if self._settings.service(service) else ""  # a stranger's word
        self._audit.refused(fault.value, service=known, agent=agent)

    def _is_ours(self, service: str, agent: str, call: str) -> bool:
        visit = self.visit
        mine = visit.agent is not None and visit.agent.id == agent
        return mine and visit.call == call and visit.service == service

    def _on_control(self, message: control.FromAgent) -> None:
        match message:
            case control.ScanRequest(request=request):
                settings = ScanSettings(message.source, message.mode, message.dpi)
                self.post(ev.ScanAsked(request, settings, by_agent=True))
            case control.ScanCancel(request=request):
                self.post(ev.ScanWithdrawn(request))
            case control.PrintCancel(document=document):
                self.post(ev.PrintWithdrawn(document))

    # -- from the screen -----------------------------------------------------------

    def on_action(self, action: screen.Action) -> None:
        """Do what the resident pressed."""
        match action:
            case screen.Choose(service=service):
                self._choose(service)
            case screen.SetLanguage(language=language):
                self.post(ev.Speak(language))
            case screen.RemovePage(page=page):
                self.post(ev.ScanRemove(page))
            case screen.HidePart(page=page, area=area):
                self.post(ev.ScanHide(HiddenPart(page, area.x, area.y, area.width, area.height)))
            case screen.ShowPage(page=page):
                self.post(ev.ScanShow(page))
            case screen.SetMedia(audio=audio, video=video):
                self.post(ev.OwnMedia(Media(audio, video)))
            case screen.SetVolume(volume=volume):
                self._sound.set_volume(volume)
            case screen.Plain(action="keyframe"):
                if self._talk is not None:
                    self._tasks.start("keyframe", self._talk.leg.request_keyframe())
            case screen.Plain(action="scan-offer"):
                self.post(ev.ScanAsked(new_id(), ScanSettings(), by_agent=False))
            case screen.Plain(action=name):
                self.post(_PRESSES[name])

    def _choose(self, service_id: str) -> None:
        service = self._settings.service(service_id)
        if service is None or not self.line.online:
            return  # the page shows why no call can be placed
        is_open = service.is_open(datetime.now(UTC))
        self.post(ev.Choose(service_id, new_id(), is_open))

    def page_picture(self, document: str, number: int) -> bytes | None:
        """Return the JPEG of a page that the screen may show now. For a thread: it may draw."""
        visit = self.visit
        match document:
            case "scan" if visit.scan is not None and number in visit.scan.pages:
                return self._scanning.page(number, visit.scan.hidden)
            case "print" if visit.print is not None:
                return self._printing.page(number)
        return None

    # -- what the visit wants ------------------------------------------------------

    def _carry(self, effect: Effect) -> None:
        match effect:
            case do.JoinLine(service, call):
                self.peers.begin(call)
                waited = time.monotonic() - self.visit.waiting_since
                self.line.join(service, call, self.visit.language, waited)
            case do.LeaveLine(service):
                self.line.leave(service)
            case do.RefuseClaim(call, agent, taken_by):
                self._refuse(call, agent, taken_by)
            case do.StartLeg(call, agent):
                self._start_leg(call, agent)
            case do.CloseLeg():
                self._close_leg(effect)
            case do.OpenSensors():
                self._sensors.muted = not self.visit.own_media.audio
                self._sensors.watched = self.visit.own_media.video
                self.eyes.light()
                self._tasks.start("sensors", self._sensors.run())
            case do.CloseSensors():
                self._tasks.cancel("sensors")
                self.eyes.light()
            case do.TellMedia():
                self._tell_media()
            case do.Wipe():
                # Asked for again while a printer takes its time: to begin anew would never end.
                if not self._tasks.runs("wipe"):
                    self._tasks.start("wipe", self._wipe_and_report())
            case _:
                self._carry_paper(effect)

    def _carry_paper(self, effect: Effect) -> None:
        match effect:
            case do.StartScan(settings, first_page):
                self._tasks.start("scan", self._scanning.scan(settings, first_page))
            case do.StopScan():
                self._tasks.cancel("scan", "send")
            case do.SendScan() as wanted:
                self._tasks.start("send", self._send(wanted))
            case do.Vet(document):
                source = self._transfers.take(document)
                self._tasks.start("print", self._printing.vet(document, source))
            case do.StartPrint(document):
                self._tasks.start("print", self._print(document))
            case do.StopPrint():
                self._tasks.cancel("print")
            case do.TellScan():
                if self.visit.scan is not None:
                    self._say(telling.scan(self.visit.scan))
            case do.TellPrint():
                if self.visit.print is not None:
                    self._say(telling.job(self.visit.print))

    def _refuse(self, call: str, agent: str, taken_by: str | None) -> None:
        reason = RefusalReason.GONE if taken_by is None else RefusalReason.TAKEN
        refused = Refused(call=call, reason=reason, taken_by=taken_by or "")
        service = self.visit.service
        if service:
            self.line.tell(service, agent, refused)

    def _start_leg(self, call: str, agent: str) -> None:
        service = self.visit.service
        talk = Talk(
            self._settings.call,
            self.devices,
            self._sensors,
            hello=self._hello,
            post=self.post,
            on_control=self._on_control,
            on_document=self._transfers.receive,
            on_remote_video=self._show_agent,
            on_remote_sound=self._sound.meter.agent,
        )
        self._talk = talk
        self._transfers.attach(talk.leg)

        def send_offer(sdp: str) -> None:
            self.line.tell(service, agent, self.peers.offer(service, call, agent, sdp))

        self._tasks.start("leg", talk.run(send_offer))

    def _close_leg(self, close: do.CloseLeg) -> None:
        talk, self._talk = self._talk, None
        self._transfers.detach()
        if talk is not None:
            talk.say_goodbye(close.reason)
        bye = Bye(call=close.call, reason=close.reason, fault=close.fault)
        self.line.tell(self.visit.service, close.agent, bye)
        self._tasks.cancel("leg", "answer")

    async def _send(self, wanted: do.SendScan) -> None:
        try:
            document = await self._scanning.assemble(wanted.pages, wanted.hidden)
            await self._audit.consent_written()
            await self._transfers.send(wanted.request, document, len(wanted.pages))
        except DocumentError as error:
            log.warning("scan.not_sent", fault=error.fault, detail=error.detail)
            self.post(ev.ScanDelivered(error.fault))
        else:
            self.post(ev.ScanDelivered(size=len(document)))

    async def _print(self, document: str) -> None:
        await self._audit.consent_written()
        await self._printing.print(document)

    async def _wipe_and_report(self) -> None:
        await self._wipe()
        self.post(ev.Wiped())

    async def _wipe(self) -> None:
        await self._tasks.stop("print", "scan", "send", "leg", "sensors")
        self._transfers.forget()
        self._scanning.forget()
        self._printing.forget()
        self.peers.forget()
        self._spool.wipe()
        failure: Reason | None = None
        try:
            await self.devices.printer.device.purge()
        except DeviceAbsent:
            pass  # nothing can come out of a printer that is not there
        except DeviceError as error:
            failure = error.reason
            log.warning("wipe.printer", reason=error.reason, detail=error.detail)
        self._audit.wiped(failure)
        collect_what_is_dropped()

    async def _collect(self) -> None:
        """Collect what was let go only after the wipe: connections of the leg and of the page."""
        for pause in COLLECT_S:
            await asyncio.sleep(pause)
            if self.visit.scene is Scene.CHOOSING:
                collect_what_is_dropped()

    # -- what people are told ------------------------------------------------------

    def _hello(self) -> list[control.ToAgent]:
        return telling.hello(self._settings.kiosk, self.visit, self.devices.reports())

    def _say(self, message: control.ToAgent) -> None:
        if self._talk is not None:
            self._talk.say(message)

    def _tell_media(self) -> None:
        self._sensors.muted = not self.visit.own_media.audio
        self._sensors.watched = self.visit.own_media.video
        if self._talk is not None:
            media = self.visit.own_media
            self._talk.set_media(media)
            self._talk.say(telling.media(media))

    def _devices_changed(self) -> None:
        self._front.panel_changed()
        self._say(control.Devices(devices=self.devices.reports()))
        self._show()

    def _show(self) -> None:
        around = view.Surroundings(
            kiosk=self._settings.kiosk.name,
            services=self._settings.services,
            devices=self.devices.reports(),
            online=self.line.online,
            place=self.line.place,
            volume=self._sound.volume,
            sensors_open=self._sensors.open,
            testing=self.eyes.testing,
            scan_button=self._scanning.button_heard,
            now=time.monotonic(),
            today=datetime.now(UTC),
        )
        self._screen.show(view.build(self.visit, around))

    def _show_agent(self, data: bytes, timestamp_us: int, key: bool) -> None:
        flags = screen.KEY_FRAME if key else 0
        frame = screen.picture(screen.REMOTE_PICTURE, flags, timestamp_us, data)
        self._screen.send_picture(frame, key=key, kind=screen.REMOTE_PICTURE)

    def _show_own_picture(self, jpeg: bytes) -> None:
        now = int(time.monotonic() * 1e6)
        frame = screen.picture(screen.OWN_PICTURE, 0, now, jpeg)
        self._screen.send_picture(frame, key=True, kind=screen.OWN_PICTURE)

    def _show_levels(self, own: int, agent: int) -> None:
        now = int(time.monotonic() * 1e6)
        frame = screen.picture(screen.LEVELS, 0, now, bytes((own, agent)))
        self._screen.send_picture(frame, key=True, kind=screen.LEVELS)

    async def call_stats(self) -> LegStats | None:
        """Return the figures of the call, or None when there is none."""
        return await self._talk.stats() if self._talk is not None else None


_PRESSES: Final[dict[str, Event]] = {
    "hang-up": ev.End(),
    "back": ev.Back(),
    "scan-start": ev.ScanStart(),
    "scan-more": ev.ScanStart(),
    "scan-decline": ev.ScanDecline(),
    "scan-send": ev.ScanSend(),
    "scan-close": ev.ScanClose(),
    "print-accept": ev.PrintAccept(),
    "print-decline": ev.PrintDecline(),
    "print-close": ev.PrintClose(),
}
