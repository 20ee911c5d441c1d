"""What the resident hears with, and how loud: volume, handset, and the bars on the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from kioskd.app.devices import Devices
from kioskd.app.levels import Meter
from kioskd.errors import DeviceError
from kioskd.hal.microphone import Route
from kioskd.runtime.tasks import TaskOwner

log = structlog.get_logger(__name__)

VOLUME: Final = 0.7
"""How loud it is for each new resident."""
STEP: Final = 0.1


class Sound:
    """Carries volume and route to the devices, which keep them over unplugging.

    `on_volume()` is called when the volume was changed, `on_levels(own, agent)` with the
    levels of both voices, 0 to 255.
    """

    def __init__(
        self,
        devices: Devices,
        *,
        on_volume: Callable[[], None],
        on_levels: Callable[[int, int], None],
    ) -> None:
        self.volume = VOLUME
        self.meter = Meter(on_levels)
        self._route = Route.HANDS_FREE
        self._devices = devices
        self._on_volume = on_volume
        self._tasks = TaskOwner("sound")

    def reset(self) -> None:
        """Begin with a new resident: the volume of before is forgotten."""
        self.set_volume(VOLUME)

    def louder(self, steps: int) -> None:
        """Turn it up, or down, by steps of a tenth."""
        self.set_volume(self.volume + steps * STEP)

    def set_volume(self, volume: float) -> None:
        """Set the volume, from 0 to 1."""
        self.volume = min(1.0, max(0.0, round(volume, 2)))
        self._tasks.start("volume", self._apply_volume())
        self._on_volume()

    def lift(self) -> None:
        """Move the sound to the handset, which is off its hook."""
        self._set_route(Route.HANDSET)

    def replace(self) -> bool:
        """Move the sound back, the handset is on its hook. Tells whether it had been lifted."""
        if self._route is not Route.HANDSET:
            return False
        self._set_route(Route.HANDS_FREE)
        return True

    def _set_route(self, route: Route) -> None:
        self._route = route
        log.info("sound.route", route=route.value)
        self._tasks.start("route", self._apply_route())

    async def _apply_route(self) -> None:
        # The loudspeaker first: it must be silent before the handset is at an ear.
        for one in (self._devices.speaker, self._devices.microphone):
            try:
                await one.device.route(self._route)
            except DeviceError as error:
                one.report(error)
            one.poke()

    async def _apply_volume(self) -> None:
        try:
            await self._devices.speaker.device.set_volume(self.volume)
        except DeviceError as error:
            self._devices.speaker.report(error)
