"""Eyes: what must be seen in the daemon's status and on the resident's screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kioskd.errors import DocumentFault, Reason
from kioskd.hal.device import DeviceKind, DeviceState
from kioskd.visit.words import LineQuality, PrintStage, ScanStage, Scene
from tests.faults.rig import Rig


@dataclass(frozen=True)
class Sight:
    """Something to be seen, in words and as a question."""

    what: str
    true: Callable[[Rig], bool]
    holds_s: float = 0.0
    """How long it must stay true from the first look on."""


def device(kind: DeviceKind, state: DeviceState, *reasons: Reason) -> Sight:
    """The device's state in the daemon's status; any of the reasons will do."""
    words = f"{kind} {state}" + (f" ({' or '.join(reasons)})" if reasons else "")
    return Sight(
        words,
        lambda rig: (
            rig.device(kind).state is state and (not reasons or rig.device(kind).reason in reasons)
        ),
    )


def lasting(sight: Sight, seconds: float) -> Sight:
    """The same, and it stays so: while the fault lasts nothing gets worse."""
    return replace(sight, what=f"{sight.what}, for {seconds:g} s", holds_s=seconds)


def scan(stage_: ScanStage, *reasons: Reason | DocumentFault, pages: int | None = None) -> Sight:
    """What the resident sees of the scan."""

    def true(rig: Rig) -> bool:
        seen = rig.resident.view.scan if rig.resident.view else None
        return (
            seen is not None
            and seen.stage is stage_
            and (not reasons or seen.reason in reasons)
            and (pages is None or len(seen.pages) == pages)
        )

    kept = "" if pages is None else f", {pages} pages kept"
    why = f" ({' or '.join(reasons)})" if reasons else ""
    return Sight(f"scan {stage_}{why}{kept}", true)


def paper(stage_: PrintStage, *reasons: Reason | DocumentFault) -> Sight:
    """What the resident sees of the agent's document."""

    def true(rig: Rig) -> bool:
        seen = rig.resident.view.print if rig.resident.view else None
        told = seen is not None and (not reasons or bool(set(seen.reasons) & set(reasons)))
        return seen is not None and seen.stage is stage_ and told

    why = f" ({' or '.join(reasons)})" if reasons else ""
    return Sight(f"print {stage_}{why}", true)


def scene(*scenes: Scene) -> Sight:
    """Where the visit is."""
    return Sight(
        f"the visit is {' or '.join(scenes)}",
        lambda rig: rig.resident.view is not None and rig.resident.view.scene in scenes,
    )


AUDIT_FAILS = Sight(
    "the audit log's disk fails",
    lambda rig: rig.status is not None and rig.status.audit.failing is not None,
)
DEAD = Sight("the screen's page has lost the daemon", lambda rig: rig.resident.view is None)
PAPER_OVER = Sight(
    "the job's end is told",
    lambda rig: (
        rig.resident.view is not None
        and rig.resident.view.print is not None
        and rig.resident.view.print.stage.over
    ),
)
HEALTHY = Sight(
    "all well",
    lambda rig: (
        rig.status is not None
        and rig.status.broker_online
        and rig.status.audit.failing is None
        and all(one.state in (DeviceState.READY, DeviceState.BUSY) for one in rig.status.devices)
    ),
)
INTERRUPTED = Sight(
    "the line is cut, told on the screen",
    lambda rig: rig.talking and rig.resident.interruptions > rig.interruptions_before,
)
ON_THE_LINE = Sight(
    "the call goes on",
    lambda rig: rig.talking and rig.line is not LineQuality.LOST and HEALTHY.true(rig),
)
NO_SCREEN = Sight(
    "no screen", lambda rig: rig.status is not None and not rig.status.screen_connected
)
SCREEN = Sight(
    "a screen that draws", lambda rig: rig.status is not None and rig.status.screen_connected
)
OFFLINE = Sight(
    "no broker, told on the screen",
    lambda rig: rig.resident.view is not None and not rig.resident.view.online,
)
NOT_TOUCHED = Sight("nothing: all well", HEALTHY.true, holds_s=4.0)


async def until_seen(rig: Rig, sight: Sight, seconds: float = 30) -> float:
    """Wait for something to be seen; return after how many seconds it was."""
    took = await rig.until(sight.what, sight.true, seconds)
    if sight.holds_s:
        await rig.holds(sight.what, sight.true, sight.holds_s)
    return took


def other_worker(kind: str) -> Callable[[Rig], Sight]:
    """A worker in place of the one that is there now."""

    def now(rig: Rig) -> Sight:
        before = rig.worker(kind).pid

        def true(rig: Rig) -> bool:
            found = rig.workers(kind)
            return bool(found) and found[0].pid != before

        return Sight(f"another {kind} worker", true)

    return now
