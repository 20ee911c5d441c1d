"""The transfer of documents over a data channel: sans-I/O, without clock or socket.

`Sender` and `Receiver` each take the frames of the other side with `receive`, which
returns events, and say what to send in answer with `frames_to_send`. Both outlive the
channel: a document that a lost leg broke goes on where it stopped, on the next leg.
What a peer sends never raises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from kioskd.documents.frames import (
    CHUNK_BYTES,
    OFFSET_BYTES,
    Accept,
    Ack,
    Cancel,
    Delivered,
    Document,
    Done,
    Event,
    Failed,
    Frame,
    Message,
    Progress,
    Received,
    Refuse,
    Refused,
    Started,
    malformed_document_id,
    parse_from_receiver,
    parse_from_sender,
)
from kioskd.errors import DocumentError, DocumentFault

WINDOW_BYTES: Final = 1024 * 1024
"""Data on the way and not acknowledged, at the most."""
LEAST_CHUNK_BYTES: Final = 1000
"""Of anything but the end: it fills a packet, more or less."""
ACK_BYTES: Final = 256 * 1024
SIZE_LIMIT: Final = 20 * 1024 * 1024


class Sink(Protocol):
    """Where a document's bytes go, in order. The caller of Receiver closes it."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`, or raise DocumentError or OSError."""


class Sender:
    """Sends one document at a time over its direction's channel."""

    def __init__(self) -> None:
        self._document: Document | None = None
        self._source: BinaryIO | None = None
        self._flowing = False
        self._sent = 0
        self._acked = 0
        self._outbox: list[Frame] = []

    @property
    def document(self) -> Document | None:
        """The document under way."""
        return self._document

    @property
    def unacknowledged(self) -> int:
        """Bytes sent and not acknowledged."""
        return self._sent - self._acked

    def start(self, document: Document, source: BinaryIO) -> list[Frame]:
        """Offer a document whose bytes are read from `source` (seekable; the caller's to close).

        Returns the frames to send now. Raises DocumentError BUSY while another document
        is under way, EMPTY for one without bytes.
        """
        if self._document is not None:
            raise DocumentError(DocumentFault.BUSY, self._document.id)
        if document.size == 0:
            raise DocumentError(DocumentFault.EMPTY)
        self._document, self._source = document, source
        return self.resume()

    def interrupt(self) -> None:
        """The leg is lost: send nothing until `resume`."""
        self._flowing = False
        self._outbox.clear()

    def resume(self) -> list[Frame]:
        """Offer the document under way again, on a new leg; return the frames to send now."""
        self._flowing = False
        self._sent = self._acked = 0
        if self._document is not None:
            self._outbox.append(self._document.model_dump_json())
        return self._take_outbox()

    def cancel(self, reason: DocumentFault = DocumentFault.CANCELLED) -> list[Frame]:
        """Give the document under way up; return the frames to send now."""
        self._give_up(reason)
        return self._take_outbox()

    def receive(self, frame: Frame) -> list[Event]:
        """Take a frame of the receiver; its answer, if any, is in `frames_to_send`."""
        message = parse_from_receiver(frame) if isinstance(frame, str) else None
        document = self._document
        if document is None:
            return []
        if message is None:
            return self._give_up(DocumentFault.PROTOCOL)
        if message.id != document.id:
            return []  # late, for a document given up before
        match message:
            case Accept():
                return self._accepted(document, message.offset)
            case Ack():
                return self._acknowledged(document, message.received)
            case Done():
                if not self._flowing:
                    return []  # of the leg before; the answer to our offer says it again
                if self._sent < document.size:
                    return self._give_up(DocumentFault.PROTOCOL)
                self._forget()
                return [Delivered(document.id)]
            case Refuse() | Cancel():
                self._forget()
                return [Failed(document.id, message.reason)]

    def frames_to_send(self, room: int = WINDOW_BYTES) -> list[Frame]:
        """Return what may be sent now: of the document `room` bytes at the most.

        Raises DocumentError BROKEN when the source
        cannot be read; the document is then given up, and the next call returns the
        frame that says so.
        """
        frames = self._take_outbox()
        document = self._document
        if document is None or self._source is None or not self._flowing:
            return frames
        while self._sent < document.size:
            rest = document.size - self._sent
            window = WINDOW_BYTES - self.unacknowledged
            length = min(CHUNK_BYTES, rest, window, room - OFFSET_BYTES)
            if length < min(LEAST_CHUNK_BYTES, rest):
                break
            frames.append(self._sent.to_bytes(OFFSET_BYTES, "big") + self._read(length))
            self._sent += length
            room -= OFFSET_BYTES + length
        return frames

    def _read(self, length: int) -> bytes:
        assert self._source is not None
        try:
            self._source.seek(self._sent)
            data = self._source.read(length)
        except (OSError, ValueError) as error:  # ValueError: the file is closed
            self._give_up(DocumentFault.BROKEN)
            raise DocumentError(DocumentFault.BROKEN, str(error)) from error
        if len(data) != length:
            self._give_up(DocumentFault.BROKEN)
            raise DocumentError(DocumentFault.BROKEN, f"ends before {self._sent + length}")
        return data

    def _accepted(self, document: Document, offset: int) -> list[Event]:
        if self._flowing or offset > document.size:
            return self._give_up(DocumentFault.PROTOCOL)
        self._flowing = True
        self._sent = self._acked = offset
        return [Progress(document.id, offset, document.size)]

    def _acknowledged(self, document: Document, received: int) -> list[Event]:
        if not self._flowing:
            return []  # of the leg before
        if not self._acked <= received <= self._sent:
            return self._give_up(DocumentFault.PROTOCOL)
        self._acked = received
        return [Progress(document.id, received, document.size)]

    def _give_up(self, reason: DocumentFault) -> list[Event]:
        if self._document is None:
            return []
        number = self._document.id
        self._outbox.append(Cancel(id=number, reason=reason).model_dump_json())
        self._forget()
        return [Failed(number, reason)]

    def _forget(self) -> None:
        self._document = self._source = None
        self._flowing = False
        self._sent = self._acked = 0

    def _take_outbox(self) -> list[Frame]:
        frames, self._outbox = self._outbox, []
        return frames


