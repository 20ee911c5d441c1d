"""The panel on a serial port (USB CDC-ACM or a converter)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import termios
from pathlib import Path
from typing import Final, Literal

import serial
from pydantic import BaseModel, ConfigDict

from drivers.panel import protocol
from drivers.panel.limits import Flood, Presses
from drivers.panel.protocol import Ack, Alive, Decoder, Event, Hello, Message, SetLamp
from kioskd.errors import DeviceAbsent, DeviceBusy, DeviceError, Reason
from kioskd.hal.device import DeviceHealth, DeviceState
from kioskd.hal.panel import Lamp, LampPattern, Panel, PanelEvent
from kioskd.runtime.queues import DropOldest

HELLO_EVERY_S: Final = 0.3
HELLO_S: Final = 2.5
ALIVE_EVERY_S: Final = 1.0
SILENCE_S: Final = 3.0
NOISE_S: Final = 15.0
"""Silence amid noise: opening the port anew may restart a board (DTR), but a panel that is
opened too often is left alone as one that flaps, also when the noise is over."""
ACK_S: Final = 0.5
TRIES: Final = 3
EVENTS: Final = 32
READ_BYTES: Final = 4096
GARBAGE_LINES: Final = 3
"""More than what is left in a converter's buffer from before."""
GARBAGE_PER_S: Final = 10
"""Lines. A sound line carries none."""
BYTES_PER_S: Final = 3 * 11_520
"""Three times what 115,200 baud carry; a panel that works says some hundreds."""
PAUSE_S: Final = 0.02
"""Where that is too much, the port is left alone for so long after each read."""
BACKLOG: Final = 1024
"""Bytes that have come in a pause above which all of them are thrown away."""
CLOSE_S: Final = 2.0


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
        self._presses = Presses()
        self._noise = Flood(GARBAGE_PER_S)
        self._bytes = Flood(BYTES_PER_S)
        self._troubled = False
        self._unsent = b""
        self._resume: asyncio.TimerHandle | None = None
        self._wanted = dict.fromkeys(Lamp, LampPattern.OFF)
        self._relight: asyncio.Task[None] | None = None
        self.thrown_away = 0
        """Bytes of floods that were not looked at."""
        self._heard_at = 0.0
        self._error: DeviceError | None = None
        self._beat: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def description(self) -> str:
        """Driver and address in one short line."""
        return f"serial {self._config.device}"

    @property
    def dropped(self) -> int:
        """How many events were too many for a person, and not handed on."""
        return self._presses.dropped

    async def check(self) -> DeviceHealth:
        """Tell whether the panel answers; closed, whether its port is there.

        A panel that sends more than a person can press, or garbage, is DEGRADED with
        PROTOCOL; one of which only garbage has come for NOISE_S has FAILED with it.
        """
        if self._port is None:
            if not await asyncio.to_thread(self._config.device.exists):
                raise DeviceAbsent(Reason.NOT_FOUND, f"there is no {self._config.device}")
            return DeviceHealth(DeviceState.READY)
        self._raise_error()
        now = asyncio.get_running_loop().time()
        trouble = self._trouble(now)
        silent_s = now - self._heard_at
        if trouble is None and silent_s <= SILENCE_S:
            return DeviceHealth(DeviceState.READY)
        if trouble is None:
            raise DeviceError(Reason.NO_ANSWER, f"nothing heard for {SILENCE_S:.0f} s")
        if silent_s > NOISE_S:
            raise DeviceError(Reason.PROTOCOL, trouble)
        return DeviceHealth(DeviceState.DEGRADED, Reason.PROTOCOL, trouble)

    def _trouble(self, now: float) -> str | None:
        if self._bytes.over(now):
            return f"too much arrives: {self.thrown_away} bytes thrown away"
        if self._noise.over(now):
            return f"garbage arrives: {self._decoder.lost} lines of it"
        return self._presses.trouble(now)

    async def open(self) -> None:
        """Open the port and greet the panel."""
        async with self._lock:
            if self._port is not None:
                return
            self._port = await asyncio.to_thread(self._open_port)
            loop = asyncio.get_running_loop()
            self._decoder, self._error, self._unsent = Decoder(), None, b""
            self._presses.count_anew()
            self._events = DropOldest(EVENTS)
            self._greeted = loop.create_future()
            loop.add_reader(self._port.fileno(), self._readable)
            try:
                await self._greet(self._greeted)
            except BaseException:
                await self._shut()
                raise
            self._beat = asyncio.create_task(self._run_beat(), name="panel heartbeat")
            self._restore_lamps()
            if self._troubled:
                self.look_again()  # greeted amid noise

    async def close(self) -> None:
        """Close the port."""
        tasks = [task for task in (self._beat, self._relight) if task is not None]
        self._beat = self._relight = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._shut()

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
        try:
            await self._send_lamp(lamp, pattern)
        except DeviceError as error:
            if self._was_lost(error):
                self._restore_lamps()
            raise

    def _restore_lamps(self) -> None:
        if self._relight is None or self._relight.done():
            self._relight = asyncio.create_task(self._set_wanted(), name="panel lamps")

    async def _set_wanted(self) -> None:
        while True:
            try:
                for lamp in list(self._wanted):
                    await self._send_lamp(lamp, self._wanted[lamp])
            except DeviceError as error:
                if self._was_lost(error):
                    continue
            return

    def _was_lost(self, error: DeviceError) -> bool:
        """Tell whether a lamp is to be set again, as noise has swallowed it.

        Without noise a lamp that may lie is worse than a panel that is opened again.
        """
        if error.reason is not Reason.NO_ANSWER or self._error is not None:
            return False
        if self._trouble(asyncio.get_running_loop().time()) is not None:
            return True
        self._fail(error)
        return False

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
            if asyncio.get_running_loop().time() - self._heard_at > SILENCE_S:
                self.look_again()
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
        now = asyncio.get_running_loop().time()
        lost = self._decoder.lost
        for message in self._decoder.feed(data):
            self._heard_at = now
            self._take(message)
        self._noise.add(self._decoder.lost - lost, now)
        if self._bytes.add(len(data), now):
            self._pause()
        before, self._troubled = self._troubled, self._trouble(now) is not None
        if self._troubled and not before:
            self.look_again()

    def _pause(self) -> None:
        """Leave the port alone for a moment: the loop has other things to do."""
        self._stop_reading()
        if self._port is not None and self._error is None:
            self._resume = asyncio.get_running_loop().call_later(PAUSE_S, self._read_on)

    def _read_on(self) -> None:
        assert self._port is not None
        self._resume = None
        try:
            waiting = self._port.in_waiting
            if waiting > BACKLOG:
                self._port.reset_input_buffer()
                self.thrown_away += waiting
        except (OSError, termios.error) as error:
            self._fail(DeviceAbsent(Reason.UNPLUGGED, str(error)))
            return
        asyncio.get_running_loop().add_reader(self._port.fileno(), self._readable)

    def _stop_reading(self) -> None:
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        if self._port is not None:
            asyncio.get_running_loop().remove_reader(self._port.fileno())

    def _take(self, message: Message) -> None:
        match message:
            case Hello(version) if self._greeted is not None and not self._greeted.done():
                if version == protocol.VERSION:
                    self._greeted.set_result(None)
                else:
                    self._fail(DeviceError(Reason.PROTOCOL, f"it speaks version {version}"))
            case Hello() if self._beat is not None:
                # It has restarted: it counts from the start again, and its lamps are out.
                self._presses.count_anew()
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
        if self._presses.take(sequence, event, self._heard_at):
            self._events.put(event)

    def _write(self, message: Message) -> None:
        if self._port is None:
            return
        try:
            # The rest of a line goes before the next one: two halves would be garbage.
            if self._unsent:
                self._unsent = self._unsent[os.write(self._port.fileno(), self._unsent) :]
            if not self._unsent:
                line = protocol.encode(message)
                self._unsent = line[os.write(self._port.fileno(), line) :]
        except BlockingIOError:
            return  # the panel does not read: the silence will tell, or the next line
        except OSError as error:
            self._fail(DeviceAbsent(Reason.UNPLUGGED, str(error)))
            raise self._error or error from error

    def _fail(self, error: DeviceError) -> None:
        self._error = error
        self._stop_reading()
        self._events.fail(error)
        self.look_again()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    async def _shut(self) -> None:
        self._stop_reading()
        port, self._port = self._port, None
        if port is None:
            return
        self._events.fail(DeviceError(Reason.CANCELLED, "the panel is closed"))
        # Linux waits up to 30 s (closing_wait) for what a panel that does not read has not
        # taken: it is thrown away, and what waits all the same waits beside the loop.
        with contextlib.suppress(OSError, termios.error):
            port.reset_output_buffer()
        closing = asyncio.create_task(asyncio.to_thread(_close, port), name="panel close")
        await asyncio.wait([closing], timeout=CLOSE_S)


def _close(port: serial.Serial) -> None:
    with contextlib.suppress(OSError):  # it is gone: so much the better
        port.close()
