"""Writes the audit log from a thread of its own: the event loop never waits for a disk.

While the disk does not take them, events wait in memory, each with its own time, and are
written once it does; beyond LIMIT they are counted, and the count is written. A visit goes on
meanwhile: a full disk must not send a resident away, and no event is lost unless the daemon
dies too. `failing` and `lost` are for the doctor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from kioskd.audit.chain import Head
from kioskd.audit.events import AuditEvent, DaemonStarted, EventsLost
from kioskd.audit.log import AuditLog

log = structlog.get_logger(__name__)

LIMIT: Final = 10_000
"""Events that may wait, some 10 MB: more than a hundred visits."""
RETRY_S: Final = 1.0
SLOW_S: Final = 10.0
"""A disk that has not answered for so long is said to fail."""
STOP_S: Final = 2.0

Item = tuple[datetime, AuditEvent]


class AuditWriter:
    """Takes events on the loop, in order; `start` and `stop` frame its life."""

    def __init__(
        self, audit_log: AuditLog, *, limit: int = LIMIT, retry_s: float = RETRY_S
    ) -> None:
        self.lost = 0
        """Events that were never written, since the start."""
        self._log = audit_log
        self._limit = limit
        self._retry_s = retry_s
        self._lock = threading.Condition()
        self._items: deque[Item] = deque()
        self._put = 0
        self._done = 0
        self._synced = 0
        self._untold = 0
        self._stopping = False
        self._error: str | None = None
        self._busy_since: float | None = None
        self._waiters: list[tuple[int, Callable[[], None]]] = []
        self._thread = threading.Thread(target=self._run, name="audit log", daemon=True)

    @property
    def head(self) -> Head:
        """The chain's head: what an operator anchors elsewhere."""
        return self._log.head

    @property
    def failing(self) -> str | None:
        """Why the log cannot be written, or None."""
        since = self._busy_since
        if since is not None and time.monotonic() - since > SLOW_S:
            return "the disk does not answer"
        return self._error

    def last_start(self) -> DaemonStarted | None:
        """Return the log's newest start. Blocks; for use before `start`."""
        return self._log.last_start()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, *events: AuditEvent) -> None:
        """Take events that happen now. Never blocks, never raises."""
        now = datetime.now(UTC)
        with self._lock:
            for event in events:
                if len(self._items) >= self._limit:
                    self.lost += 1
                    self._untold += 1
                else:
                    self._items.append((now, event))
                    self._put += 1
            self._lock.notify()

    async def written(self, within_s: float) -> bool:
        """Wait until all that was put before is on the disk; False when it takes too long."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(done.set)

        with self._lock:
            if self._synced >= self._put:
                return True
            self._waiters.append((self._put, tell))
        try:
            async with asyncio.timeout(within_s):
                await done.wait()
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        """Write what waits, for STOP_S at the most. Blocks; may be called twice."""
        with self._lock:
            self._stopping = True
            self._lock.notify()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    # -- in the thread -------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._lock:
                # What was written before a sync failed is to be synced, though nothing comes.
                while not (self._items or self._untold or self._stopping or self._error):
                    self._lock.wait()
                if self._stopping and not (self._items or self._untold):
                    break
            self._busy_since = time.monotonic()
            try:
                self._write_all()
            except OSError as error:
                self._failed(error)
                with self._lock:
                    if self._stopping:
                        break  # it was tried; the daemon's end does not wait for a disk
                    self._lock.wait_for(lambda: self._stopping, self._retry_s)
            else:
                self._well()
            finally:
                self._busy_since = None
        self._log.close()

    def _write_all(self) -> None:
        if not self._log.is_open:
            self._log.open()
        while True:
            with self._lock:
                if not self._items:
                    break
                moment, event = self._items[0]
            self._log.append(event, moment)
            with self._lock:
                self._items.popleft()
                self._done += 1
        with self._lock:
            untold = self._untold
        if untold:
            self._log.append(EventsLost(count=untold), datetime.now(UTC))
            with self._lock:
                self._untold -= untold
        self._log.sync()
        with self._lock:
            self._synced = self._done
            due = [tell for number, tell in self._waiters if number <= self._synced]
            self._waiters = [one for one in self._waiters if one[0] > self._synced]
        for tell in due:
            tell()

    def _failed(self, error: OSError) -> None:
        self._log.close()
        if self._error is None:
            log.error("audit.unwritable", error=str(error))
        self._error = os.strerror(error.errno) if error.errno else str(error)

    def _well(self) -> None:
        if self._error is not None:
            log.info("audit.writable_again", lost=self.lost)
        self._error = None
