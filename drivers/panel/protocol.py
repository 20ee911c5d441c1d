"""The panel's line protocol, sans-I/O. docs/panel.md describes it."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Final

from kioskd.hal.panel import Lamp, LampPattern, PanelEvent

VERSION: Final = 1
LINE_LIMIT: Final = 80
"""Bytes of the longest line; what is longer is garbage."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Both ways: I am here and speak this version."""

    version: int


@dataclass(frozen=True, slots=True)
class Alive:
    """Both ways, each second."""


@dataclass(frozen=True, slots=True)
class Event:
    """Panel to kiosk; repeated until it is acknowledged."""

    sequence: int
    event: PanelEvent


@dataclass(frozen=True, slots=True)
class SetLamp:
    """Kiosk to panel; repeated until it is acknowledged."""

    sequence: int
    lamp: Lamp
    pattern: LampPattern


@dataclass(frozen=True, slots=True)
class Ack:
    """Both ways: the line with this sequence number has arrived."""

    sequence: int


Message = Hello | Alive | Event | SetLamp | Ack


def encode(message: Message) -> bytes:
    """Return the line of a message, with checksum and newline."""
    match message:
        case Hello(version):
            body = f"HELLO {version}"
        case Alive():
            body = "ALIVE"
        case Event(sequence, event):
            body = f"EVENT {sequence} {event.value}"
        case SetLamp(sequence, lamp, pattern):
            body = f"LAMP {sequence} {lamp.value} {pattern.value}"
        case Ack(sequence):
            body = f"ACK {sequence}"
    data = body.encode("ascii")
    return data + f"*{_checksum(data):04X}\n".encode("ascii")


def decode(line: bytes) -> Message | None:
    """Return the message of a line (without newline), or None for garbage."""
    body, star, checksum = line.rstrip(b"\r").rpartition(b"*")
    try:
        if not star or len(checksum) != 4 or int(checksum, 16) != _checksum(body):
            return None
        match body.decode("ascii").split(" "):
            case ["HELLO", version]:
                return Hello(int(version))
            case ["ALIVE"]:
                return Alive()
            case ["EVENT", sequence, event]:
                return Event(int(sequence), PanelEvent(event))
            case ["LAMP", sequence, lamp, pattern]:
                return SetLamp(int(sequence), Lamp(lamp), LampPattern(pattern))
            case ["ACK", sequence]:
                return Ack(int(sequence))
    except ValueError:  # no number, no known word, no ASCII
        return None
    return None


class Decoder:
    """Cuts bytes into messages; noise and overlong lines are dropped and counted."""

    def __init__(self) -> None:
        self.garbage = 0
        self.skipped = 0
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that `data` completes."""
        found = []
        for piece in _lines(data):
            self._buffer += piece
            if not piece.endswith(b"\n"):
                self._bound()
                continue
            line = bytes(self._buffer[:-1])
            self._buffer.clear()
            skipped, self._skipping = self._skipping, False
            message = None if skipped or len(line) > LINE_LIMIT else decode(line)
            if message is None:
                self.garbage += 1
            else:
                found.append(message)
        return found

    def noisy(self, lines: int) -> bool:
        """Tell whether as much as `lines` lines of garbage have come, newlines or not."""
        return self.garbage >= lines or self.skipped + len(self._buffer) > LINE_LIMIT

    @property
    def lost(self) -> int:
        """How many lines' worth of garbage have come."""
        return self.garbage + self.skipped // LINE_LIMIT

    def _bound(self) -> None:
        if len(self._buffer) > LINE_LIMIT:
            self.skipped += len(self._buffer)
            self._buffer.clear()
            self._skipping = True


def _checksum(body: bytes) -> int:
    """CRC-16/CCITT-FALSE."""
    return binascii.crc_hqx(body, 0xFFFF)


def _lines(data: bytes) -> list[bytes]:
    """Cut after each newline only: bytes.splitlines would cut at other characters too."""
    pieces = data.split(b"\n")
    return [piece + b"\n" for piece in pieces[:-1]] + [piece for piece in pieces[-1:] if piece]
