"""Two ways to hand live data on without ever falling behind."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class _Mailbox(Generic[T]):
    """A bounded mailbox that drops its oldest item; `fail` makes every later get raise."""

    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque(maxlen=size)
        self._ready = asyncio.Event()
        self._error: BaseException | None = None
        self.dropped = 0

    def put(self, item: T) -> None:
        """Add an item; the oldest goes when there is no room."""
        if len(self._items) == self._items.maxlen:
            self.dropped += 1
        self._items.append(item)
        self._ready.set()

    def fail(self, error: BaseException) -> None:
        """Make `get` raise `error` once the items are used up."""
        self._error = error
        self._ready.set()

    async def get(self) -> T:
        """Return the oldest item, waiting for one."""
        while not self._items:
            if self._error is not None:
                raise self._error
            self._ready.clear()
            await self._ready.wait()
        return self._items.popleft()

    def clear(self) -> None:
        """Forget what nobody has taken."""
        self._items.clear()

    def __len__(self) -> int:
        return len(self._items)


class DropOldest(_Mailbox[T]):
    """Keeps order; loses the oldest when the reader is more than `size` items late. Sound."""


class Latest(_Mailbox[T]):
    """Keeps one item, the newest. Pictures and states."""

    def __init__(self) -> None:
        super().__init__(1)
