"""Worker processes: native code that may hang or crash runs in one of its own.

The daemon's side is `Worker`; the process runs `kioskd.runtime.worker_main`, which
makes an object of the class named by `target` and calls its methods, one at a time, on
its main thread. The two talk over a socket pair in JSON lines:

    daemon → worker   {"id": 1, "call": "scan", "args": {...}}      {"cancel": 1}
    worker → daemon   {"id": 1, "progress": ...}
                      {"id": 1, "result": ...}
                      {"id": 1, "error": {"reason": "paper-jam", "detail": "..."}}
                      {"id": 1, "error": {"fault": "encrypted", "detail": "..."}}
                      {"event": ...}                                  not tied to a call

Large data never travels here: pictures go through a SharedRing, pages through files in
RAM. A worker that does not answer in time, or makes no progress, is terminated, then
killed; the next call starts a new one. One that fails again and again before it has
answered anything is started after a growing pause only; and none is started beside one
of its name that cannot be killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import socket
import sys
import weakref
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import structlog

from kioskd.errors import (
    DeviceError,
    DocumentError,
    DocumentFault,
    Reason,
    WorkerDied,
    WorkerStalled,
)
from kioskd.hal.simulated import device_error
from kioskd.runtime.children import KILL_S, die_with_parent, drain, pump_lines, stop_process
from kioskd.runtime.worker_main import PING

log = structlog.get_logger(__name__)

Json: TypeAlias = Any
Stall: TypeAlias = float | Callable[[Json], float]
"""Seconds that a call may last without progress; or told by its last progress, None at first."""

START_S: Final = 20.0
"""How long a worker may take to import its libraries, on a slow kiosk at boot."""
CANCEL_S: Final = 5.0
"""How long a cancelled call may take to end before the worker is killed."""
LOOK_S: Final = 0.5
TERMINATE_S: Final = 1.0
MESSAGE_LIMIT: Final = 1 << 20
BACK_OFF_S: Final = (0.5, 4.0)
"""First and longest pause before a worker that has died twice without an answer in between is
started again; until it is over, calls fail at once. Short: a device that is well again must be
seen to be within 5 s."""
LADDER_S: Final = CANCEL_S + TERMINATE_S + KILL_S + 2.0
"""How long after its limit a call may last until the worker has been ended, and a margin."""

_unkillable: Final[dict[str, Process]] = {}
_workers: Final[weakref.WeakSet[Worker]] = weakref.WeakSet()


def overdue(now: float) -> list[str]:
    """Name the workers with a call that should have been ended by `now`, of the loop's clock."""
    return [one.name for one in _workers if one.is_overdue(now)]


@dataclass(slots=True)
class _Call:
    answer: asyncio.Future[Json]
    on_progress: Callable[[Json], None] | None
    moved: float
    deadline: float
    stall: Stall = math.inf
    progress: Json = None

    @property
    def limit(self) -> float:
        """When the call is to be ended, unless it is answered or moves."""
        stall = self.stall(self.progress) if callable(self.stall) else self.stall
        return min(self.deadline, self.moved + stall)


