"""Who opens camera and microphone is seen: the lamp, the screen and the audit log tell of it."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Final

from kioskd.app.auditing import Auditing
from kioskd.app.devices import Devices
from kioskd.app.front import Front
from kioskd.audit.events import TestBegun, TestEnded
from kioskd.control.trial import Outcome, Result
from kioskd.hal.device import DeviceKind
from kioskd.hal.trial import Trial

TEST_SHOWN_S: Final = 2.0
"""A test of the camera is over in a third of a second: too short to be read."""


class Eyes:
    """Watches the leases of camera and microphone, whoever has them.

    `allowed` tells whether the visit is in a call; `on_change` shows the screen anew. A device
    opened for no call and no test would light the lamp and be in the audit log all the same.
    """

    def __init__(
        self,
        devices: Devices,
        front: Front,
        audit: Auditing,
        *,
        allowed: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        self.testing: Trial | None = None
        """What a technician tries now, from afar perhaps: the screen says so."""
        self._front = front
        self._audit = audit
        self._allowed = allowed
        self._on_change = on_change
        self._open: set[DeviceKind] = set()
        for one in (devices.camera, devices.microphone):
            one.on_lease = functools.partial(self._leased, one.device.kind)

    def light(self) -> None:
        """Let the lamp be on from before the first is open until none is."""
        self._front.show_sensors(open_=self._allowed() or bool(self._open))

    async def test(self, trial: Trial, work: Awaitable[Outcome]) -> Outcome:
        """Do `work`, a technician's test; the screen tells of it, for TEST_SHOWN_S at the least.

        Cancelled, it tells no longer than the work takes to give back what it holds.
        """
        began, passed = time.monotonic(), False
        self.testing = trial
        self._audit.note(TestBegun(device=trial))
        self._on_change()
        try:
            try:
                outcome = await work
                passed = outcome.result is Result.PASSED
            finally:
                self._audit.note(TestEnded(device=trial, passed=passed))
            await asyncio.sleep(began + TEST_SHOWN_S - time.monotonic())
            return outcome
        finally:
            self.testing = None
            self._on_change()

    def _leased(self, kind: DeviceKind, open_: bool) -> None:
        if open_:
            self._open.add(kind)
        else:
            self._open.discard(kind)
        self._audit.sensor(kind, open_=open_)
        self.light()
