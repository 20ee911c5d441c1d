"""What has changed between two looks at the kiosk, one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kioskd.control.api import MaintenanceStage, Status
from kioskd.diagnostics import glance

SILENT: Final = "kioskd does not answer"

_FACTS: Final[dict[str, Callable[[Status], str]]] = {
    "broker": lambda one: "online" if one.broker_online else "OFFLINE",
    "screen": lambda one: "connected" if one.screen_connected else "NOT CONNECTED",
    "visit": lambda one: " ".join(filter(None, (one.call.scene.value, one.call.service))),
    "maintenance": lambda one: one.maintenance.stage.value,
    "safe mode": lambda one: "ON" if one.safe_mode else "off",
    "stuck": lambda one: ", ".join(one.stuck) or "nothing",
    "audit": lambda one: one.audit.failing or "written",
    "lost": lambda one: f"{one.audit.lost} audit events",
}
_USUAL: Final = {
    "maintenance": MaintenanceStage.OFF.value,
    "safe mode": "off",
    "stuck": "nothing",
    "audit": "written",
    "lost": "0 audit events",
}
"""Not worth a line at the first look."""


def changes(before: Status | None, after: Status | None, *, why: str = "") -> list[str]:
    """Return what is new, all that is worth a line where nothing was known.

    None is a daemon that does not answer, `why` the reason.
    """
    if after is None:
        return [f"{SILENT}: {why}" if why else SILENT]
    told = []
    if before is None:
        up = glance.ago(after.uptime_s)
        told.append(f"{after.kiosk}: kioskd {after.kioskd}, pid {after.pid}, up {up}")
    elif before.pid != after.pid:
        told.append(f"kioskd was started again: pid {before.pid} -> {after.pid}")
    old, new = facts(before), facts(after)
    for name, value in new.items():
        was = old.get(name)
        if was is None:
            told += [] if _USUAL.get(name) == value else [f"{name}: {value}"]
        elif was != value:
            told.append(f"{name}: {was} -> {value}")
    return told


def facts(status: Status | None) -> dict[str, str]:
    """Return what is watched: no figure that moves all the time."""
    if status is None:
        return {}
    devices = {
        one.kind.value: " ".join(filter(None, (one.state.value, one.reason)))
        for one in status.devices
    }
    services = {f"service {one.id}": "open" if one.open else "closed" for one in status.services}
    return {name: value(status) for name, value in _FACTS.items()} | devices | services
