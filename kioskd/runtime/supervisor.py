"""Supervision of a device: its true state, reopening with back-off, one user at a time.

A device that comes and goes again and again is left alone for a while (FLAPPING); one that
the daemon could not start with is not touched at all (LEFT_OUT), until it is readmitted.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Final, Generic, TypeVar

import structlog

from kioskd.errors import DeviceAbsent, DeviceBusy, DeviceError, Reason
from kioskd.hal.device import Device, DeviceHealth, DeviceState
from kioskd.runtime.flapping import FLAP_LIMITS, FlapGuard, FlapLimits
from kioskd.runtime.watchdog import Pulse

log = structlog.get_logger(__name__)

D = TypeVar("D", bound=Device)

CHECK_EVERY_S: Final = 2.0
CHECK_LIMIT_S: Final = 3.0
"""Together: what is published is true within 5 s."""
STANDS_S: Final = 60.0
"""How long an error in use stands where only use can tell whether it is over."""
BACK_OFF_S: Final = (0.5, 8.0)
PULSE_S: Final = 15.0
"""The longest round: a pause, a check, and the end of a worker that does not stop."""
_LOSSES: Final = frozenset(
    {
        Reason.NOT_FOUND,
        Reason.UNPLUGGED,
        Reason.NO_ANSWER,
        Reason.CRASHED,
        Reason.IO_ERROR,
        Reason.PROTOCOL,
        Reason.OFFLINE,
    }
)
"""What a bad cable, power supply or driver does. Paper that is out is no flapping."""
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
        flap_limits: FlapLimits = FLAP_LIMITS,
    ) -> None:
        self.device = device
        self.lately: DeviceHealth | None = None
        """The last error, and since when it is over: one opened anew is well until it is judged."""
        self.health = DeviceHealth(
            DeviceState.ABSENT, Reason.NOT_FOUND, "not looked for yet", time.monotonic()
        )
        self.looked = asyncio.Event()
        self.on_lease: Callable[[bool], None] = lambda _: None
        """Told True when a lease has opened the device, False when it has closed it."""
        self._told_open = False
        self._keep_open = keep_open
        self._on_change = on_change
        self._check_every_s = check_every_s
        self._lease = asyncio.Lock()
        self._poke = asyncio.Event()
        self._seen: tuple[Reason, str] | None = None
        self._failed_until = float("-inf")
        self._guard = FlapGuard(flap_limits)
        self._left_out: D | None = None
        self._looking = asyncio.Lock()
        device.look_again = self.poke

    @property
    def kind(self) -> str:
        """The device's kind, for logs."""
        return self.device.kind.value

    @property
    def description(self) -> str:
        """Driver and address of the device that is configured, left out or not."""
        return (self._left_out or self.device).description

    @property
    def resting(self) -> bool:
        """True while the device is left alone because it flaps."""
        return self._guard.resting(time.monotonic())

    def poke(self) -> None:
        """Look at the device now: something was plugged, or a user saw an error.

        Does not shorten the rest of a device that flaps.
        """
        self._poke.set()

    def leave_out(self, placeholder: D, detail: str) -> None:
        """Touch the device no more; `placeholder`, one that is never there, stands in for it."""
        self._left_out, self.device = self.device, placeholder
        self._publish(DeviceHealth(DeviceState.FAILED, Reason.LEFT_OUT, detail))
        self.looked.set()

    def readmit(self) -> None:
        """Take a device that was left out back; it is looked at by `look` or `run`."""
        if self._left_out is not None:
            self.device, self._left_out = self._left_out, None
            self.poke()

    async def run(self, pulse: Pulse | None = None) -> None:
        """Watch the device until cancelled, then close it; `pulse` beats at each round."""
        pulse = pulse or Pulse(self.kind, math.inf)
        wait = BACK_OFF_S[0]
        try:
            while True:
                pulse.beat()
                if self.resting:
                    await self._rest()
                    continue
                self._poke.clear()  # first: what is noticed during a look is looked at again
                if self._left_out is not None or await self.look():
                    wait = BACK_OFF_S[0]
                    pause = self._check_every_s
                else:
                    pause = min(wait, self._check_every_s)
                    wait = min(wait * 2, BACK_OFF_S[1])
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
        if self._left_out is not None or self.resting:
            raise DeviceError(self.health.reason or Reason.FLAPPING, self.health.detail)
        async with self._lease:
            try:
                await self._open()
                self._failed_until = float("-inf")
                self._publish(DeviceHealth(DeviceState.BUSY))
                yield self.device
            except DeviceError as error:
                self._met(error)
                raise
            finally:
                if not self._keep_open:
                    await self.device.close()
                    self._seen = None
                if self._told_open:
                    self._told_open = False
                    self.on_lease(False)
                if self.health.state in (DeviceState.BUSY, DeviceState.DEGRADED):
                    self._publish(DeviceHealth(DeviceState.READY))
                self.poke()

    async def _open(self) -> None:
        failed = False
        try:
            with _system_errors():
                await self.device.open()
        except DeviceError:
            failed = True
            raise
        finally:
            if not failed:  # cancelled in the middle counts too: it may have been open
                self._told_open = True
                self.on_lease(True)

    def report(self, error: DeviceError) -> None:
        """Publish an error that a user of the device met."""
        state = DeviceState.ABSENT if error.reason in _ABSENT else DeviceState.FAILED
        if error.reason is not Reason.CANCELLED:
            self._publish(DeviceHealth(state, error.reason, error.detail))

    def _met(self, error: DeviceError) -> None:
        """Report an error of the one who has leased the device.

        Where a check proves nothing it stands until the device was opened well again, or for
        STANDS_S; or until checks that failed too, for it was unplugged, succeed again.
        """
        proved = self.device.check_proves or isinstance(error, _RefusedBySystem)
        if error.reason not in _ABSENT and not proved:
            self._failed_until = time.monotonic() + STANDS_S
        self.report(error)

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

    async def restart(self) -> DeviceHealth:
        """Close the device, whoever uses it, end its rest, and look at it; return how it is.

        Its user is told by a DeviceError, and opens it again. Not for one that is left out.
        """
        async with self._looking:
            await self.device.close()
            self._guard.forget()
            self._seen, self._failed_until = None, float("-inf")
            await self._look()
        return self.health

    async def look(self) -> bool:
        """Look at the device once, and open it where it is kept open.

        Returns whether it is as well as it can be: a device that is not there because there
        is none is.
        """
        async with self._looking:
            return await self._look()

    async def _look(self) -> bool:
        try:
            health = await self._check()
        except DeviceError as error:
            if self._keep_open:
                await self.device.close()
            if not (self._lease.locked() and error.reason is Reason.BUSY):
                self.report(error)
                self._failed_until = float("-inf")  # a check sees it: one will see its end
            return isinstance(error, DeviceAbsent) and error.reason is Reason.NOT_CONFIGURED
        finally:
            self.looked.set()
        if health.state is DeviceState.READY:
            if time.monotonic() < self._failed_until:
                return True
            if self._lease.locked():
                health = DeviceHealth(DeviceState.BUSY)
        self._publish(health)
        return True

    async def _check(self) -> DeviceHealth:
        """Check and open; a check that hangs is told of before it is ended, which takes time."""
        check = asyncio.create_task(self._check_and_open(), name=f"check {self.kind}")
        try:
            done, _ = await asyncio.wait([check], timeout=CHECK_LIMIT_S)
            if done:
                return check.result()
            late = DeviceError(Reason.NO_ANSWER, "the check took too long")
            self.report(late)
            raise late
        finally:
            if not check.done():
                check.cancel()
                await asyncio.wait([check])
                if not check.cancelled():
                    check.exception()  # too late for anybody to care

    async def _check_and_open(self) -> DeviceHealth:
        with _system_errors():
            health = await self.device.check()
            if self._keep_open:
                await self.device.open()
            return health

    async def _rest(self) -> None:
        """Leave the device closed and alone for a part of its rest."""
        if self._keep_open and not self._lease.locked():
            await self.device.close()
        left = self._guard.until - time.monotonic()
        await asyncio.sleep(max(0.0, min(left, self._check_every_s)))

    def _publish(self, health: DeviceHealth) -> None:
        if self._seen is not None and health.state in (DeviceState.READY, DeviceState.BUSY):
            health = DeviceHealth(DeviceState.DEGRADED, *self._seen)
        old = self.health
        if self.resting:
            return
        if old.state.usable and not health.state.usable and health.reason in _LOSSES:
            now = time.monotonic()
            if self._guard.lost(now):
                detail = f"left alone for {self._guard.until - now:.0f} s: {health.detail}"
                health = DeviceHealth(DeviceState.FAILED, Reason.FLAPPING, detail)
        if (health.state, health.reason) == (old.state, old.reason):
            return
        self.health = replace(health, since=time.monotonic())
        if health.state.usable and not old.state.usable and old.reason not in _ABSENT:
            self.lately = replace(old, since=self.health.since)
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


class _RefusedBySystem(DeviceError):
    """The device itself may be well: it is taken for that again at the next look."""


@contextlib.contextmanager
def _system_errors() -> Iterator[None]:
    """Make a DeviceError of what the system refuses a driver, such as one more descriptor."""
    try:
        yield
    except OSError as error:
        raise _RefusedBySystem(Reason.IO_ERROR, str(error)) from error
