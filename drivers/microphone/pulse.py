"""What the microphone and the speaker share: PipeWire through its PulseAudio protocol.

The server is found as every PulseAudio client finds it (PULSE_SERVER, XDG_RUNTIME_DIR).
Sound flows through `parec` and `pacat`: programs that are kept with the protocol, that
cannot take the daemon with them, and that end when the device goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import pulsectl
import structlog

from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.hal.microphone import SAMPLE_RATE
from kioskd.runtime.children import die_with_parent, pump_lines, stop_process
from kioskd.runtime.sound_server import connection

log = structlog.get_logger(__name__)

ANSWER_S: Final = 2.0
LATENCY_MS: Final = 20


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[Any]:
    """Connect for a few questions. Raises DeviceError NO_ANSWER, within ANSWER_S in all."""
    try:
        async with asyncio.timeout(ANSWER_S), connection("kioskd") as pulse:
            yield pulse
    except (pulsectl.PulseError, TimeoutError) as error:
        raise DeviceError(Reason.NO_ANSWER, f"sound server: {error or 'no answer'}") from error


class Player:
    """One `parec` or `pacat` in a group of its own."""

    def __init__(self, program: str, device: str) -> None:
        self.device = device
        self._program = program
        self._command = [
            program,
            f"--device={device}",
            "--raw",
            "--format=s16le",
            f"--rate={SAMPLE_RATE}",
            "--channels=1",
            f"--latency-msec={LATENCY_MS}",
            "--client-name=kioskd",
            # Without it PipeWire moves the stream to another device when this one goes.
            "--property=node.dont-reconnect=true",
        ]
        self._process: Process | None = None
        self._pump: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=3)

    @property
    def pid(self) -> int | None:
        """The process id; None before the start."""
        return self._process.pid if self._process else None

    async def start(self, *, stdin: int = DEVNULL, stdout: int = DEVNULL) -> Process:
        """Start the program. Raises DeviceError UNSUPPORTED when it is not installed."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=stdin,
                stdout=stdout,
                stderr=PIPE,
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
            )
        except OSError as error:
            raise DeviceError(Reason.UNSUPPORTED, f"{self._program}: {error}") from error
        assert self._process.stderr is not None
        self._pump = asyncio.create_task(
            pump_lines(self._process.stderr, self._line), name=self._program
        )
        return self._process

    def kill(self) -> None:
        """End the program at once: what it holds of the sound is lost."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)

    async def stop(self) -> None:
        """End the program; it may have ended."""
        if self._process is not None:
            await stop_process(self._process, terminate_s=0.5)
        if self._pump is not None:
            await self._pump

    async def ended(self) -> DeviceError:
        """Wait for the program's end and tell what it means."""
        assert self._process is not None
        assert self._pump is not None
        await self._process.wait()
        await self._pump
        detail = " / ".join(self._said)
        # Device and server go alike for the program; the server answers or it does not.
        try:
            async with server() as pulse:
                await pulse.server_info()
        except DeviceError as error:
            return DeviceError(Reason.NO_ANSWER, f"{error.detail} ({detail})")
        return DeviceAbsent(Reason.UNPLUGGED, detail)

    def _line(self, line: str) -> None:
        log.debug("player.output", program=self._program, line=line)
        self._said.append(line)
