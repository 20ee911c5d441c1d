"""Supervision: what is published of a device is true, whoever finds it out."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator

import pytest

from drivers.camera.fake import FakeCameraConfig
from drivers.camera.none import NoCamera
from kioskd.errors import DeviceError, Reason
from kioskd.hal.camera import Camera
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.runtime.flapping import FLAP_LIMITS, FlapLimits
from kioskd.runtime.supervisor import Supervised

WITHIN_S = 10.0


class Watched:
    """A supervised camera, and the states it went through."""

    def __init__(self, limits: FlapLimits = FLAP_LIMITS) -> None:
        self.camera = FakeCameraConfig().build()
        self.healths: list[DeviceHealth] = []
        self.changed = asyncio.Event()
        self.supervised: Supervised[Camera] = Supervised(
            self.camera, on_change=self._note, check_every_s=60, flap_limits=limits
        )

    def _note(self, health: DeviceHealth) -> None:
        self.healths.append(health)
        self.changed.set()

    async def until(self, state: DeviceState, reason: Reason | None = None) -> None:
        async with asyncio.timeout(WITHIN_S):
            while (self.supervised.health.state, self.supervised.health.reason) != (state, reason):
                self.changed.clear()
                await self.changed.wait()

    async def until_not_usable(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            while self.supervised.health.state.usable:
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


async def test_a_restart_takes_the_device_from_its_user_who_opens_it_again(
    watched: Watched,
) -> None:
    async with watched.supervised.lease() as camera:
        await camera.frame()
        watched.supervised.observe(Reason.BLACK)
        health = await watched.supervised.restart()
        assert (health.state, health.reason) == (DeviceState.BUSY, None)
        with pytest.raises(DeviceError):
            await camera.frame()
    await watched.until(DeviceState.READY)
    async with watched.supervised.lease() as camera:
        await camera.frame()


async def test_a_restart_ends_the_rest_of_a_device_that_flaps() -> None:
    watched = Watched(FlapLimits(losses=1, rest_s=3600))
    await watched.supervised.look()
    watched.supervised.report(DeviceError(Reason.CRASHED))
    assert watched.supervised.health.reason is Reason.FLAPPING
    assert (await watched.supervised.restart()).state is DeviceState.READY
    assert not watched.supervised.resting


async def test_a_failure_is_told_over_what_a_user_saw(watched: Watched) -> None:
    async with watched.supervised.lease():
        watched.supervised.observe(Reason.BLACK)
        watched.camera.fail_with(Reason.UNPLUGGED)
        watched.supervised.poke()
        await watched.until(DeviceState.ABSENT, Reason.UNPLUGGED)


async def test_what_the_system_refuses_a_driver_is_a_failure_of_its_device(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused() -> None:
        raise OSError(errno.EMFILE, "no descriptors left")

    monkeypatch.setattr(watched.camera, "check", refused)
    watched.supervised.poke()
    await watched.until(DeviceState.FAILED, Reason.IO_ERROR)
    monkeypatch.undo()
    await watched.until(DeviceState.READY)
    monkeypatch.setattr(watched.camera, "open", refused)
    with pytest.raises(DeviceError, match="no descriptors left"):
        async with watched.supervised.lease():
            pytest.fail("it was opened")
    await watched.until(DeviceState.READY)  # the camera itself has nothing


async def test_a_check_that_hangs_is_told_before_it_has_ended(watched: Watched) -> None:
    stubborn = asyncio.Event()

    async def check() -> DeviceHealth:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await stubborn.wait()  # like a worker on the ladder
            raise
        raise AssertionError

    watched.camera.check = check  # type: ignore[method-assign]
    watched.supervised.poke()
    await watched.until(DeviceState.FAILED, Reason.NO_ANSWER)
    stubborn.set()


LIMITS = FlapLimits(losses=3, within_s=60, rest_s=1.0, longest_s=2.0, calm_s=60)


@pytest.fixture
async def flapping() -> AsyncIterator[Watched]:
    one = Watched(LIMITS)
    task = asyncio.create_task(one.supervised.run())
    await one.until(DeviceState.READY)
    for _ in range(LIMITS.losses):
        await one.until(DeviceState.READY)
        one.camera.fail_with(Reason.UNPLUGGED)
        one.supervised.poke()
        await one.until_not_usable()
        one.camera.fail_with(None)
        one.supervised.poke()
    yield one
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_device_that_flaps_is_left_alone_and_taken_back(flapping: Watched) -> None:
    assert flapping.supervised.health.reason is Reason.FLAPPING
    looks: list[bool] = []
    check = flapping.camera.check

    async def noted() -> DeviceHealth:
        looks.append(flapping.supervised.resting)
        return await check()

    flapping.camera.check = noted  # type: ignore[method-assign]
    flapping.supervised.poke()
    if flapping.supervised.resting:  # a very slow machine may be past it
        with pytest.raises(DeviceError) as refused:
            async with flapping.supervised.lease():
                pass
        assert refused.value.reason is Reason.FLAPPING
        assert not flapping.camera.is_open
    await flapping.until(DeviceState.READY)
    assert looks, "it is looked at again"
    assert not any(looks), "and not before its rest was over, for all the poking"


async def test_paper_that_is_out_again_and_again_is_no_flapping() -> None:
    one = Watched(LIMITS)
    task = asyncio.create_task(one.supervised.run())
    for _ in range(3 * LIMITS.losses):
        await one.until(DeviceState.READY)
        one.supervised.report(DeviceError(Reason.NO_PAPER))
        one.supervised.poke()
    await one.until(DeviceState.READY)
    assert Reason.FLAPPING not in [health.reason for health in one.healths]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_device_left_out_is_not_touched_until_it_is_readmitted() -> None:
    one = Watched()
    one.camera.fail_with(Reason.CRASHED)  # whoever touches it is told
    one.supervised.leave_out(NoCamera(), "it killed us")
    task = asyncio.create_task(one.supervised.run())
    one.supervised.poke()
    with pytest.raises(DeviceError) as refused:
        async with one.supervised.lease():
            pass
    assert refused.value.reason is Reason.LEFT_OUT
    assert [health.reason for health in one.healths] == [Reason.LEFT_OUT]
    assert one.supervised.description == one.camera.description
    one.camera.fail_with(None)
    one.supervised.readmit()
    await one.until(DeviceState.READY)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_an_error_in_use_stands_until_the_device_was_opened_well(watched: Watched) -> None:
    """A camera's check does not open the lens: it cannot tell that the error is over."""
    with pytest.raises(DeviceError):
        async with watched.supervised.lease():
            raise DeviceError(Reason.FROZEN)
    assert await watched.supervised.look()
    assert watched.supervised.health.reason is Reason.FROZEN
    async with watched.supervised.lease():
        assert watched.supervised.health.state is DeviceState.BUSY


