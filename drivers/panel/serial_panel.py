"""The panel on a serial port (USB CDC-ACM or a converter)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from pathlib import Path
from typing import Final, Literal

import serial
from pydantic import BaseModel, ConfigDict

from drivers.panel import protocol
from drivers.panel.protocol import Ack, Alive, Decoder, Event, Hello, Message, SetLamp
from kioskd.errors import DeviceAbsent, DeviceBusy, DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.panel import Lamp, LampPattern, Panel, PanelEvent
from kioskd.runtime.queues import DropOldest

HELLO_EVERY_S: Final = 0.3
HELLO_S: Final = 2.5
ALIVE_EVERY_S: Final = 1.0
SILENCE_S: Final = 3.0
ACK_S: Final = 0.5
TRIES: Final = 3
EVENTS: Final = 32
READ_BYTES: Final = 4096
GARBAGE_LINES: Final = 3
"""More than what is left in a converter's buffer from before."""
EVENTS_PER_S: Final = 20
"""Nobody presses faster; more is a panel gone wrong, and is dropped."""


class SerialPanelConfig(BaseModel):
    """`device` is a stable name that udev makes; `baud` does not matter for CDC-ACM."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    driver: Literal["serial"] = "serial"
    device: Path = Path("/dev/kiosk/panel")
    baud: Literal[9600, 19200, 38400, 57600, 115200] = 115200

    def build(self) -> SerialPanel:
        """Make the device."""
        return SerialPanel(self)


class SerialPanel(Panel):
    """Speaks the protocol of docs/panel.md; pyserial opens the port, the loop reads it."""

    def __init__(self, config: SerialPanelConfig) -> None:
        self._config = config
        self._port: serial.Serial | None = None
        self._decoder = Decoder()
        self._events: DropOldest[PanelEvent] = DropOldest(EVENTS)
        self._greeted: asyncio.Future[None] | None = None
        self._acks: dict[int, asyncio.Future[None]] = {}
        self._sequence = 0
        self._last_event: int | None = None
        self._wanted = dict.fromkeys(Lamp, LampPattern.OFF)
        self._relight: asyncio.Task[None] | None = None
        self._window = (0.0, 0)
        self.dropped = 0
        self._heard_at = 0.0
        self._error: DeviceError | None = None
        self._beat: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"serial {self._config.device}"

    async def check(self) -> DeviceHealth:
        """Tell whether the panel answers; closed, whether its port is there.

        A panel that sends more than `EVENTS_PER_S` is DEGRADED with PROTOCOL.
        """
        if self._port is None:
            if not await asyncio.to_thread(self._config.device.exists):
                raise DeviceAbsent(Reason.NOT_FOUND, f"there is no {self._config.device}")
            return DeviceHealth(DeviceState.READY)
        self._raise_error()
        if asyncio.get_running_loop().time() - self._heard_at > SILENCE_S:
            raise DeviceError(Reason.NO_ANSWER, f"nothing heard for {SILENCE_S:.0f} s")
        since, count = self._window
        if count > EVENTS_PER_S and asyncio.get_running_loop().time() - since < SILENCE_S:
            detail = f"too many events: {self.dropped} dropped"
            return DeviceHealth(DeviceState.DEGRADED, Reason.PROTOCOL, detail)
        return DeviceHealth(DeviceState.READY)

    async def open(self) -> None:
        """Open the port and greet the panel."""
        async with self._lock:
            if self._port is not None:
                return
            self._port = await asyncio.to_thread(self._open_port)
            loop = asyncio.get_running_loop()
            self._decoder, self._error, self._last_event = Decoder(), None, None
            self._events = DropOldest(EVENTS)
            self._greeted = loop.create_future()
            loop.add_reader(self._port.fileno(), self._readable)
            try:
                await self._greet(self._greeted)
            except BaseException:
                self._shut()
                raise
            self._beat = asyncio.create_task(self._run_beat(), name="panel heartbeat")
            self._restore_lamps()

    async def close(self) -> None:
        """Close the port."""
        tasks = [task for task in (self._beat, self._relight) if task is not None]
        self._beat = self._relight = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._shut()

    async def event(self) -> PanelEvent:
        """Return the next event."""
        if self._port is None:
            raise DeviceError(Reason.CANCELLED, "the panel is closed")
        return await self._events.get()

    async def set_lamp(self, lamp: Lamp, pattern: LampPattern) -> None:
        """Set a lamp and wait for the panel's acknowledgement.

        What is wanted is kept, also where this raises: a panel that comes back or restarts
        gets it again, so that the camera's lamp tells the truth.
        """
        self._wanted[lamp] = pattern
        await self._send_lamp(lamp, pattern)

    def _restore_lamps(self) -> None:
        if self._relight is None or self._relight.done():
            self._relight = asyncio.create_task(self._set_wanted(), name="panel lamps")

    async def _set_wanted(self) -> None:
        try:
            for lamp in list(self._wanted):
                await self._send_lamp(lamp, self._wanted[lamp])
        except DeviceError as error:
            # A lamp that may lie is worse than a panel that is opened again.
            self._fail(error)

    async def _send_lamp(self, lamp: Lamp, pattern: LampPattern) -> None:
        if self._port is None:
            raise DeviceError(Reason.CANCELLED, "the panel is closed")
        self._sequence += 1
        number = self._sequence
        done = asyncio.get_running_loop().create_future()
        self._acks[number] = done
        try:
            for _ in range(TRIES):
                self._raise_error()
                if self._wanted.get(lamp) is not pattern:
                    return  # somebody wants it otherwise by now
                self._write(SetLamp(number, lamp, pattern))
                await asyncio.wait([done], timeout=ACK_S)
                if done.done():
                    return
            raise DeviceError(Reason.NO_ANSWER, "a lamp was not acknowledged")
        finally:
            del self._acks[number]

    def _open_port(self) -> serial.Serial:
        try:
            return serial.Serial(
                str(self._config.device), self._config.baud, timeout=0, exclusive=True
            )
        except serial.SerialException as error:
            if not self._config.device.exists():
                raise DeviceAbsent(Reason.NOT_FOUND, str(error)) from error
            if error.errno == errno.EACCES:
                raise DeviceError(Reason.PERMISSION, str(error)) from error
            raise DeviceBusy(str(error)) from error

    async def _greet(self, greeted: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + HELLO_S
        while not greeted.done():
            if loop.time() > until:
                if self._decoder.noisy(GARBAGE_LINES):
                    detail = f"garbage arrives: is {self._config.baud} the right baud rate?"
                    raise DeviceError(Reason.PROTOCOL, detail)
                raise DeviceError(Reason.NO_ANSWER, "the panel does not say HELLO")
            self._raise_error()
            self._write(Hello(protocol.VERSION))
            await asyncio.wait([greeted], timeout=HELLO_EVERY_S)
        greeted.result()
        self._heard_at = loop.time()

    async def _run_beat(self) -> None:
        while True:
            with contextlib.suppress(DeviceError):  # told by check and event
                self._write(Alive())
            await asyncio.sleep(ALIVE_EVERY_S)

    def _readable(self) -> None:
        assert self._port is not None
        try:
            data = os.read(self._port.fileno(), READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(DeviceAbsent(Reason.UNPLUGGED, str(error)))
            return
        if not data:
            self._fail(DeviceAbsent(Reason.UNPLUGGED, "end of file"))
            return
        for message in self._decoder.feed(data):
            self._heard_at = asyncio.get_running_loop().time()
            self._take(message)

    def _take(self, message: Message) -> None:
        match message:
            case Hello(version) if self._greeted is not None and not self._greeted.done():
                if version == protocol.VERSION:
                    self._greeted.set_result(None)
                else:
                    self._fail(DeviceError(Reason.PROTOCOL, f"it speaks version {version}"))
            case Hello() if self._beat is not None:
                # It has restarted: it counts from the start again, and its lamps are out.
                self._last_event = None
                self._restore_lamps()
            case Event(sequence, event):
                self._take_event(sequence, event)
            case Ack(sequence):
                waiting = self._acks.get(sequence)
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)

    def _take_event(self, sequence: int, event: PanelEvent) -> None:
        with contextlib.suppress(DeviceError):  # told by check and event
            self._write(Ack(sequence))
        if sequence == self._last_event:
            return  # repeated: our ACK was lost
        self._last_event = sequence
        since, count = self._window
        if self._heard_at - since >= 1.0:
            since, count = self._heard_at, 0
        self._window = (since, count + 1)
        if count < EVENTS_PER_S:
            self._events.put(event)
        else:
            self.dropped += 1

    def _write(self, message: Message) -> None:
        if self._port is None:
            return
        try:
            os.write(self._port.fileno(), protocol.encode(message))
        except BlockingIOError:
            return  # the panel does not read: the silence will tell
        except OSError as error:
            self._fail(DeviceAbsent(Reason.UNPLUGGED, str(error)))
            raise self._error or error from error

    def _fail(self, error: DeviceError) -> None:
        self._error = error
        if self._port is not None:
            asyncio.get_running_loop().remove_reader(self._port.fileno())
        self._events.fail(error)
        self.look_again()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _shut(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            asyncio.get_running_loop().remove_reader(port.fileno())
            port.close()
            self._events.fail(DeviceError(Reason.CANCELLED, "the panel is closed"))
