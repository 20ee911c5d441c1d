"""The frames of a documents channel, as docs/protocol.md has them, and what they mean here.

Text frames are JSON messages, binary frames are chunks: an offset and data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from kioskd.errors import DocumentFault
from kioskd.runtime.others import FORGETFUL

OFFSET_BYTES: Final = 8
CHUNK_BYTES: Final = 64 * 1024 - OFFSET_BYTES
"""Data in a chunk at the most; with its offset 64 KiB, which every SCTP stack carries."""
TEXT_LIMIT: Final = 16 * 1024
"""Characters of a text frame at the most; longer ones are not even parsed."""

Frame: TypeAlias = str | bytes
DocumentId: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]
ByteCount: TypeAlias = Annotated[int, Field(ge=0, le=2**53)]


class _Message(BaseModel):
    # Unknown fields are ignored, so that a newer peer can say more.
    model_config = ConfigDict(frozen=True, strict=True, cache_strings="keys")

    id: DocumentId


class Document(_Message):
    """The header of a document. `size` is in bytes, `sha256` in lower-case hex."""

    type: Literal["document"] = "document"
    name: Annotated[str, Field(max_length=200)]
    media_type: Annotated[str, Field(min_length=1, max_length=100)]
    size: ByteCount
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    pages: Annotated[int, Field(ge=1)] | None = None
    request: Annotated[str, Field(max_length=64)] | None = None


class Accept(_Message):
    """The receiver wants the bytes from `offset` on."""

    type: Literal["accept"] = "accept"
    offset: ByteCount


class Refuse(_Message):
    """The receiver does not take the document."""

    type: Literal["refuse"] = "refuse"
    reason: DocumentFault


class Ack(_Message):
    """The receiver has `received` bytes in order."""

    type: Literal["ack"] = "ack"
    received: ByteCount


class Done(_Message):
    """The receiver has the whole document, and its checksum is right."""

    type: Literal["done"] = "done"


class Cancel(_Message):
    """One side gives the document up."""

    type: Literal["cancel"] = "cancel"
    reason: DocumentFault


class _Header(_Message):
    """Just enough of a malformed `document` to name it in the refusal."""

    type: Literal["document"]


FromSender: TypeAlias = Document | Cancel
FromReceiver: TypeAlias = Accept | Refuse | Ack | Done | Cancel
Message: TypeAlias = Document | Accept | Refuse | Ack | Done | Cancel
_FROM_SENDER: Final[TypeAdapter[FromSender]] = TypeAdapter(
    Annotated[FromSender, Field(discriminator="type")], config=FORGETFUL
)
_FROM_RECEIVER: Final[TypeAdapter[FromReceiver]] = TypeAdapter(
    Annotated[FromReceiver, Field(discriminator="type")], config=FORGETFUL
)


def parse_from_sender(frame: str) -> FromSender | None:
    """Read a text frame of a sender; None for what is none."""
    if len(frame) > TEXT_LIMIT:
        return None
    try:
        return _FROM_SENDER.validate_json(frame)
    except ValueError:  # pydantic's ValidationError, and text that is not Unicode
        return None


def parse_from_receiver(frame: str) -> FromReceiver | None:
    """Read a text frame of a receiver; None for what is none."""
    if len(frame) > TEXT_LIMIT:
        return None
    try:
        return _FROM_RECEIVER.validate_json(frame)
    except ValueError:
        return None


def malformed_document_id(frame: str) -> str | None:
    """Return the id in a `document` frame whose other fields cannot be read, if it has one."""
    if len(frame) > TEXT_LIMIT:
        return None
    try:
        return _Header.model_validate_json(frame).id
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Started:
    """Receiver: a document comes in, or goes on after a lost leg."""

    document: Document


@dataclass(frozen=True, slots=True)
class Progress:
    """Both: `done` of `size` bytes have arrived at the receiver."""

    id: str
    done: int
    size: int


@dataclass(frozen=True, slots=True)
class Received:
    """Receiver: the document is whole in its sink. Told once per document."""

    document: Document


@dataclass(frozen=True, slots=True)
class Delivered:
    """Sender: the receiver has the document, whole. Told once per document."""

    id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Receiver: a document was refused before any byte of it."""

    id: str
    reason: DocumentFault


@dataclass(frozen=True, slots=True)
class Failed:
    """Both: the document under way is lost, whichever side gave it up."""

    id: str
    reason: DocumentFault


Event: TypeAlias = Started | Progress | Received | Delivered | Refused | Failed
