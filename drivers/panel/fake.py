"""A panel without buttons, for development, demonstration and tests."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.panel import Lamp, LampPattern, Panel, PanelEvent
from kioskd.hal.simulated import Simulated

ANSWER_S: Final = 2.0


class FakePanelConfig(BaseModel):
    """Events come from `push`, lamps shine in `lamps`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["fake"] = "fake"

    def build(self) -> FakePanel:
        """Make the device."""
        return FakePanel()


class FakePanel(Simulated, Panel):
    """Hands on what is pushed while it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.lamps = dict.fromkeys(Lamp, LampPattern.OFF)
        self._events: deque[PanelEvent] = deque(maxlen=32)
        self._open = False

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return "fake"

    def push(self, event: PanelEvent) -> None:
        """Do what a resident does; lost while the panel is closed."""
        if self._open:
            self._events.append(event)
            self._tell()

    async def check(self) -> DeviceHealth:
        """Tell whether the panel could be used now."""
        await self._pass(ANSWER_S)
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Acquire the panel."""
        await self._pass(ANSWER_S)
        self._open = True

    async def close(self) -> None:
        """Release the panel; whoever waits for an event is told."""
        self._open = False
        self._events.clear()
        self._tell()

    async def event(self) -> PanelEvent:
        """Return the next event, waiting for it."""
        while True:
            self._need_open()
            if self._events and not self._held:
                return self._events.popleft()
            await self._next_change()

    async def set_lamp(self, lamp: Lamp, pattern: LampPattern) -> None:
        """Set a lamp."""
        self._need_open()
        await self._pass(ANSWER_S)
        self.lamps[lamp] = pattern

    def _need_open(self) -> None:
        self._raise_fault()
        if not self._open:
            raise DeviceError(Reason.CANCELLED, "the panel is closed")
