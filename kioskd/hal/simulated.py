"""What every simulated device lets a test do to it."""

from __future__ import annotations

import asyncio
from typing import Final

from kioskd.errors import DeviceAbsent, DeviceBusy, DeviceError, Reason

_ABSENT: Final = frozenset({Reason.NOT_CONFIGURED, Reason.NOT_FOUND, Reason.UNPLUGGED})


def device_error(reason: Reason, detail: str = "") -> DeviceError:
    """Return the member of the error tree that belongs to `reason`."""
    if reason in _ABSENT:
        return DeviceAbsent(reason, detail)
    return DeviceBusy(detail) if reason is Reason.BUSY else DeviceError(reason, detail)


class Simulated:
    """Faults on demand, for a fake to inherit beside its contract.

    A fake calls `_pass` first in every operation but `close`.
    """

    def __init__(self) -> None:
        self._fault: Reason | None = None
        self._held = False
        self._changed = asyncio.Event()

    def fail_with(self, reason: Reason | None) -> None:
        """Make every operation raise `reason`, those that wait included; None heals."""
        self._fault = reason
        self._tell()

    def hold(self) -> None:
        """Stop the device in the middle of whatever it does, like one that hangs."""
        self._held = True
        self._tell()

    def release(self) -> None:
        """Let a held device go on."""
        self._held = False
        self._tell()

    async def _pass(self, limit_s: float) -> None:
        """Return at once, or when released; raise the fault, or NO_ANSWER after `limit_s`."""
        try:
            async with asyncio.timeout(limit_s):
                while self._held and self._fault is None:
                    await self._next_change()
        except TimeoutError as error:
            raise DeviceError(Reason.NO_ANSWER, "held") from error
        self._raise_fault()

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not beyond the next fault, hold or release."""
        try:
            async with asyncio.timeout(seconds):
                await self._next_change()
        except TimeoutError:
            return

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise device_error(self._fault, "simulated")

    async def _next_change(self) -> None:
        await self._changed.wait()

    def _tell(self) -> None:
        # Everybody who waits now wakes; whoever comes later waits for the next change.
        self._changed.set()
        self._changed = asyncio.Event()
