"""The hash chain, without I/O: what a line looks like, and what is wrong with a file of them.

A line is canonical JSON: UTF-8, keys sorted, no spaces, as in RFC 8785, whose rules for
fractions are not needed as there are none. Its `hash` is the SHA-256 over the previous line's
hash and the canonical JSON of the line without `prev` and `hash`; `seq` counts up by one over
all files.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from kioskd.audit.events import ANY_EVENT, AuditEvent

GENESIS: Final = "0" * 64
"""What stands before the first line of all."""
_ENVELOPE: Final = ("seq", "time", "prev", "hash")
_TIME: Final = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain stands: number and hash of its last line."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read and is what it should be."""

    seq: int
    time: str
    prev: str
    hash: str
    event: AuditEvent


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a line of a file, both counted from 1."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def utc(moment: datetime) -> str:
    """Return a moment, which must be in UTC, as it stands in the log: milliseconds and Z."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def canonical(data: dict[str, Any]) -> bytes:
    """Return JSON that is the same for the same data."""
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def link(head: Head, time: str, event: AuditEvent) -> tuple[bytes, Head]:
    """Return the line of `event`, with its end, and the chain's new head."""
    record = {**event.model_dump(mode="json"), "seq": head.seq + 1, "time": time}
    digest = hashlib.sha256(head.hash.encode() + canonical(record)).hexdigest()
    line = canonical({**record, "prev": head.hash, "hash": digest}) + b"\n"
    return line, Head(head.seq + 1, digest)


def read(line: bytes) -> Line:
    """Read a line without its end. Raises ValueError where it is none, or its hash is wrong."""
    try:
        record = json.loads(line)
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise ValueError("is no JSON") from None
    if not isinstance(record, dict) or canonical(record) != line:
        raise ValueError("is not canonical")
    if not _is_envelope(record):
        raise ValueError("lacks a number, a time or a hash")
    hashed = {key: value for key, value in record.items() if key not in ("prev", "hash")}
    if hashlib.sha256(record["prev"].encode() + canonical(hashed)).hexdigest() != record["hash"]:
        raise ValueError("was changed: its hash is another")
    fields = {key: value for key, value in record.items() if key not in _ENVELOPE}
    try:
        event = ANY_EVENT.validate_python(fields)
    except ValidationError:
        raise ValueError(f"has an unknown type or field: {fields.get('type')!r}") from None
    return Line(record["seq"], record["time"], record["prev"], record["hash"], event)


def _is_envelope(record: dict[str, Any]) -> bool:
    texts = all(isinstance(record.get(key), str) for key in ("time", "prev", "hash"))
    number = isinstance(record.get("seq"), int) and not isinstance(record["seq"], bool)
    return texts and number and _TIME.match(record["time"]) is not None
