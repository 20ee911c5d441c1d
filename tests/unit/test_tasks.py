"""Named tasks: never two of a name at once, and nothing is kept of those that have ended."""

from __future__ import annotations

import asyncio
import gc
import weakref

from kioskd.runtime.tasks import TaskOwner
from tests.e2e.stage import wait_for


async def test_work_that_is_begun_again_waits_for_the_end_of_the_old() -> None:
    owner, told = TaskOwner("test"), []

    async def work(number: int) -> None:
        told.append(f"{number} begins")
        try:
            await asyncio.sleep(0 if number else 3600)
        finally:
            await asyncio.sleep(0.01)
            told.append(f"{number} ends")

    owner.start("work", work(0))
    await asyncio.sleep(0)
    owner.start("work", work(1))
    await wait_for(lambda: not owner.runs("work"), 10, "it has not ended")
    assert told == ["0 begins", "0 ends", "1 begins", "1 ends"]


async def test_nothing_is_kept_of_work_that_was_begun_again_and_again() -> None:
    owner = TaskOwner("test")
    tasks: weakref.WeakSet[asyncio.Task[None]] = weakref.WeakSet()

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await asyncio.sleep(3600)

    for _ in range(20):
        owner.start("work", work())
        for _ in range(10):  # rounds of the loop, until it is at its work
            await asyncio.sleep(0)
    gc.collect()
    kept = len(tasks)
    await owner.stop("work")
    assert kept <= 2
