"""Tasks that have an owner and a name: one at a time of each name."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class TaskOwner:
    """Owns the background work of one object, by name.

    Starting a name again cancels the work under way and waits for its end before the
    new work begins, so that two of a name never overlap.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` under `name`, after what ran under it has ended."""
        before = self._tasks.get(name)
        if before is not None:
            before.cancel()
        task = asyncio.create_task(self._run(name, before, work), name=f"{self._owner} {name}")
        task.add_done_callback(lambda _: work.close())  # also when it never came to run
        self._tasks[name] = task

    def runs(self, name: str) -> bool:
        """Tell whether work under this name has not ended yet."""
        return name in self._tasks

    def cancel(self, *names: str) -> None:
        """Ask the work under these names to end."""
        for name in names:
            task = self._tasks.get(name)
            if task is not None:
                task.cancel()

    async def stop(self, *names: str) -> None:
        """Cancel the work under these names and wait until it has ended."""
        tasks = [self._tasks[name] for name in names if name in self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(
        self,
        name: str,
        before: asyncio.Task[None] | None,
        work: Coroutine[Any, Any, None],
    ) -> None:
        try:
            if before is not None:
                await asyncio.wait([before])
            await work
        except Exception:
            # Work of the visit never ends the daemon; its time limits end the visit.
            log.exception("task.failed", owner=self._owner, name=name)
        finally:
            # A cancelled task keeps its error, that this frame, and this all that came before.
            before = None
            if self._tasks.get(name) is asyncio.current_task():
                del self._tasks[name]
