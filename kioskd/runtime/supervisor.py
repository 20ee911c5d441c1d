"""Supervision of a device: its true state, reopening with back-off, one user at a time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final, Generic, TypeVar

import structlog

from kioskd.errors import DeviceAbsent, DeviceBusy, DeviceError, Reason
from kioskd.hal.device import Device, DeviceHealth, DeviceState

log = structlog.get_logger(__name__)

D = TypeVar("D", bound=Device)

CHECK_EVERY_S: Final = 2.0
CHECK_LIMIT_S: Final = 3.0
"""Together: what is published is true within 5 s."""
BACK_OFF_S: Final = (0.5, 8.0)
_ABSENT: Final = frozenset({Reason.NOT_CONFIGURED, Reason.NOT_FOUND, Reason.UNPLUGGED})


class Supervised(Generic[D]):
    """One device under supervision.

    With `keep_open` the device is kept open all the time (panel, speaker); otherwise it
    is opened by `lease` only. `on_change` gets the health whenever state or reason
    change. `run` does the work and never raises for the device's sake.
    """

    def __init__(
        self,
        device: D,
        *,
        keep_open: bool = False,
        on_change: Callable[[DeviceHealth], None] | None = None,
        check_every_s: float = CHECK_EVERY_S,
    ) -> None:
        self.device = device
        self.health = DeviceHealth(
            DeviceState.ABSENT, Reason.NOT_FOUND, "not looked for yet", time.monotonic()
        )
        self.looked = asyncio.Event()
        self._keep_open = keep_open
        self._on_change = on_change
        self._check_every_s = check_every_s
        self._lease = asyncio.Lock()
        self._poke = asyncio.Event()
        self._seen: tuple[Reason, str] | None = None
        device.look_again = self.poke

    @property
    def kind(self) -> str:
        """The device's kind, for logs."""
        return self.device.kind.value

    def poke(self) -> None:
        """Look at the device now: something was plugged, or a user saw an error."""
        self._poke.set()

    async def run(self) -> None:
        """Watch the device until cancelled, then close it."""
        wait = BACK_OFF_S[0]
        try:
            while True:
                if await self._look():
                    wait = BACK_OFF_S[0]
                    pause = self._check_every_s
                else:
                    pause = min(wait, self._check_every_s)
                    wait = min(wait * 2, BACK_OFF_S[1])
                self._poke.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):  # noqa: S311
                        await self._poke.wait()
        finally:
            await self.device.close()

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[D]:
        """Open the device for one user. Raises DeviceBusy when it has one, DeviceError.

        A DeviceError that leaves the block is published as the device's state.
        """
        if self._lease.locked():
            raise DeviceBusy(f"the {self.kind} is in use")
        async with self._lease:
            try:
                await self.device.open()
                self._publish(DeviceHealth(DeviceState.BUSY))
                yield self.device
            except DeviceError as error:
                self.report(error)
                raise
            finally:
                if not self._keep_open:
                    await self.device.close()
                    self._seen = None
                if self.health.state in (DeviceState.BUSY, DeviceState.DEGRADED):
                    self._publish(DeviceHealth(DeviceState.READY))
                self.poke()

    def report(self, error: DeviceError) -> None:
        """Publish an error that a user of the device met."""
        state = DeviceState.ABSENT if error.reason in _ABSENT else DeviceState.FAILED
        if error.reason not in (Reason.CANCELLED, Reason.BUSY):
            self._publish(DeviceHealth(state, error.reason, error.detail))

    def observe(self, reason: Reason | None, detail: str = "") -> None:
        """Publish what a user of the device sees wrong with it while it works; None heals.

        It holds over checks that find the device ready, until the device is closed.
        """
        self._seen = None if reason is None else (reason, detail)
        if self.health.state.usable:
            busy = self._lease.locked()
            self._publish(DeviceHealth(DeviceState.BUSY if busy else DeviceState.READY))
            if reason is None:
                self.poke()  # the device itself may have something to say

    async def _look(self) -> bool:
        try:
            async with asyncio.timeout(CHECK_LIMIT_S):
                health = await self.device.check()
                if self._keep_open:
                    await self.device.open()
        except DeviceError as error:
            if self._keep_open:
                await self.device.close()
            if not (self._lease.locked() and error.reason is Reason.BUSY):
                self.report(error)
            return isinstance(error, DeviceAbsent) and error.reason is Reason.NOT_CONFIGURED
        except TimeoutError:
            self.report(DeviceError(Reason.NO_ANSWER, "the check took too long"))
            return False
        finally:
            self.looked.set()
        if self._lease.locked() and health.state is DeviceState.READY:
            health = DeviceHealth(DeviceState.BUSY)
        self._publish(health)
        return True

    def _publish(self, health: DeviceHealth) -> None:
        if self._seen is not None and health.state in (DeviceState.READY, DeviceState.BUSY):
            health = DeviceHealth(DeviceState.DEGRADED, *self._seen)
        old = self.health
        if (health.state, health.reason) == (old.state, old.reason):
            return
        self.health = replace(health, since=time.monotonic())
        good = health.state in (DeviceState.READY, DeviceState.BUSY)
        tell = log.debug if good and old.state.usable else log.info if good else log.warning
        tell(
            "device.state",
            device=self.kind,
            state=health.state.value,
            reason=health.reason,
            detail=health.detail,
        )
        if self._on_change is not None:
            self._on_change(self.health)
