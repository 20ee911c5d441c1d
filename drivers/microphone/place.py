"""Which source or sink is used: named in the settings, or chosen by rule once and kept.

PipeWire's default is never followed: it moves to another device whenever one goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import structlog

from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.microphone import Route

log = structlog.get_logger(__name__)

_NO_INDEX: Final = 0xFFFFFFFF  # PA_INVALID_INDEX
_SETTLE: Final = (0.1, 0.2, 0.4)
"""Seconds between looks at what PipeWire does some time after the cause: links, defaults."""


class Side(StrEnum):
    """Which way the sound goes."""

    SOURCE = "source"
    SINK = "sink"


@dataclass(frozen=True, slots=True)
class Place:
    """A source or sink that is there. `hardware` is what an echo canceller stands before."""

    name: str
    index: int
    echo_cancelled: bool
    hardware: Any | None = None


class Chooser:
    """Finds one source or sink, always the same.

    With an empty `name` the first that is found is kept until the daemon ends: an echo
    canceller's, else a USB device's, else any that is no monitor and not in `others`; of
    equal ones PipeWire's default at that moment.
    """

    def __init__(self, side: Side, name: str, others: Collection[str] = ()) -> None:
        self.side = side
        self.name = name
        self._others = others
        self._hardware: str | None = None
        self._seen = False

    async def find(self, pulse: Any) -> Place:
        """Return the device. Raises DeviceAbsent: NOT_FOUND, or UNPLUGGED once it was there.

        An echo canceller outlives the device before which it stands; it is absent with it.
        """
        infos = {one.name: one for one in await _devices(pulse, self.side)}
        if infos and not self.name:
            self.name = self._choose(infos, await self._default(pulse))
        info = infos.get(self.name)
        if info is None:
            raise self._absent(self.name or "at all")
        group = _echo_canceller(info)
        hardware = await self._behind(pulse, group, infos) if group else None
        await self._default(pulse)
        self._seen = True
        return Place(info.name, info.index, bool(group), hardware)

    async def _default(self, pulse: Any) -> str:
        """Return PipeWire's default: where there is none, the session manager has died.

        Raises DeviceError NO_ANSWER: nobody would link our streams then.
        """
        for pause in (*_SETTLE, None):  # a default that goes is followed by another
            name = str(getattr(await pulse.server_info(), f"default_{self.side}_name"))
            if not name.startswith("@"):
                return name
            if pause is not None:
                await asyncio.sleep(pause)
        raise DeviceError(Reason.NO_ANSWER, "PipeWire has no session manager")

    def _choose(self, infos: dict[str, Any], default: str) -> str:
        def rank(info: Any) -> tuple[bool, bool, bool, str]:
            usb = info.proplist.get("device.bus") == "usb"
            return (not _echo_canceller(info), not usb, info.name != default, info.name)

        fit = [info for info in infos.values() if info.name not in self._others]
        if not fit:
            return ""
        best = min(fit, key=rank)
        log.info("sound.chosen", side=self.side.value, name=best.name)
        return str(best.name)

    async def _behind(self, pulse: Any, group: str, infos: dict[str, Any]) -> Any:
        """Return the real device behind an echo canceller, where its own stream must be.

        PipeWire leads that stream to another device while its own is away.
        """
        for pause in (*_SETTLE, None):
            for stream in await _streams(pulse, self.side):
                if stream.proplist.get("node.link-group") != group:
                    continue
                wanted = stream.proplist.get("target.object") or self._hardware
                real = [one for one in infos.values() if one.name != self.name]
                fit = [one for one in real if wanted in (None, one.name, _serial(one))]
                if not fit:
                    raise self._absent(f"{wanted or 'at all'} behind the echo canceller")
                for one in fit:
                    if one.index == getattr(stream, self.side.value):
                        self._hardware = one.name
                        return one
            if pause is not None:
                await asyncio.sleep(pause)
        raise DeviceError(Reason.NO_ANSWER, "the echo canceller is not at its device")

    def _absent(self, name: str) -> DeviceAbsent:
        reason = Reason.UNPLUGGED if self._seen else Reason.NOT_FOUND
        return DeviceAbsent(reason, f"no {self.side} {name}")


async def is_at(pulse: Any, place: Place, side: Side, pid: int | None) -> bool:
    """Tell whether the stream of the process `pid` is at `place`; a new one may take 0.7 s."""
    for pause in (*_SETTLE, None):
        for stream in await _streams(pulse, side):
            ours = stream.proplist.get("application.process.id") == str(pid)
            if ours and getattr(stream, side.value) == place.index:
                return True
        if pause is not None:
            await asyncio.sleep(pause)
    return False


async def _devices(pulse: Any, side: Side) -> list[Any]:
    if side is Side.SINK:
        # PipeWire stands in for missing cards with a sink that nobody hears.
        return [one for one in await pulse.sink_list() if one.name != "auto_null"]
    # A monitor hears what a sink plays and is no microphone.
    return [one for one in await pulse.source_list() if one.monitor_of_sink == _NO_INDEX]


async def _streams(pulse: Any, side: Side) -> list[Any]:
    if side is Side.SINK:
        return list(await pulse.sink_input_list())
    return list(await pulse.source_output_list())


def _serial(info: Any) -> str | None:
    serial: str | None = info.proplist.get("object.serial")
    return serial


def _echo_canceller(info: Any) -> str:
    """Return the group of the echo canceller's nodes that `info` belongs to, or ""."""
    group = str(info.proplist.get("node.link-group", ""))
    return group if group.startswith("echo-cancel") else ""


async def find_for(
    pulse: Any, route: Route, free: Chooser, handset: Chooser | None
) -> tuple[Place, DeviceAbsent | None]:
    """Return where sound goes for `route`, and why the handset is missing where it is.

    Without its handset a kiosk stays hands-free. Raises DeviceAbsent.
    """
    missing = None
    if handset is not None:
        try:
            place = await handset.find(pulse)
        except DeviceAbsent as error:
            missing = error
        else:
            if route is Route.HANDSET:
                return place, None
    return await free.find(pulse), missing