class Worker:
    """One worker process, started at the first call and restarted after it died.

    `target` is "package.module:Class"; `arguments` are its keyword arguments, in JSON
    types. `pass_fds` are inherited under the same numbers. Calls queue up: a native
    library sees one at a time, from one thread.
    """

    def __init__(
        self,
        name: str,
        target: str,
        arguments: Mapping[str, Json] | None = None,
        *,
        pass_fds: tuple[int, ...] = (),
        env: Mapping[str, str] | None = None,
        on_event: Callable[[Json], None] | None = None,
        on_death: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.restarts = 0
        self._target = target
        self._arguments = dict(arguments or {})
        self._pass_fds = pass_fds
        self._env = dict(env or {})
        self._on_event = on_event
        self._on_death = on_death
        self._lock = asyncio.Lock()
        self._process: Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._output: asyncio.Task[None] | None = None
        self._ending = asyncio.Lock()
        self._calls: dict[int, _Call] = {}
        self._next = 0
        self._failures = 0
        self._not_before = 0.0
        _workers.add(self)

    @property
    def pid(self) -> int | None:
        """The worker's process id, or None while there is none."""
        return self._process.pid if self._process else None

    def is_overdue(self, now: float) -> bool:
        """Tell whether a call has outlived its limit and the ladder."""
        return any(now > entry.limit + LADDER_S for entry in self._calls.values())

    async def call(
        self,
        method: str,
        *,
        timeout: float,
        stall: Stall = math.inf,
        on_progress: Callable[[Json], None] | None = None,
        **arguments: Json,
    ) -> Json:
        """Call a method of the worker's object and return its result.

        `timeout` bounds the whole call in seconds, `stall` the time without progress
        (a number, or a function of the last progress).
        Raises DeviceError or DocumentError as the worker raised it, WorkerStalled when
        time ran out (the worker is killed) or an earlier process cannot be killed,
        WorkerDied when it ended or is not to be started again yet. Cancelling the call
        asks the worker to stop, and kills it when it does not within CANCEL_S.
        """
        async with self._lock:
            if self._process is None:
                # One that died by itself may still be being ended, and hold the device.
                await asyncio.shield(self._end("replaced"))
                self._check_start()
                await self._start()
            number = self._next
            self._next += 1
            loop = asyncio.get_running_loop()
            now = loop.time()
            entry = _Call(loop.create_future(), on_progress, now, now + timeout, stall)
            self._calls[number] = entry
            try:
                self._send({"id": number, "call": method, "args": arguments})
                return await self._wait(number, entry, method)
            finally:
                self._calls.pop(number, None)

    async def ping(self, *, timeout: float) -> None:
        """Make sure that the process, where there is one, serves calls; raises as `call` does."""
        if self._process is not None:
            await self.call(PING, timeout=timeout)

    async def stop(self) -> None:
        """End the process, whatever it is doing; a call under way raises WorkerDied."""
        await asyncio.shield(self._end("stopped"))

    async def _wait(self, number: int, entry: _Call, method: str) -> Json:
        loop = asyncio.get_running_loop()
        try:
            while (left := entry.limit - loop.time()) > 0:
                # A limit that the progress tells may come nearer while it is waited for.
                pause = min(left, LOOK_S) if callable(entry.stall) else left
                limit = None if math.isinf(pause) else pause
                done, _ = await asyncio.wait([entry.answer], timeout=limit)
                if done:
                    return entry.answer.result()
        except asyncio.CancelledError:
            await asyncio.shield(self._cancel(number, entry))
            raise
        await asyncio.shield(self._end(f"no answer to {method}"))
        _forget(entry)
        raise WorkerStalled(f"{self.name}: {method} made no progress and was ended")

    async def _cancel(self, number: int, entry: _Call) -> None:
        self._send({"cancel": number})
        done, _ = await asyncio.wait([entry.answer], timeout=CANCEL_S)
        if not done:
            await self._end("did not stop when cancelled")
        _forget(entry)

    def _failed(self) -> None:
        """Note that the process died or did not start; the second time without an answer, pause.

        A call that hangs is no such failure: its own time limit paces those that follow.
        """
        self._failures += 1
        if self._failures > 1:
            first, longest = BACK_OFF_S
            pause = min(first * 2 ** min(self._failures - 2, 16), longest)
            self._not_before = asyncio.get_running_loop().time() + pause

    def _check_start(self) -> None:
        stuck = _unkillable.get(self.name)
        if stuck is not None:
            if stuck.returncode is None:
                raise WorkerStalled(f"{self.name}: process {stuck.pid} cannot be killed")
            del _unkillable[self.name]
        left = self._not_before - asyncio.get_running_loop().time()
        if left > 0:
            raise WorkerDied(
                f"{self.name}: failed {self._failures} times, next start in {left:.0f} s"
            )

    async def _start(self) -> None:
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:  # no descriptors left
            raise WorkerDied(f"{self.name}: cannot be started: {error}") from error
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "kioskd.runtime.worker_main",
                str(theirs.fileno()),
                self._target,
                json.dumps(self._arguments),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **self._env},
                pass_fds=(theirs.fileno(), *self._pass_fds),
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
            )
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError):
                raise WorkerDied(f"{self.name}: cannot be started: {error}") from error
            raise
        finally:
            theirs.close()
        try:
            reader, self._writer = await asyncio.open_connection(sock=ours, limit=MESSAGE_LIMIT)
        except BaseException:
            await asyncio.shield(self._end("cancelled while it started"))
            raise
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        self._calls[-1] = _Call(ready, None, loop.time(), loop.time() + START_S)
        name = f"worker {self.name}"
        self._receiver = asyncio.create_task(self._receive(reader), name=name)
        self._output = asyncio.create_task(self._log_output(), name=f"{name} output")
        try:
            async with asyncio.timeout(START_S):
                await ready
        except BaseException as error:
            await asyncio.shield(self._end("did not start"))
            if isinstance(error, TimeoutError):
                self._failed()
                raise WorkerStalled(f"{self.name}: did not start in {START_S:.0f} s") from error
            raise
        finally:
            self._calls.pop(-1, None)
        log.debug("worker.started", worker=self.name, pid=self._process.pid)

    def _send(self, message: Json) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                self._dispatch(json.loads(line))
        for entry in self._calls.values():
            if not entry.answer.done():
                entry.answer.set_exception(WorkerDied(f"{self.name}: the process ended"))
        # Whoever calls next must find no process: end it here, whatever is left of it.
        process, self._process = self._process, None
        if process is not None:
            self._failed()
            code = await self._stop_process(process)
            self.restarts += 1
            log.warning("worker.died", worker=self.name, pid=process.pid, code=code)
            if self._on_death is not None:
                self._on_death()

    def _dispatch(self, message: Json) -> None:
        if "event" in message:
            if self._on_event is not None:
                self._on_event(message["event"])
            return
        entry = self._calls.get(message["id"])
        if entry is None or entry.answer.done():
            return
        if message["id"] >= 0:
            self._failures = 0
        if "progress" in message:
            entry.moved = asyncio.get_running_loop().time()
            entry.progress = message["progress"]
            if entry.on_progress is not None:
                entry.on_progress(message["progress"])
        elif "error" in message:
            entry.answer.set_exception(_rebuild(message["error"]))
        else:
            entry.answer.set_result(message["result"])

    async def _log_output(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        await pump_lines(
            self._process.stdout,
            lambda line: log.debug("worker.output", worker=self.name, line=line),
        )

    async def _end(self, why: str) -> None:
        """End the process there is, and wait for those that are being ended."""
        # Taken at once: while this one ends, somebody may start the next.
        process, self._process = self._process, None
        receiver, self._receiver = self._receiver, None
        async with self._ending:
            if process is not None:
                log.debug("worker.ending", worker=self.name, pid=process.pid, why=why)
                await self._stop_process(process)
            # A process that died by itself may still be being reaped by its receiving task.
            if receiver is not None:
                await receiver

    async def _stop_process(self, process: Process) -> int | None:
        writer, self._writer = self._writer, None
        output, self._output = self._output, None
        if writer is not None:
            writer.close()
        code = await stop_process(process, terminate_s=TERMINATE_S)
        if code is None:
            _unkillable[self.name] = process
        if output is not None:
            await drain(process, output)
        return code


def _forget(entry: _Call) -> None:
    """Drop the answer to a call whose caller has gone, so that nobody is warned of it."""
    if not entry.answer.cancel() and not entry.answer.cancelled():
        entry.answer.exception()


def _rebuild(error: Mapping[str, str]) -> DeviceError | DocumentError:
    if "fault" in error:
        return DocumentError(DocumentFault(error["fault"]), error["detail"])
    return device_error(Reason(error["reason"]), error["detail"])


class DeviceWorker(Worker):
    """A worker that holds a device: whatever happens to it is a DeviceError to its caller."""

    async def call(
        self,
        method: str,
        *,
        timeout: float,
        stall: Stall = math.inf,
        on_progress: Callable[[Json], None] | None = None,
        **arguments: Json,
    ) -> Json:
        """Do as Worker.call; raise DeviceError CRASHED or NO_ANSWER in place of WorkerError."""
        try:
            return await super().call(
                method, timeout=timeout, stall=stall, on_progress=on_progress, **arguments
            )
        except WorkerStalled as error:
            raise DeviceError(Reason.NO_ANSWER, str(error)) from error
        except WorkerDied as error:
            raise DeviceError(Reason.CRASHED, str(error)) from error
