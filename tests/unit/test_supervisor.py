"""Supervision: what is published of a device is true, whoever finds it out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from drivers.camera.fake import FakeCamera, FakeCameraConfig
from kioskd.errors import Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.runtime.supervisor import Supervised

WITHIN_S = 10.0


class Watched:
    """A supervised camera, and the states it went through."""

    def __init__(self) -> None:
        self.camera = FakeCameraConfig().build()
        self.healths: list[DeviceHealth] = []
        self.changed = asyncio.Event()
        self.supervised: Supervised[FakeCamera] = Supervised(
            self.camera, on_change=self._note, check_every_s=60
        )

    def _note(self, health: DeviceHealth) -> None:
        self.healths.append(health)
        self.changed.set()

    async def until(self, state: DeviceState, reason: Reason | None = None) -> None:
        async with asyncio.timeout(WITHIN_S):
            while (self.supervised.health.state, self.supervised.health.reason) != (state, reason):
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    one = Watched()
    task = asyncio.create_task(one.supervised.run())
    await one.until(DeviceState.READY)
    yield one
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_driver_that_noticed_something_is_looked_at_at_once(watched: Watched) -> None:
    watched.camera.fail_with(Reason.UNPLUGGED)
    watched.camera.look_again()
    await watched.until(DeviceState.ABSENT, Reason.UNPLUGGED)
    watched.camera.fail_with(None)
    watched.camera.look_again()
    await watched.until(DeviceState.READY)


async def test_what_a_user_sees_holds_over_checks_until_it_is_over(watched: Watched) -> None:
    async with watched.supervised.lease():
        watched.supervised.observe(Reason.BLACK, "mean 3")
        await watched.until(DeviceState.DEGRADED, Reason.BLACK)
        watched.supervised.looked.clear()
        watched.supervised.poke()
        await watched.supervised.looked.wait()
        assert watched.supervised.health.reason is Reason.BLACK
        watched.supervised.observe(None)
        await watched.until(DeviceState.BUSY)
        watched.supervised.observe(Reason.BLACK)
    await watched.until(DeviceState.READY)


async def test_a_failure_is_told_over_what_a_user_saw(watched: Watched) -> None:
    async with watched.supervised.lease():
        watched.supervised.observe(Reason.BLACK)
        watched.camera.fail_with(Reason.UNPLUGGED)
        watched.supervised.poke()
        await watched.until(DeviceState.ABSENT, Reason.UNPLUGGED)
