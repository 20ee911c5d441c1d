"""The messages that strangers send, and who reads them: each fails by ValueError or not at all."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kioskd.call import control
from kioskd.documents import frames
from kioskd.documents.transfer import Limits, Receiver, Sender
from kioskd.errors import DocumentFault
from kioskd.screen.messages import parse_action
from kioskd.signalling import messages
from kioskd.visit.words import EndReason


@dataclass(frozen=True)
class Target:
    """A reader, messages that it understands, and what it may raise of others."""

    name: str
    read: Callable[[bytes], object]
    seeds: list[bytes]
    refuses: tuple[type[Exception], ...] = (ValueError,)
    slow_s: float = 2.0
    """CPU seconds that one message, of 200 kB at the most, may take."""


_PDF: Final = b"%PDF-1.7 a document"
_DOCUMENT: Final = frames.Document(
    id="d1",
    name="letter.pdf",
    media_type="application/pdf",
    size=len(_PDF),
    sha256=hashlib.sha256(_PDF).hexdigest(),
)
_CHUNK: Final = (0).to_bytes(frames.OFFSET_BYTES, "big") + _PDF
_BREAK: Final = b"\n--frame--\n"
"""Between the frames of one input: a conversation is mutated as a whole."""


def _frames(data: bytes) -> list[str | bytes]:
    """Cut an input into text and binary frames, as a data channel hands them over."""
    found: list[str | bytes] = []
    for part in data.split(_BREAK):
        text = part.startswith(b"{")
        found.append(part.decode("utf-8", "replace") if text else part)
    return found


def _receive(data: bytes) -> None:
    receiver = Receiver(lambda _: io.BytesIO(), Limits())
    for frame in _frames(data):
        receiver.receive(frame)
        receiver.frames_to_send()


def _answered(data: bytes) -> None:
    sender = Sender()
    sender.start(_DOCUMENT, io.BytesIO(_PDF))
    for frame in _frames(data):
        sender.receive(frame)
        sender.frames_to_send()


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("utf-8", "replace"))


def _json(*models: object) -> list[bytes]:
    return [one.model_dump_json().encode() for one in models]  # type: ignore[attr-defined]


TARGETS: Final = [
    Target(
        "broker",
        messages.parse,
        _json(
            messages.KioskStatus(online=True, epoch="e", name="Mairie", town="Lons"),
            messages.Claim(call="c", agent="a", name="Léa"),
            messages.Offer(call="c", sdp="v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"),
            messages.Answer(call="c", leg=1, sdp="v=0\r\n"),
            messages.Bye(call="c", reason=EndReason.HANG_UP),
        ),
    ),
    Target(
        "control channel",
        _text(control.parse_from_agent),
        [
            *_json(
                control.Heartbeat(at=1.5, echo=None),
                control.Media(audio=True, video=False),
                control.ScanCancel(request="r"),
                control.PrintCancel(document="d"),
                control.HangUp(),
            ),
            b'{"type":"scan-request","request":"r","source":"auto","mode":"colour","dpi":150}',
        ],
    ),
    Target(
        "documents to the kiosk",
        _receive,
        [
            _BREAK.join(
                [
                    *_json(_DOCUMENT),
                    _CHUNK,
                    *_json(frames.Cancel(id="d1", reason=DocumentFault.CANCELLED)),
                ]
            )
        ],
        refuses=(),
    ),
    Target(
        "documents to the agent",
        _answered,
        [
            _BREAK.join(
                _json(
                    frames.Accept(id="d1", offset=0),
                    frames.Ack(id="d1", received=9),
                    frames.Done(id="d1"),
                )
            ),
            _BREAK.join(_json(frames.Refuse(id="d1", reason=DocumentFault.BUSY))),
        ],
        refuses=(),
    ),
    Target(
        "screen",
        _text(parse_action),
        [
            b'{"action":"choose","service":"caf"}',
            b'{"action":"media","audio":true,"video":false}',
            b'{"action":"volume","volume":0.5}',
            b'{"action":"scan-remove","page":1}',
            b'{"action":"hang-up"}',
        ],
    ),
]
