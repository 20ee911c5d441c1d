"""The daemon: wires everything by keyword, lives until told to stop, stops within 5 s."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from kioskd import __version__
from kioskd.app.auditing import Auditing
from kioskd.app.broker import broker_address
from kioskd.app.devices import Devices
from kioskd.app.kiosk import Kiosk
from kioskd.app.restarting import restart
from kioskd.app.safe_start import SafeStart
from kioskd.app.view import service_views
from kioskd.control.api import CallStatus, Done, ProcessStatus, ServiceStatus, Status
from kioskd.control.server import ControlServer
from kioskd.documents.spool import Spool
from kioskd.hal.device import DeviceKind
from kioskd.logging import tell_shortages_once
from kioskd.runtime import worker
from kioskd.runtime.hotplug import Hotplug
from kioskd.runtime.notify import notify
from kioskd.runtime.slack import share_wakeups
from kioskd.runtime.starts import Starts
from kioskd.runtime.threads import started_executor
from kioskd.runtime.vitals import LoopLag, vitals
from kioskd.runtime.watchdog import Watchdog
from kioskd.screen import entry
from kioskd.screen.messages import Action
from kioskd.screen.server import ScreenServer
from kioskd.settings import Settings
from kioskd.visit.words import Scene

log = structlog.get_logger(__name__)

WEB_ROOT: Final = Path(__file__).parents[1] / "web" / "dist"
STOP_S: Final = 4.5
STATS_EVERY_S: Final = 1.0
"""As kioskd.call.quality wants it."""
STATS_PULSE_S: Final = 15.0


def build_devices(settings: Settings) -> Devices:
    """Make the devices that the settings name; touches none."""
    return Devices(
        camera=settings.camera.build(),
        microphone=settings.microphone.build(),
        speaker=settings.speaker.build(),
        scanner=settings.scanner.build(),
        printer=settings.printer.build(),
        panel=settings.panel.build(),
    )


class Daemon:
    """A running kiosk with its servers; `run` is all there is to it."""

    def __init__(self, settings: Settings, *, on_ready: Callable[[str], None]) -> None:
        self._settings = settings
        self._on_ready = on_ready
        self._started = time.monotonic()
        self._prepared = False
        self._stats = CallStatus(scene=Scene.CHOOSING, service=None, scene_s=0)
        self.devices = build_devices(settings)
        self._watchdog = Watchdog(overdue=worker.overdue)
        self._lag = LoopLag()
        self._starts = Starts(settings.state.folder)
        self._safe_start = SafeStart(self._starts, self.devices)
        self._spool = Spool(settings.documents.spool, settings.documents.spool_mb * 1024 * 1024)
        self.audit = Auditing(settings)
        self._screen = ScreenServer(
            port=settings.screen.port,
            web_root=WEB_ROOT / "screen",
            token=entry.read(settings.screen_entry),
            on_action=self._on_action,
            page_picture=self._page_picture,
        )
        self.kiosk = Kiosk(
            settings,
            self.devices,
            broker_address(settings.kiosk.id, settings.broker),
            self._screen,
            self._spool,
            self._watchdog,
            self.audit,
        )

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        share_wakeups(loop)
        loop.set_default_executor(started_executor())
        tell_shortages_once(loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        control = ControlServer(
            self._settings.control.socket,
            status=self.status,
            test=self.kiosk.testing.run,
            readmit=self._safe_start.readmit,
            restart=self._restart,
            maintenance=self.kiosk.maintenance.ask,
        )
        async with control, self._screen:
            await asyncio.to_thread(entry.write, self._settings.screen_entry, self._screen.url)
            await asyncio.to_thread(self.audit.start)
            serving = asyncio.create_task(self._serve(), name="daemon")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if serving.done():
                serving.result()  # it ends by an error only
            await self._stop(serving)

    async def _serve(self) -> None:
        """Run all parts, and tell when the kiosk is ready."""
        await self._safe_start.prepare()
        self._prepared = True
        async with asyncio.TaskGroup() as group:
            for name, work in {
                "kiosk": self.kiosk.run,
                "call statistics": self._watch_call,
                "watchdog": self._watchdog.run,
                "loop lag": self._lag.run,
            }.items():
                group.create_task(work(), name=name)
            await self.devices.looked()
            notify("READY=1")
            log.info("kioskd.ready", after_s=round(time.monotonic() - self._started, 2))
            self._on_ready(self._screen.url)
            group.create_task(self._safe_start.run(self._idle), name="safe start")
            with Hotplug(self.devices.poke):
                await asyncio.Event().wait()

    async def _stop(self, serving: asyncio.Task[None]) -> None:
        notify("STOPPING=1")
        log.info("kioskd.stopping")
        if self._prepared:  # before that, nothing is to be touched
            try:
                async with asyncio.timeout(STOP_S):
                    await self.kiosk.stop()
            except TimeoutError:
                log.warning("kioskd.stop_slow")
        serving.cancel()
        await asyncio.wait([serving])
        await self._safe_start.settled()
        await asyncio.to_thread(self.audit.stop)

    def _idle(self) -> bool:
        return self.kiosk.visit.scene is Scene.CHOOSING

    def status(self) -> Status:
        """Return what kioskctl shows."""
        now = datetime.now(UTC)
        lag_p99_ms, lag_max_ms = self._lag.figures_ms()
        return Status(
            kioskd=__version__,
            kiosk=self._settings.kiosk.id,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._started, 1),
            broker_online=self.kiosk.line.online,
            invalid_messages=self.kiosk.line.invalid,
            screen_url=self._screen.origin,
            screen_connected=self._screen.connected,
            safe_mode=self._starts.safe,
            failed_starts=self._starts.failed,
            stuck=self._watchdog.stuck(),
            unsigned=self.kiosk.calls.peers.unsigned,
            clock_doubted=self.kiosk.calls.peers.clock_doubted,
            refused_peers=self.kiosk.calls.peers.refused,
            encoder=self.kiosk.calls.encoders.used,
            encoder_trouble=self.kiosk.calls.encoders.trouble,
            maintenance=self.kiosk.maintenance.status,
            loop_lag_p99_ms=round(lag_p99_ms, 1),
            loop_lag_max_ms=round(lag_max_ms, 1),
            process=ProcessStatus(**dataclasses.asdict(vitals())),
            call=self._stats,
            calls=self.kiosk.calls.quality.lately(),
            call_totals=self.kiosk.calls.quality.totals(),
            audit=self.audit.status(),
            devices=self.devices.statuses(),
            services=[
                ServiceStatus(id=one.id, name=one.name, open=one.open, opens=one.opens)
                for one in service_views(self._settings.services, now)
            ],
        )

    # The screen is made before the kiosk that it serves, hence these two.

    def _on_action(self, action: Action) -> None:
        self.kiosk.on_action(action)

    def _page_picture(self, document: str, number: int) -> bytes | None:
        return self.kiosk.page_picture(document, number)

    async def _watch_call(self) -> None:
        pulse = self._watchdog.pulse("call statistics", STATS_PULSE_S)
        while True:
            pulse.beat()
            visit = self.kiosk.visit
            figures = await self.kiosk.calls.look()
            sound = figures.sound if figures else None
            self._stats = CallStatus(
                scene=visit.scene,
                service=visit.service or None,
                scene_s=round(time.monotonic() - visit.entered, 1),
                round_trip_s=figures.round_trip_s if figures else None,
                loss_sent=figures.loss_sent if figures else None,
                loss_received=figures.loss_received if figures else None,
                sent_bps=figures.sent_bps if figures else None,
                received_bps=figures.received_bps if figures else None,
                bars=self.kiosk.calls.quality.bars,
                so_far=self.kiosk.calls.quality.so_far(),
                **({} if sound is None else sound.summary()),
            )
            await asyncio.sleep(STATS_EVERY_S)

    async def _restart(self, device: DeviceKind, *, now: bool) -> Done:
        if not self._prepared:
            return Done(done=False, message="kioskd is starting: it looks at its devices now")
        return await restart(self.devices, device, self.kiosk.visit.scene, now=now)
