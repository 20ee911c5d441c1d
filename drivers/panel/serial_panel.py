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
        self._heard_at = 0.0
        self._error: DeviceError | None = None
        self._beat: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"serial {self._config.device}"

    async def check(self) -> DeviceHealth:
        """Tell whether the panel answers; closed, whether its port is there."""
        if self._port is None:
            if not await asyncio.to_thread(self._config.device.exists):
                raise DeviceAbsent(Reason.NOT_FOUND, f"there is no {self._config.device}")
            return DeviceHealth(DeviceState.READY)
        self._raise_error()
        if asyncio.get_running_loop().time() - self._heard_at > SILENCE_S:
            raise DeviceError(Reason.NO_ANSWER, f"nothing heard for {SILENCE_S:.0f} s")
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

    async def close(self) -> None:
        """Close the port."""
        beat, self._beat = self._beat, None
        if beat is not None:
            beat.cancel()
            await asyncio.wait([beat])
        self._shut()

    async def event(self) -> PanelEvent:
        """Return the next event."""
        if self._port is None:
            raise DeviceError(Reason.CANCELLED, "the panel is closed")
        return await self._events.get()

    async def set_lamp(self, lamp: Lamp, pattern: LampPattern) -> None:
        """Set a lamp and wait for the panel's acknowledgement."""
        if self._port is None:
            raise DeviceError(Reason.CANCELLED, "the panel is closed")
        self._sequence += 1
        number = self._sequence
        done = asyncio.get_running_loop().create_future()
        self._acks[number] = done
        try:
            for _ in range(TRIES):
                self._raise_error()
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
            case Event(sequence, event):
                self._write(Ack(sequence))
                if sequence != self._last_event:  # repeated: our ACK was lost
                    self._last_event = sequence
                    self._events.put(event)
            case Ack(sequence):
                waiting = self._acks.get(sequence)
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)

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

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _shut(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            asyncio.get_running_loop().remove_reader(port.fileno())
            port.close()
            self._events.fail(DeviceError(Reason.CANCELLED, "the panel is closed"))
