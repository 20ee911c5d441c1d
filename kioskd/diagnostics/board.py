"""Checks side by side, each with its limit: what hangs is a finding, and stops nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from kioskd.diagnostics.findings import Found, Trouble, trouble
from kioskd.diagnostics.report import Check

T = TypeVar("T")
Look: TypeAlias = Callable[[], Awaitable[list[Found]]]

CHECK_S: Final = 5.0
"""The longest that one check may take."""
ALL_S: Final = 12.0
"""The longest for all of them; what is left of 15 s is for Python to start and to print."""


class LeftOut(Exception):
    """A check that cannot be made here, and why."""


class Board:
    """Where checks leave what they found, as soon as they have it."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.checks: list[Check] = []
        self._since: dict[str, float] = {}

    async def run(self, looks: Mapping[str, Look]) -> None:
        """Make checks side by side."""
        await asyncio.gather(*(self._run(name, look) for name, look in looks.items()))

    def give_up(self) -> None:
        """Note whatever has not come to its end; call when it is not waited for any longer."""
        for name in list(self._since):
            self._hangs(name, "it blocks the others too")
            self._over(name)

    async def _run(self, name: str, look: Look) -> None:
        self._since[name] = time.monotonic()
        try:
            async with asyncio.timeout(CHECK_S):
                self.found += await look()
        except LeftOut as why:
            self._over(name, str(why))
        except TimeoutError:
            self._hangs(name, f"no end after {CHECK_S:.0f} s")
        except Exception as error:  # noqa: BLE001  (the other checks are worth more than a trace)
            self._hangs(name, repr(error))
        self._over(name)

    def _hangs(self, name: str, why: str) -> None:
        self.found.append(trouble(Trouble.CHECK_HANGS, f"{name}: {why}"))

    def _over(self, name: str, left_out: str | None = None) -> None:
        since = self._since.pop(name, None)
        if since is not None:
            took_s = round(time.monotonic() - since, 3)
            self.checks.append(Check(name=name, took_s=took_s, left_out=left_out))


async def in_thread(work: Callable[[], T]) -> T:
    """Run what may block for ever in a thread that nobody waits for at the end.

    asyncio.to_thread's would be waited for when the interpreter ends.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(set_it: Callable[[], None]) -> None:
        if not answer.done():
            set_it()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  (it is raised where it is awaited)
            failed = error
            _soon(loop, lambda: tell(lambda: answer.set_exception(failed)))
        else:
            _soon(loop, lambda: tell(lambda: answer.set_result(result)))

    threading.Thread(target=run, daemon=True).start()
    return await answer


def _soon(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    if not loop.is_closed():  # it came too late for anyone
        loop.call_soon_threadsafe(work)
