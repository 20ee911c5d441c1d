"""The kiosk: takes what happens, asks the visit, carries out what it wants."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from typing import Final

import structlog

from kioskd.app import presses, view
from kioskd.app.audited import Step
from kioskd.app.auditing import Auditing
from kioskd.app.calls import Calls, servers_of
from kioskd.app.devices import Devices
from kioskd.app.eyes import Eyes
from kioskd.app.front import Front
from kioskd.app.line import ENTRY_EVERY_S, STATUS_EVERY_S, Line
from kioskd.app.maintenance import Maintenance
from kioskd.app.papers import Papers
from kioskd.app.sensors import Sensors
from kioskd.app.sound import Sound
from kioskd.app.testing import Bench, Testing, where_is
from kioskd.call import control
from kioskd.documents.spool import Spool
from kioskd.errors import PeerFault
from kioskd.hal.panel import PanelEvent
from kioskd.runtime.tasks import TaskOwner
from kioskd.runtime.vitals import collect_what_is_dropped
from kioskd.runtime.watchdog import Watchdog
from kioskd.screen import messages as screen
from kioskd.screen.server import ScreenServer
from kioskd.settings import Settings
from kioskd.signalling.link import LONGEST_ROUND_S, BrokerAddress
from kioskd.signalling.messages import Answer, Bye, Claim, Unavailable, new_id
from kioskd.visit import effects as do
from kioskd.visit import events as ev
from kioskd.visit.effects import Effect
from kioskd.visit.events import Event
from kioskd.visit.machine import step
from kioskd.visit.state import Visit, deadline, sensors_allowed
from kioskd.visit.words import EndReason, Scene

log = structlog.get_logger(__name__)

BEAT_S: Final = 2.0
PULSE_S: Final = 10.0
"""A loop that waits for an event looks up each BEAT_S; PULSE_S without that is a hang."""
OF_A_VISIT: Final = ("print", "scan", "send", "standby", "leg", "sensors")
"""Work that must have ended before a visit's traces are wiped."""
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
        self.devices = devices
        self._settings = settings
        self._screen = screen_server
        self._spool = spool
        self._watchdog = watchdog
        self._audit = audit
        self.line = self._line_to(address)
        self.maintenance = Maintenance(
            settings.state.folder,
            idle=lambda: self.visit.scene is Scene.CHOOSING,
            on_change=self._maintenance_changed,
            audit=audit.note,
        )
        self._events: deque[Event] = deque()
        self._handling = False
        self._timer = asyncio.Event()
        self._tasks = TaskOwner("kiosk")
        self._front = Front(devices, self._on_panel)
        self._sound = Sound(devices, on_volume=self._show, on_levels=self._show_levels)
        self._sensors = Sensors(devices, self._show_own_picture, self._sound.meter.own)
        self._papers = Papers(
            devices,
            spool,
            audit,
            self._tasks,
            post=self.post,
            visit=lambda: self.visit,
            say=self._say,
            on_change=self._show,
        )
        self.calls = self._calls()
        self.calls.peers.on_refused = self._on_peer_refused
        self.eyes = Eyes(
            devices,
            self._front,
            audit,
            allowed=lambda: sensors_allowed(self.visit),
            on_change=self._show,
        )
        self.testing = self._tests(address)
        devices.on_change = self._devices_changed

    def _line_to(self, address: BrokerAddress) -> Line:
        return Line(
            self._settings.kiosk,
            address,
            on_signal=self._on_signal,
            on_change=self._show,
            beat=self._watchdog.pulse("broker link", LONGEST_ROUND_S).beat,
            audit_head=lambda: self._audit.status().head,
            unavailable=lambda: Unavailable.MAINTENANCE if self.maintenance.begun else None,
        )

    def _calls(self) -> Calls:
        return Calls(
            self._settings,
            self.devices,
            self._sensors,
            self._papers.transfers,
            self.line,
            self._tasks,
            post=self.post,
            visit=lambda: self.visit,
            on_picture=self._show_agent,
            on_sound=self._sound.meter.agent,
        )

    def _tests(self, address: BrokerAddress) -> Testing:
        return Testing(
            Bench(
                where=where_is(self._settings),
                devices=self.devices,
                address=address,
                servers=servers_of(self._settings),
                spool=self._spool.root,
                connected=lambda: self.line.online,
                round_trip=self.line.round_trip,
                shown=self._front.shown,
            ),
            self.eyes,
            idle=lambda: self.visit.scene is Scene.CHOOSING,
        )

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
        self._papers.follow()
        self.maintenance.follow()
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
            self.calls.heed_farewell()
        for effect in wanted:
            self._carry(effect)

    async def run(self) -> None:
        """Live until cancelled. What an earlier life has left is wiped first."""
        self._spool.prepare()
        await self._wipe()
        self._sound.reset()
        await asyncio.to_thread(self.maintenance.load)
        self.maintenance.follow()
        panel_pulse = self._watchdog.pulse("panel", PULSE_S)
        async with asyncio.TaskGroup() as group:
            for name, work in {
                "devices": self.devices.run(self._watchdog),
                "broker": self.line.link.run(),
                "timers": self._run_timers(),
                "refresh": self._run_refresh(),
                "panel": self._front.run(panel_pulse, BEAT_S),
                "encoders": self.calls.encoders.look(),
            }.items():
                group.create_task(work, name=name)

    async def stop(self) -> None:
        """End the visit cleanly; call before `run` is cancelled. Takes 4 s at the most."""
        self.post(ev.End(EndReason.KIOSK_STOPPED))
        await self._tasks.stop(*OF_A_VISIT)
        await self.calls.stop()
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
        if self.testing.takes(event):
            return
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

    def _on_signal(self, service: str, agent: str, message: Claim | Answer | Bye) -> None:
        self.calls.on_signal(service, agent, message)

    def _on_peer_refused(self, fault: PeerFault, service: str, agent: str, _: str) -> None:
        known = service if self._settings.service(service) else ""  # a stranger's word
        self._audit.refused(fault.value, service=known, agent=agent)

    # -- from the screen -----------------------------------------------------------

    def on_action(self, action: screen.Action) -> None:
        """Do what the resident pressed."""
        self.testing.touched()
        match action:
            case screen.Choose(service=service):
                self._choose(service)
            case screen.SetVolume(volume=volume):
                self._sound.set_volume(volume)
            case screen.Plain(action="keyframe"):
                self.calls.ask_keyframe()
            case _:
                event = presses.event_of(action)
                if event is not None:
                    self.post(event)

    def _choose(self, service_id: str) -> None:
        service = self._settings.service(service_id)
        if service is None or not self.line.online or self.maintenance.wanted:
            return  # the page shows why no call can be placed
        is_open = service.is_open(datetime.now(UTC))
        self.post(ev.Choose(service_id, new_id(), is_open))

    def page_picture(self, document: str, number: int) -> bytes | None:
        """Return the JPEG of a page that the screen may show now. For a thread: it may draw."""
        return self._papers.picture(document, number)

    # -- what the visit wants ------------------------------------------------------

    def _carry(self, effect: Effect) -> None:
        match effect:
            case do.JoinLine(service, call):
                self.calls.join(service, call, time.monotonic() - self.visit.waiting_since)
            case do.LeaveLine(service):
                self.line.leave(service)
            case do.RefuseClaim(call, agent, taken_by):
                self.calls.refuse(call, agent, taken_by)
            case do.StartLeg(call, agent):
                self.calls.start(call, agent)
            case do.CloseLeg():
                self.calls.close(effect)
            case do.OpenSensors():
                self._follow_media()
                self.eyes.light()
                self._tasks.start("sensors", self._sensors.run())
            case do.CloseSensors():
                self._tasks.cancel("sensors")
                self.eyes.light()
            case do.TellMedia():
                self._follow_media()
                self.calls.set_media(self.visit.own_media)
            case do.Wipe():
                # Asked for again while a printer takes its time: to begin anew would never end.
                if not self._tasks.runs("wipe"):
                    self._tasks.start("wipe", self._wipe_and_report())
            case _:
                self._papers.carry(effect)

    async def _wipe_and_report(self) -> None:
        await self._wipe()
        self.post(ev.Wiped())

    async def _wipe(self) -> None:
        await self._tasks.stop(*OF_A_VISIT)
        self.calls.peers.forget()
        await self._papers.wipe()
        collect_what_is_dropped()

    async def _collect(self) -> None:
        """Collect what was let go only after the wipe: connections of the leg and of the page."""
        for pause in COLLECT_S:
            await asyncio.sleep(pause)
            if self.visit.scene is Scene.CHOOSING:
                collect_what_is_dropped()

    def _follow_media(self) -> None:
        self._sensors.muted = not self.visit.own_media.audio
        self._sensors.watched = self.visit.own_media.video

    # -- what people are told ------------------------------------------------------

    def _say(self, message: control.ToAgent) -> None:
        self.calls.say(message)

    def _devices_changed(self) -> None:
        self._front.panel_changed()
        self._say(control.Devices(devices=self.devices.reports()))
        self._show()

    def _maintenance_changed(self) -> None:
        self.line.refresh_status()
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
            maintenance=self.maintenance.begun,
            scan_button=self._papers.button_heard,
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
