"""The marks of a trial: what was looked at, how it came out, and what is wrong."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Final

from kioskd.control.trial import (
    Curve,
    Exhibit,
    Look,
    Outcome,
    Part,
    Progress,
    Result,
    Untried,
    Value,
)
from kioskd.diagnostics.findings import Trouble, device_id
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceKind
from kioskd.hal.trial import Trial

FAILED_AT_MOST: Final = 49
"""Whatever else went well, a trial that has failed has less than half."""
TELL_EVERY_S: Final = 0.1


class Elsewhere(Exception):
    """An error of another device than the one whose lease it passes: that one is not to blame."""

    def __init__(self, error: DeviceError) -> None:
        super().__init__(str(error))
        self.error = error


class Marks:
    """Gathers the parts of one trial; `tell` gets its progress."""

    def __init__(self, trial: Trial, tell: Callable[[Progress], None]) -> None:
        self.trial = trial
        self.device = ""
        self.code: str | None = None
        self.curves: list[Curve] = []
        self._tell = tell
        self._parts: list[Part] = []
        self._exhibits: list[Exhibit] = []
        self._finding: str | None = None
        self._detail = ""
        self._told_at = float("-inf")
        self._failed = False
        self._unproved = False

    def progress(self, done: float, look: Look | None = None) -> None:
        """Tell how far it is, 0.0 to 1.0, and what is looked at."""
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            self._tell(Progress(done=round(min(1.0, max(0.0, done)), 3), look=look))

    def mark(self, look: Look, of: int, share: float, **values: Value) -> None:
        """Give a part `share` (0.0 to 1.0) of its points: all is a pass, none a failure."""
        points = round(of * min(1.0, max(0.0, share)))
        result = Result.PASSED if points == of else Result.DEGRADED if points else Result.FAILED
        self._parts.append(Part(look=look, result=result, points=points, of=of, values=values))

    def untried(
        self, look: Look, of: int, why: Untried, *, proves: bool = False, **values: Value
    ) -> None:
        """Note that a part was not tried, and why; `proves`: nothing has passed without it."""
        self._unproved = self._unproved or proves
        self._parts.append(
            Part(look=look, result=Result.NOT_TRIED, points=0, of=of, values=values, untried=why)
        )

    def wrong(self, finding: str | Trouble, detail: str = "", *, fails: bool = True) -> None:
        """Name what is wrong; the first one named stays. `fails`: the trial has failed."""
        if self._finding is None or (fails and not self._failed):
            self._finding, self._detail = str(finding), detail
        self._failed = self._failed or fails

    def wrong_device(
        self, kind: DeviceKind, reason: Reason, detail: str = "", *, fails: bool = True
    ) -> None:
        """Name the reason for which a device does not do what it should."""
        self.wrong(device_id(kind, reason), detail, fails=fails)

    def broken(self, kind: DeviceKind, error: DeviceError) -> None:
        """Take the error that ended the trial; a device that is not configured is not tried."""
        if error.reason is Reason.NOT_CONFIGURED:
            self.untried(Look.DEVICE, 100, Untried.NOT_CONFIGURED)
            return
        self.mark(Look.DEVICE, 100, 0, reason=error.reason.value)
        self.wrong_device(kind, error.reason, error.detail)

    def show(self, name: str, data: bytes) -> None:
        """Keep a file for the technician."""
        self._exhibits.append(Exhibit(name=name, data=base64.b64encode(data).decode("ascii")))

    def outcome(self, took_s: float) -> Outcome:
        """Return what came of it."""
        tried = [part for part in self._parts if part.result is not Result.NOT_TRIED]
        of = sum(part.of for part in tried)
        score = round(100 * sum(part.points for part in tried) / of) if of else None
        if self._failed:
            result = Result.FAILED
            score = min(FAILED_AT_MOST, score or 0)
        elif any(part.result is not Result.PASSED for part in tried):
            result = Result.DEGRADED
        elif not tried or self._unproved:
            result = Result.NOT_TRIED
        else:
            result = Result.PASSED
        return Outcome(
            trial=self.trial,
            result=result,
            score=score,
            finding=self._finding,
            detail=self._detail,
            device=self.device,
            parts=self._parts,
            took_s=round(took_s, 2),
            code=self.code,
            curves=self.curves,
            exhibits=self._exhibits,
        )
