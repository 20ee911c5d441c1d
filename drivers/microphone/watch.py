"""Hears from the sound server what comes and goes, for the microphone and the speaker alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pulsectl
import structlog

from kioskd.runtime.sound_server import connection

log = structlog.get_logger(__name__)

RETRY_S: Final = (0.1, 2.0)
_FACILITIES: Final = ("source", "sink", "source_output", "sink_input")


class SoundWatch:
    """One connection to the sound server, for all who listen; it lasts as long as they do.

    A listener is called when a source or sink came or went, when a stream was moved, and
    when the server died or is back.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    async def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` at each change until cancelled."""
        self._listeners.append(listener)
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="sound watch")
        try:
            await asyncio.Event().wait()
        finally:
            self._listeners.remove(listener)
            if not self._listeners:
                task, self._task = self._task, None
                task.cancel()
                await asyncio.wait([task])

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    async def _follow(self) -> None:
        pause = RETRY_S[0]
        while True:
            try:
                async with connection("kioskd watch") as pulse:
                    pause = RETRY_S[0]
                    self._tell()
                    await self._read_until_the_end(pulse)
                    self._tell()
            except (pulsectl.PulseError, TimeoutError):
                pass  # whoever needs the server tells of its trouble
            except Exception:
                log.exception("sound.watch")  # the looks at fixed times go on without it
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_S[1])

    async def _read_until_the_end(self, pulse: Any) -> None:
        reader = asyncio.create_task(self._read(pulse), name="sound events")
        try:
            await asyncio.wait([reader])
        finally:
            # First, for the reader says goodbye on an open connection, and a server that is
            # stopped would never take it.
            pulse.close()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, pulse: Any) -> None:
        async for event in pulse.subscribe_events(*_FACILITIES):
            # A changed device is a changed volume; a changed stream may have been moved.
            if event.t != "change" or event.facility in ("source_output", "sink_input"):
                self._tell()


watch: Final = SoundWatch()