@pytest.mark.parametrize("seen", [Reason.UNPLUGGED, Reason.NO_ANSWER])
async def test_an_error_in_use_that_a_check_sees_too_is_over_when_it_does_not(
    watched: Watched, seen: Reason
) -> None:
    with pytest.raises(DeviceError):
        async with watched.supervised.lease():
            raise DeviceError(Reason.NO_ANSWER)
    watched.camera.fail_with(seen)
    await watched.supervised.look()
    watched.camera.fail_with(None)
    await watched.supervised.look()
    assert watched.supervised.health.state is DeviceState.READY


async def test_an_error_that_is_over_is_remembered_with_its_end(watched: Watched) -> None:
    with pytest.raises(DeviceError):
        async with watched.supervised.lease():
            raise DeviceError(Reason.FROZEN)
    async with watched.supervised.lease():
        assert watched.supervised.health.state is DeviceState.BUSY
    assert watched.supervised.lately is not None
    assert watched.supervised.lately.reason is Reason.FROZEN
    assert watched.supervised.lately.since > 0


async def test_who_opens_a_device_is_told_even_when_cancelled_in_the_middle(
    watched: Watched,
) -> None:
    told: list[bool] = []
    watched.supervised.on_lease = told.append

    async def use() -> None:
        async with watched.supervised.lease():
            assert told[-1]

    await use()
    assert told == [True, False]
    watched.camera.hold()
    opening = asyncio.create_task(use())
    for _ in range(10):
        await asyncio.sleep(0)
    assert told == [True, False], "it is not open yet"
    opening.cancel()
    await asyncio.wait([opening])
    assert told == [True, False] * 2, "it may have been open"


async def test_a_device_that_does_not_open_is_not_told(watched: Watched) -> None:
    told: list[bool] = []
    watched.supervised.on_lease = told.append
    watched.camera.fail_with(Reason.PERMISSION)
    with pytest.raises(DeviceError):
        async with watched.supervised.lease():
            pass
    assert told == []
