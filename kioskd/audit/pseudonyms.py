"""Pseudonyms: the log tells whether two lines are of the same visit or agent, not whose.

A keyed hash (HMAC-SHA256, RFC 2104) whose key never leaves the kiosk: who has the log alone
cannot try all agents' ids. Who has the key can tell whether a given id is meant
(`kioskctl audit pseudonym`).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

FILE: Final = "pseudonyms.key"
KEY_BYTES: Final = 32
DIGITS: Final = 16


class Pseudonyms:
    """Makes pseudonyms of ids; the same id has the same one on this kiosk."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, identifier: str) -> str:
        """Return the pseudonym of an id; "" of ""."""
        if not identifier:
            return ""
        return hmac.new(self._key, identifier.encode(), hashlib.sha256).hexdigest()[:DIGITS]


def load(folder: Path) -> Pseudonyms | None:
    """Return the kiosk's pseudonyms, None where it has none yet. Raises OSError."""
    try:
        key = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return None
    return Pseudonyms(key) if len(key) == KEY_BYTES else None


def load_or_make(folder: Path) -> Pseudonyms:
    """Return the kiosk's pseudonyms, made at the first start.

    Where the disk does not keep them they are of this start only.
    """
    key = secrets.token_bytes(KEY_BYTES)
    try:
        known = load(folder)
        if known is not None:
            return known
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = folder / f"{FILE}.new"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(key)
            target.flush()
            os.fsync(target.fileno())
        new.replace(folder / FILE)
    except OSError as error:
        log.warning("audit.no_pseudonym_key", error=str(error))
    return Pseudonyms(key)
