"""`kioskctl restart DEVICE`: close it, end its worker, and have it looked at anew."""

from __future__ import annotations

from typing import Final

import structlog

from kioskd.app.devices import Devices
from kioskd.control.api import Done
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind
from kioskd.visit.words import Scene

log = structlog.get_logger(__name__)

_WOULD: Final = {
    DeviceKind.CAMERA: "the agent would not see the resident for some seconds",
    DeviceKind.MICROPHONE: "the agent would not hear the resident for some seconds",
    DeviceKind.SPEAKER: "the resident would not hear the agent for some seconds",
    DeviceKind.SCANNER: "a page that is being scanned would be lost, and be asked for again",
    DeviceKind.PRINTER: "a print that is being sent would fail, one under way would seem to wait",
    DeviceKind.PANEL: "the buttons would do nothing for some seconds, the lamps be dark",
}
"""What the resident would notice in the middle of a visit."""


async def restart(devices: Devices, kind: DeviceKind, scene: Scene, *, now: bool) -> Done:
    """Restart a device; in a visit only when `now` is said."""
    one = devices.of(kind)
    if one.health.reason is Reason.NOT_CONFIGURED:
        return Done(done=False, message=f"this kiosk has no {kind.value}")
    if one.health.reason is Reason.LEFT_OUT:
        message = f"the {kind.value} is left out: kioskctl readmit {kind.value}"
        return Done(done=False, message=message)
    if scene is not Scene.CHOOSING and not now:
        where = f"a resident is at the kiosk ({scene.value})"
        message = f"{where}: {_WOULD[kind]}. Wait for the end of the visit, or: --now"
        return Done(done=False, message=message)
    log.warning("device.restart", device=kind.value, scene=scene.value)
    health = await one.restart()
    said = " ".join(filter(None, (health.state.value, health.reason, health.detail)))
    return Done(done=health.state.usable, message=f"the {kind.value} was restarted: {said}")
