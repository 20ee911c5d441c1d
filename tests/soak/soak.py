"""Many short calls and scans through the real stacks, and how much more the daemon holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kioskd.control.api import ProcessStatus
from tests.faults import visits
from tests.faults.rig import Rig

WARM_UP_CALLS: Final = 20
"""From then on a process of ours holds what it will hold (facts: RSS is flat from call 20)."""
WARM_UP_SCANS: Final = 3
LOOKS: Final = 30
LOOK_S: Final = 0.1


@dataclass(frozen=True)
class Growth:
    """What the daemon holds more at rest, after `calls` and `scans`, than after the warm-up."""

    calls: int
    scans: int
    fds: int
    threads: int
    tasks: int
    children: int
    rss_kb: int

    @property
    def leaks(self) -> bool:
        """True where anything that is counted has grown."""
        return max(self.fds, self.threads, self.tasks, self.children) > 0

    def __str__(self) -> str:
        counts = (f"{name}={getattr(self, name):+d}" for name in ("fds", "threads", "tasks"))
        return (
            f"soak: calls={self.calls} scans={self.scans} {' '.join(counts)} "
            f"children={self.children:+d} rss_per_call_kb={self.rss_kb / self.calls:.1f}"
        )


async def soak(
    rig: Rig,
    calls: int,
    scans: int,
    tell: Callable[[str], None] = lambda _: None,
    *,
    warm_up_calls: int = WARM_UP_CALLS,
) -> Growth:
    """Do so many of each after a warm-up, and measure."""
    await _calls(rig, warm_up_calls, tell)
    await _scans(rig, WARM_UP_SCANS, tell)
    before = await _at_rest(rig)
    tell(f"after the warm-up: {before!r}")
    await _calls(rig, calls, tell)
    called = await _at_rest(rig)
    await _scans(rig, scans, tell)
    after = await _at_rest(rig)
    tell(f"at the end:        {after!r}")
    return Growth(
        calls=calls,
        scans=scans,
        fds=after.fds - before.fds,
        threads=after.threads - before.threads,
        tasks=after.tasks - before.tasks,
        children=after.children - before.children,
        # Of the calls: fifty scans in one visit take some MB for good, once.
        rss_kb=called.rss_kb - before.rss_kb,
    )


async def _calls(rig: Rig, number: int, tell: Callable[[str], None]) -> None:
    for done in range(1, number + 1):
        await rig.call()
        await rig.idle()
        if done % 100 == 0:
            tell(f"{done} calls: {(await _at_rest(rig)).rss_kb} kB")


async def _scans(rig: Rig, number: int, tell: Callable[[str], None]) -> None:
    for done in range(1, number + 1):
        await visits.scan_page(rig)
        await visits.send_pages(rig)
        if done % 50 == 0:
            await rig.idle()
            tell(f"{done} scans: {(await _at_rest(rig)).rss_kb} kB")
    await rig.idle()


async def _at_rest(rig: Rig) -> ProcessStatus:
    """Return the least of each over a few seconds: the checks of devices come and go."""
    looks = []
    for _ in range(LOOKS):
        status = await rig.look()
        assert status is not None
        looks.append(status.process)
        await asyncio.sleep(LOOK_S)
    least = {
        name: min(getattr(one, name) for one in looks)
        for name in ("fds", "threads", "tasks", "children", "rss_kb")
    }
    return looks[-1].model_copy(update=least)
