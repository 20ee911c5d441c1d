"""An authority of one's own: the operator's for kiosks, an organisation's for agents.

Its folder holds `private.json` (its keys, the last of which signs), `keys.json`, the JWKS that
the others get, and `revoked.json`, the keys that it has certified and takes back. An
organisation with an OpenID Connect provider needs none of this: docs/security-identity.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from joserfc import jws
from joserfc.jwk import ECKey, KeySet

from kioskd.identity.credential import AUDIENCE
from kioskd.identity.keys import (
    CURVE,
    is_thumbprint,
    make_key,
    public,
    read_revoked,
    thumbprint,
    write_private,
)
from kioskd.identity.statement import SIGNED

PRIVATE: Final = "private.json"
PUBLIC: Final = "keys.json"
REVOKED: Final = "revoked.json"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs credentials as `issuer`, with the last of its keys."""

    issuer: str
    keys: tuple[ECKey, ...]

    @classmethod
    def make(cls, issuer: str) -> Issuer:
        """Make an authority with a fresh key."""
        return cls(issuer, (_named_key(),))

    @classmethod
    def load(cls, folder: Path) -> Issuer:
        """Read an authority. Raises OSError, ValueError or KeyError."""
        kept = json.loads((folder / PRIVATE).read_text("utf-8"))
        return cls(kept["issuer"], tuple(ECKey.import_key(one) for one in kept["keys"]))

    def save(self, folder: Path) -> None:
        """Keep the authority in `folder`, its private file readable by its owner only."""
        folder.mkdir(parents=True, exist_ok=True)
        keys = [one.as_dict(private=True) for one in self.keys]
        kept = json.dumps({"issuer": self.issuer, "keys": keys}, indent=2)
        write_private(folder / PRIVATE, kept.encode())
        (folder / PUBLIC).write_text(json.dumps(self.public(), indent=2), "utf-8")

    def rotated(self) -> Issuer:
        """Return the authority with one more key, which signs from now on."""
        return Issuer(self.issuer, (*self.keys, _named_key()))

    def retired(self) -> Issuer:
        """Return the authority with its newest key only."""
        return Issuer(self.issuer, self.keys[-1:])

    def public(self) -> dict[str, Any]:
        """Return the JWKS that whoever trusts this authority needs."""
        return {"keys": [{**public(one), "kid": one.kid, "use": "sig"} for one in self.keys]}

    def key_set(self) -> KeySet:
        """Return the public keys."""
        return KeySet.import_key_set(self.public())  # type: ignore[arg-type]

    def issue(self, sub: str, jkt: str, *, now: float, lifetime_s: float, **more: object) -> str:
        """Return a credential for the key with thumbprint `jkt`, good from `now` on."""
        key = self.keys[-1]
        claims = {
            "iss": self.issuer,
            "sub": sub,
            "aud": AUDIENCE,
            "iat": int(now),
            "exp": int(now + lifetime_s),
            "cnf": {"jkt": jkt},
            **more,
        }
        header = {"alg": SIGNED, "typ": "JWT", "kid": key.kid}
        return jws.serialize_compact(header, json.dumps(claims), key, algorithms=[SIGNED])


def revoke(folder: Path, jkt: str) -> Path:
    """Add a key, by thumbprint, to the authority's list; return where that is.

    Raises OSError, ValueError. Nothing is ever taken off it: a key that is good again is a new one.
    """
    if not is_thumbprint(jkt):
        raise ValueError(f"no thumbprint: {jkt!r}")
    if not (folder / PRIVATE).exists():
        raise ValueError(f"{folder} has no authority")
    file = folder / REVOKED
    known = read_revoked(file.read_bytes()) if file.exists() else frozenset[str]()
    fresh = file.with_name(f"{REVOKED}.new")
    fresh.write_text(json.dumps({"revoked": sorted({*known, jkt})}, indent=2), "utf-8")
    fresh.replace(file)
    return file


def _named_key() -> ECKey:
    key = make_key()
    return ECKey.import_key({**key.as_dict(private=True), "kid": thumbprint(key), "crv": CURVE})
