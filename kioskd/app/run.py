"""The daemon: wires everything by keyword, lives until told to stop, stops within 5 s."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from kioskd import __version__
from kioskd.app.devices import Devices
from kioskd.app.kiosk import Kiosk
from kioskd.app.testing import try_device
from kioskd.app.view import service_views
from kioskd.control.api import CallStatus, ServiceStatus, Status, TestResult
from kioskd.control.server import ControlServer
from kioskd.documents.spool import Spool
from kioskd.errors import DeviceBusy, SettingsError
from kioskd.hal.device import DeviceKind
from kioskd.runtime.notify import notify
from kioskd.screen.messages import Action
from kioskd.screen.server import ScreenServer
from kioskd.settings import BrokerSettings, Settings
from kioskd.signalling.link import BrokerAddress
from kioskd.visit.words import Scene

log = structlog.get_logger(__name__)

WEB_ROOT: Final = Path(__file__).parents[1] / "web" / "dist"
STOP_S: Final = 4.5
STATS_EVERY_S: Final = 2.0


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


def broker_address(kiosk: str, broker: BrokerSettings) -> BrokerAddress:
    """Make the broker's address. Raises SettingsError when a TLS file cannot be used."""
    context: ssl.SSLContext | None = None
    if broker.tls:
        try:
            context = ssl.create_default_context(cafile=broker.ca)
            if broker.certificate is not None:
                context.load_cert_chain(broker.certificate, broker.key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError([f"broker: a TLS file cannot be used: {error}"]) from error
    return BrokerAddress(
        host=broker.host,
        port=broker.port,
        client_id=kiosk,
        username=broker.username,
        password=broker.password.get_secret_value() if broker.password else None,
        tls=context,
    )


class Daemon:
    """A running kiosk with its servers; `run` is all there is to it."""

    def __init__(self, settings: Settings, *, on_ready: Callable[[str], None]) -> None:
        self._settings = settings
        self._on_ready = on_ready
        self._started = time.monotonic()
        self._stats = CallStatus(scene=Scene.CHOOSING, service=None, scene_s=0)
        self.devices = build_devices(settings)
        self._spool = Spool(settings.documents.spool, settings.documents.spool_mb * 1024 * 1024)
        self._screen = ScreenServer(
            port=settings.screen.port,
            web_root=WEB_ROOT / "screen",
            on_action=self._on_action,
            page_picture=self._page_picture,
        )
        self.kiosk = Kiosk(
            settings,
            self.devices,
            broker_address(settings.kiosk.id, settings.broker),
            self._screen,
            self._spool,
        )

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        control = ControlServer(self._settings.control.socket, status=self.status, test=self._test)
        async with control, self._screen, asyncio.TaskGroup() as group:
            kiosk = group.create_task(self.kiosk.run(), name="kiosk")
            stats = group.create_task(self._watch_call(), name="call statistics")
            await self.devices.looked()
            notify("READY=1")
            log.info("kioskd.ready", after_s=round(time.monotonic() - self._started, 2))
            self._on_ready(self._screen.url)
            await stop.wait()
            notify("STOPPING=1")
            log.info("kioskd.stopping")
            try:
                async with asyncio.timeout(STOP_S):
                    await self.kiosk.stop()
            except TimeoutError:
                log.warning("kioskd.stop_slow")
            kiosk.cancel()
            stats.cancel()

    def status(self) -> Status:
        """Return what kioskctl shows."""
        now = datetime.now(UTC)
        return Status(
            kioskd=__version__,
            kiosk=self._settings.kiosk.id,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._started, 1),
            broker_online=self.kiosk.line.online,
            invalid_messages=self.kiosk.line.invalid,
            screen_url=self._screen.url,
            screen_connected=self._screen.connected,
            call=self._stats,
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
        while True:
            visit = self.kiosk.visit
            figures = await self.kiosk.call_stats()
            self._stats = CallStatus(
                scene=visit.scene,
                service=visit.service or None,
                scene_s=round(time.monotonic() - visit.entered, 1),
                round_trip_s=figures.round_trip_s if figures else None,
                loss_sent=figures.loss_sent if figures else None,
                loss_received=figures.loss_received if figures else None,
                sent_bps=figures.sent_bps if figures else None,
                received_bps=figures.received_bps if figures else None,
            )
            await asyncio.sleep(STATS_EVERY_S)

    async def _test(self, kind: DeviceKind) -> TestResult:
        if self.kiosk.visit.scene is not Scene.CHOOSING:
            raise DeviceBusy("a resident is at the kiosk")
        return await try_device(self.devices, kind, self._spool)
