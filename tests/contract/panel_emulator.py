"""A panel at the other end of a pty."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Callable
from pathlib import Path

from drivers.panel import protocol
from drivers.panel.protocol import Ack, Alive, Decoder, Event, Hello, Message, SetLamp
from kioskd.hal.panel import Lamp, LampPattern, PanelEvent


class PanelEmulator:
    """Answers like the firmware of docs/panel.md. `version` None stays silent.

    `mute` answers nothing; `listen(False)` reads nothing, as a firmware that hangs.
    """

    def __init__(self, version: int | None = protocol.VERSION) -> None:
        self.version = version
        self.lamps: dict[Lamp, LampPattern] = {}
        self.acknowledged: list[int] = []
        self.changed = asyncio.Event()
        self.drop_acks = 0
        self.mute = False
        self._decoder = Decoder()
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.device = Path(os.ttyname(self._theirs))
        self.listen(True)

    @property
    def port(self) -> int:
        """The panel's end of the line, for a process that writes to it too."""
        return self._ours

    @property
    def garbage(self) -> int:
        """How many lines that are none have come from the kiosk."""
        return self._decoder.garbage

    def listen(self, on: bool) -> None:
        loop = asyncio.get_running_loop()
        if on:
            loop.add_reader(self._ours, self._readable)
        else:
            loop.remove_reader(self._ours)

    def press(self, sequence: int, event: PanelEvent) -> None:
        self.write(protocol.encode(Event(sequence, event)))

    def write(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # the line is full, this is lost
            os.write(self._ours, data)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; looked at whenever a line has come."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def unplug(self) -> None:
        if self._ours >= 0:
            asyncio.get_running_loop().remove_reader(self._ours)
            os.close(self._theirs)
            os.close(self._ours)
            self._ours = -1

    def _readable(self) -> None:
        for message in self._decoder.feed(os.read(self._ours, 4096)):
            self._take(message)

    def _take(self, message: Message) -> None:
        if self.mute:
            return
        match message:
            case Hello() if self.version is not None:
                self.write(protocol.encode(Hello(self.version)))
            case Alive():
                self.write(protocol.encode(Alive()))
            case SetLamp(sequence, lamp, pattern):
                if self.drop_acks > 0:
                    self.drop_acks -= 1
                    return
                self.lamps[lamp] = pattern
                self.write(protocol.encode(Ack(sequence)))
            case Ack(sequence):
                self.acknowledged.append(sequence)
        self.changed.set()
