"""The kiosk's front: what is pressed at the panel, and what its lamps say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from kioskd.app.devices import Devices
from kioskd.errors import DeviceError
from kioskd.hal.panel import Lamp, LampPattern, PanelEvent
from kioskd.runtime.tasks import TaskOwner
from kioskd.runtime.watchdog import Pulse
from kioskd.visit.words import Scene

log = structlog.get_logger(__name__)

RETRY_S: Final = 1.0
_CALL_LAMP: Final = {
    Scene.WAITING: LampPattern.BLINK,
    Scene.CONNECTING: LampPattern.BLINK,
    Scene.TALKING: LampPattern.ON,
}


class Front:
    """Hands the panel's events to `on_event` while `run` runs, and keeps its lamps true."""

    def __init__(self, devices: Devices, on_event: Callable[[PanelEvent], None]) -> None:
        self._devices = devices
        self._on_event = on_event
        self._lamps = dict.fromkeys(Lamp, LampPattern.OFF)
        self._usable = False
        self._tasks = TaskOwner("front")

    async def run(self, pulse: Pulse, beat_s: float) -> None:
        """Listen until cancelled; `pulse` beats every `beat_s` seconds."""
        while True:
            pulse.beat()
            try:
                async with asyncio.timeout(beat_s):
                    event = await self._devices.panel.device.event()
            except TimeoutError:
                continue  # nobody pressed anything
            except DeviceError:
                await asyncio.sleep(RETRY_S)  # the supervisor reopens it
            else:
                self._on_event(event)

    def show_scene(self, scene: Scene) -> None:
        """Let the big button's lamp say where the visit is."""
        self._light(Lamp.CALL, _CALL_LAMP.get(scene, LampPattern.OFF))

    def show_sensors(self, *, open_: bool) -> None:
        """Let the camera's lamp say whether camera and microphone are open."""
        self._light(Lamp.CAMERA, LampPattern.ON if open_ else LampPattern.OFF)

    def shown(self, lamp: Lamp) -> LampPattern:
        """Return what a lamp says now."""
        return self._lamps[lamp]

    def panel_changed(self) -> None:
        """Light both lamps again when another panel has come, which knows of none."""
        usable = self._devices.panel.health.state.usable
        if usable and not self._usable:
            for lamp, pattern in self._lamps.items():
                self._light(lamp, pattern)
        self._usable = usable

    def _light(self, lamp: Lamp, pattern: LampPattern) -> None:
        self._lamps[lamp] = pattern
        self._tasks.start(lamp.value, self._set(lamp, pattern))

    async def _set(self, lamp: Lamp, pattern: LampPattern) -> None:
        try:
            await self._devices.panel.device.set_lamp(lamp, pattern)
        except DeviceError:
            log.debug("panel.no_lamp")  # the supervisor tells of the panel's trouble