@dataclass(frozen=True, slots=True)
class Limits:
    """What a receiver takes: bytes of a document, and its media types."""

    size: int = SIZE_LIMIT
    media_types: frozenset[str] = frozenset({"application/pdf"})


class Receiver:
    """Receives one document at a time from its direction's channel.

    `open_sink` is called with the header of each document within the limits; it may
    raise DocumentError (NOT_NOW, NO_SPACE...) to refuse it. The sink belongs to the
    caller, who closes it at `Received` and throws it away at `Failed`.
    """

    def __init__(self, open_sink: Callable[[Document], Sink], limits: Limits | None = None) -> None:
        self._open_sink = open_sink
        self._limits = limits or Limits()
        self._document: Document | None = None
        self._sink: Sink | None = None
        self._hash = hashlib.sha256()
        self._received = 0
        self._acked = 0
        self._broken = False
        self._last: Document | None = None
        self._outbox: list[Frame] = []

    @property
    def document(self) -> Document | None:
        """The document under way."""
        return self._document

    def interrupt(self) -> None:
        """The leg is lost: keep what has arrived, for a sender that resumes."""
        self._broken = True
        self._outbox.clear()

    def cancel(self, reason: DocumentFault = DocumentFault.CANCELLED) -> list[Frame]:
        """Give the document under way up; return the frames to send now."""
        self._give_up(reason)
        return self.frames_to_send()

    def forget(self) -> None:
        """End of the visit: keep nothing of any document."""
        self._drop()
        self._last = None
        self._outbox.clear()

    def frames_to_send(self) -> list[Frame]:
        """Return what is to be sent now: answers and acknowledgements."""
        frames, self._outbox = self._outbox, []
        return frames

    def receive(self, frame: Frame) -> list[Event]:
        """Take a frame of the sender; the answers are in `frames_to_send`."""
        if isinstance(frame, bytes):
            return self._chunk(frame)
        message = parse_from_sender(frame)
        if isinstance(message, Document):
            return self._offered(message)
        if isinstance(message, Cancel):
            if self._document is None or message.id != self._document.id:
                return []
            self._drop()
            return [Failed(message.id, message.reason)]
        if number := malformed_document_id(frame):
            return self._refuse(number, DocumentFault.PROTOCOL)
        return self._give_up(DocumentFault.PROTOCOL)

    def _offered(self, document: Document) -> list[Event]:
        if document == self._last:  # our `done` was lost with its leg
            self._say(Accept(id=document.id, offset=document.size))
            self._say(Done(id=document.id))
            return []
        events: list[Event] = []
        if self._document is not None and document != self._document:
            if not self._broken:
                return self._refuse(document.id, DocumentFault.BUSY)
            events.append(Failed(self._document.id, DocumentFault.CANCELLED))
            self._drop()
        if self._document is None:
            try:
                self._check(document)
                self._sink = self._open_sink(document)
            except DocumentError as error:
                return events + self._refuse(document.id, error.fault)
            self._document = document
        self._broken = False
        self._acked = self._received
        self._say(Accept(id=document.id, offset=self._received))
        return [*events, Started(document)]

    def _check(self, document: Document) -> None:
        if document.media_type not in self._limits.media_types:
            raise DocumentError(DocumentFault.WRONG_TYPE, document.media_type)
        if document.size == 0:
            raise DocumentError(DocumentFault.EMPTY)
        if document.size > self._limits.size:
            raise DocumentError(DocumentFault.TOO_LARGE, str(document.size))

    def _chunk(self, frame: bytes) -> list[Event]:
        document = self._document
        if document is None or self._sink is None or self._broken:
            return []  # late, for a document given up before
        offset, data = int.from_bytes(frame[:OFFSET_BYTES], "big"), frame[OFFSET_BYTES:]
        end = self._received + len(data)
        if offset != self._received or not 1 <= len(data) <= CHUNK_BYTES or end > document.size:
            return self._give_up(DocumentFault.PROTOCOL)
        try:
            self._sink.write(data)
        except DocumentError as error:
            return self._give_up(error.fault)
        except OSError:
            return self._give_up(DocumentFault.NO_SPACE)
        self._hash.update(data)
        self._received = end
        if end < document.size and end - self._acked < ACK_BYTES:
            return [Progress(document.id, end, document.size)]
        self._acked = end
        self._say(Ack(id=document.id, received=end))
        if end < document.size:
            return [Progress(document.id, end, document.size)]
        return [Progress(document.id, end, document.size), *self._finish(document)]

    def _finish(self, document: Document) -> list[Event]:
        if self._hash.hexdigest() != document.sha256:
            return self._give_up(DocumentFault.CHECKSUM)
        self._say(Done(id=document.id))
        self._drop()
        self._last = document
        return [Received(document)]

    def _refuse(self, number: str, reason: DocumentFault) -> list[Event]:
        self._say(Refuse(id=number, reason=reason))
        return [Refused(number, reason)]

    def _give_up(self, reason: DocumentFault) -> list[Event]:
        if self._document is None:
            return []
        number = self._document.id
        self._say(Cancel(id=number, reason=reason))
        self._drop()
        return [Failed(number, reason)]

    def _drop(self) -> None:
        self._document = self._sink = None
        self._hash = hashlib.sha256()
        self._received = self._acked = 0
        self._broken = False

    def _say(self, message: Message) -> None:
        self._outbox.append(message.model_dump_json())
