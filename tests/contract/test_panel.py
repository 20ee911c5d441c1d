"""The panel's contract: the fake and the absent one."""

from __future__ import annotations

import asyncio

import pytest

from drivers.panel.fake import FakePanelConfig
from drivers.panel.none import NoPanelConfig
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.panel import Lamp, LampPattern, PanelEvent


async def test_events_and_lamps() -> None:
    panel = FakePanelConfig().build()
    panel.push(PanelEvent.PRESS)  # closed: lost
    async with asyncio.timeout(5), panel:
        waiting = asyncio.create_task(panel.event())
        await asyncio.sleep(0)
        panel.push(PanelEvent.HANG_UP)
        panel.push(PanelEvent.NEXT)
        assert await waiting is PanelEvent.HANG_UP
        assert await panel.event() is PanelEvent.NEXT
        await panel.set_lamp(Lamp.CAMERA, LampPattern.ON)
        assert panel.lamps[Lamp.CAMERA] is LampPattern.ON


async def test_fault_and_close_wake_who_waits() -> None:
    panel = FakePanelConfig().build()
    async with asyncio.timeout(5), panel:
        waiting = asyncio.create_task(panel.event())
        await asyncio.sleep(0)
        panel.fail_with(Reason.UNPLUGGED)
        with pytest.raises(DeviceAbsent):
            await waiting
        panel.fail_with(None)
        waiting = asyncio.create_task(panel.event())
        await asyncio.sleep(0)
        await panel.close()
        with pytest.raises(DeviceError):
            await waiting


async def test_no_panel() -> None:
    panel = NoPanelConfig().build()
    lamp = panel.set_lamp(Lamp.CALL, LampPattern.ON)
    for use in (panel.check(), panel.open(), panel.event(), lamp):
        with pytest.raises(DeviceAbsent) as caught:
            await use
        assert caught.value.reason is Reason.NOT_CONFIGURED
