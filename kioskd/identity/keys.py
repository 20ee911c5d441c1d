"""A peer's own key: EC P-256, for ES256 (RFC 7518, 3.4)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet
from pydantic import BaseModel, Field

CURVE: Final = "P-256"
_PUBLIC: Final = ("kty", "crv", "x", "y")
_PRIVATE: Final = 0o600
_THUMBPRINT: Final = r"^[A-Za-z0-9_-]{43}$"


class _Revoked(BaseModel):
    revoked: frozenset[Annotated[str, Field(pattern=_THUMBPRINT)]]


def make_key() -> ECKey:
    """Make a key of one's own."""
    return ECKey.generate_key(CURVE, private=True)


def public(key: ECKey) -> dict[str, Any]:
    """Return the public part as a JWK (RFC 7517), without anything optional."""
    whole = key.as_dict(private=False)
    return {name: whole[name] for name in _PUBLIC}


def public_key(jwk: object) -> ECKey:
    """Read the public JWK of another. Raises ValueError when it is no P-256 point."""
    if not isinstance(jwk, dict) or jwk.get("kty") != "EC" or jwk.get("crv") != CURVE:
        raise ValueError("no key of curve P-256")
    try:
        key = ECKey.import_key({name: jwk[name] for name in _PUBLIC})
        key.get_op_key("verify")  # joserfc reads the numbers only when they are used
    except (KeyError, TypeError, ValueError, JoseError) as error:
        raise ValueError(f"no key of curve P-256: {error}") from error
    return key


def thumbprint(key: ECKey) -> str:
    """Return the key's name: its RFC 7638 thumbprint, SHA-256 in base64url."""
    return key.thumbprint()


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read; an old one is replaced at once."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as target:
        target.write(data)
        target.flush()
        os.fsync(target.fileno())
    fresh.replace(path)


def save_key(path: Path, key: ECKey) -> None:
    """Keep a key as PEM, readable by its owner only."""
    write_private(path, key.as_pem(private=True))


def load_key(path: Path) -> ECKey:
    """Read a key. Raises OSError, or ValueError when it is none or others may read it.

    A group may: where systemd hands out a credential, its mode shows the mask of an ACL.
    """
    if path.stat().st_mode & 0o037:
        raise ValueError(f"{path} can be read by others: chmod 600")
    try:
        key = ECKey.import_key(path.read_bytes())
    except (ValueError, JoseError) as error:
        raise ValueError(f"{path}: no EC key") from error
    if not key.is_private or key.curve_name != CURVE:
        raise ValueError(f"{path}: no private key of curve {CURVE}")
    return key


def read_keys(data: bytes) -> KeySet:
    """Read a JWKS (RFC 7517, 5). Raises ValueError."""
    try:
        keys = KeySet.import_key_set(json.loads(data))
    except (KeyError, TypeError, AttributeError, ValueError, JoseError) as error:
        raise ValueError(f"no set of keys: {error}") from error
    if not keys.keys:
        raise ValueError("no key in the set")
    return keys


def read_revoked(data: bytes) -> frozenset[str]:
    """Read a list of keys that are good no more, by thumbprint. Raises ValueError."""
    try:
        return _Revoked.model_validate_json(data).revoked
    except ValueError as error:
        raise ValueError(f"no list of revoked keys: {error}") from error


def is_thumbprint(text: str) -> bool:
    """Tell whether a text is what `thumbprint` returns, by its form."""
    return re.fullmatch(_THUMBPRINT, text) is not None
