"""The panel's contract: buttons, handset and lamps at the kiosk's front."""

from __future__ import annotations

from abc import abstractmethod
from enum import StrEnum
from typing import ClassVar

from kioskd.hal.device import Device, DeviceKind


class PanelEvent(StrEnum):
    """What a resident did at the panel. PRESS is the big button, HANG_UP the red one."""

    PRESS = "press"
    HANG_UP = "hang-up"
    NEXT = "next"
    PREVIOUS = "previous"
    VOLUME_UP = "volume-up"
    VOLUME_DOWN = "volume-down"
    HANDSET_LIFTED = "handset-lifted"
    HANDSET_REPLACED = "handset-replaced"


class Lamp(StrEnum):
    """The lamps: CALL in the big button, CAMERA lit while camera or microphone are open."""

    CALL = "call"
    CAMERA = "camera"


class LampPattern(StrEnum):
    """How a lamp shines."""

    OFF = "off"
    ON = "on"
    BLINK = "blink"


class Panel(Device):
    """The panel. Events that come while it is closed are lost."""

    kind: ClassVar[DeviceKind] = DeviceKind.PANEL

    @abstractmethod
    async def event(self) -> PanelEvent:
        """Return the next event, waiting for it. Raises DeviceError when the panel is gone."""

    @abstractmethod
    async def set_lamp(self, lamp: Lamp, pattern: LampPattern) -> None:
        """Set a lamp; returns when the panel has acknowledged it."""
