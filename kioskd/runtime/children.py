"""Child processes: they die with us, and they are stopped by a ladder."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import structlog

log = structlog.get_logger(__name__)

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
TERMINATE_S: Final = 3.0
"""How long a child may take to end after SIGTERM before it is killed."""
KILL_S: Final = 2.0
"""How long the kernel may take to end a killed child. One that a driver holds in the kernel
(state D) does not end until the driver lets go; nobody may wait for that."""
DRAIN_S: Final = 0.5
LOG_LINE_LIMIT: Final = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> Callable[[], None]:
    """Return a function for the child, between fork and exec: SIGKILL me when `parent` dies.

    The kernel ties this to the thread that forked, so children are started from the
    main thread only. A parent that died before the call is noticed by its changed pid.
    """

    def arm() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arm


async def stop_process(process: Process, *, terminate_s: float = TERMINATE_S) -> int | None:
    """End a process: SIGTERM to its group, wait, SIGKILL to its group, reap.

    Takes `terminate_s` and KILL_S at the most. Returns its code, or None when not even
    SIGKILL ended it; it is reaped later, when the kernel lets go of it.
    """
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        if not await _ends(process, terminate_s):
            log.warning("child.killed", pid=process.pid)
    _signal_group(process.pid, signal.SIGKILL)  # what it left behind in its group
    if not await _ends(process, KILL_S):
        log.error("child.unkillable", pid=process.pid)
    return process.returncode


async def drain(process: Process, *pumps: asyncio.Task[None]) -> None:
    """Let the readers of an ended process's output finish, and its pipes be closed.

    A stray grandchild may hold the other end of a pipe for ever: the end is not waited for.
    """
    if pumps:
        _, late = await asyncio.wait(pumps, timeout=DRAIN_S)
        for pump in late:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
    if process.returncode is not None:
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001  (no public way)


async def _ends(process: Process, limit_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await process.wait()
    # Some releases of Python let `wait` wait for the pipes too (python/cpython#119710).
    return process.returncode is not None


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class Child:
    """A program that runs beside the daemon (a broker, a print system), in its own group.

    Its output goes to the log, line by line, at debug level. Use as a context manager;
    when the program ends by itself `exited` is set.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
        group: int | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.exited = asyncio.Event()
        self._command = [str(part) for part in command]
        self._env = env
        self._cwd = cwd
        self._user = user
        self._group = group
        self._on_line = on_line
        self._process: Process | None = None
        self._pump: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process id; only while it runs."""
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while it runs or before it was started."""
        return self._process.returncode if self._process else None

    async def start(self) -> None:
        """Start the program. Raises OSError when it cannot be started."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._env,
            cwd=self._cwd,
            user=self._user,
            group=self._group,
            extra_groups=[] if self._user is not None else None,
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),
            limit=LOG_LINE_LIMIT,
        )
        self._pump = asyncio.create_task(self._watch(self._process), name=f"child {self.name}")

    async def stop(self, *, terminate_s: float = TERMINATE_S) -> None:
        """Stop the program and whatever is left of its group; kill it after `terminate_s`."""
        if self._process is None:
            return
        await stop_process(self._process, terminate_s=terminate_s)
        if self._pump is not None:
            await drain(self._process, self._pump)
        self._process = None

    async def _watch(self, process: Process) -> None:
        assert process.stdout is not None
        await pump_lines(process.stdout, self._line)
        await process.wait()
        log.debug("child.exited", child=self.name, code=process.returncode)
        self.exited.set()

    def _line(self, line: str) -> None:
        log.debug("child.output", child=self.name, line=line)
        if self._on_line is not None:
            self._on_line(line)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def pump_lines(stream: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
    """Hand each line of `stream` to `on_line` until its end; cut what is too long."""
    while True:
        try:
            raw = await stream.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                on_line(end.partial.decode(errors="replace"))
            return
        except asyncio.LimitOverrunError as overrun:
            raw = await stream.read(overrun.consumed or LOG_LINE_LIMIT)
        on_line(raw.decode(errors="replace").rstrip())
