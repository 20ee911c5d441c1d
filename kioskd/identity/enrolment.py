"""A kiosk's way to its credential: it makes a key, asks, and gets what its operator signed."""

from __future__ import annotations

import json

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from kioskd.errors import IdentityError, PeerFault
from kioskd.identity.credential import Credential
from kioskd.identity.keys import public, public_key, thumbprint
from kioskd.identity.statement import SIGNED, header_of

_REQUEST = "visio-enrolment+jws"


def enrolment_request(kiosk: str, name: str, town: str, key: ECKey) -> str:
    """Return what a kiosk asks its operator: who it is, signed with the key it has made."""
    header = {"alg": SIGNED, "typ": _REQUEST, "jwk": public(key)}
    asked = json.dumps({"kiosk": kiosk, "name": name, "town": town})
    return jws.serialize_compact(header, asked, key, algorithms=[SIGNED])


def read_request(request: str) -> tuple[dict[str, str], str]:
    """Return who asks, and the thumbprint of its key. Raises IdentityError (UNTRUSTED)."""
    header = header_of(request)
    try:
        key = public_key(header.get("jwk"))
        found = json.loads(jws.deserialize_compact(request, key, algorithms=[SIGNED]).payload)
        asked = {one: str(found[one]) for one in ("kiosk", "name", "town")}
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise IdentityError(PeerFault.UNTRUSTED, str(error)[:200]) from error
    if header.get("typ") != _REQUEST:
        raise IdentityError(PeerFault.UNTRUSTED, "no request of a kiosk")
    return asked, thumbprint(key)


def check_credential(credential: str, kiosk: str, key: ECKey) -> Credential:
    """Check that a credential is this kiosk's and this key's; not who signed it: agents do.

    Raises IdentityError (UNTRUSTED, MISMATCH). One that has expired is let through: the
    clock may be wrong, and the agents' pages refuse it in words.
    """
    header_of(credential)
    try:
        found = Credential.model_validate_json(jws.extract_compact(credential.encode()).payload)
    except (JoseError, ValueError) as error:
        raise IdentityError(PeerFault.UNTRUSTED, str(error)[:200]) from error
    if found.sub != kiosk or found.cnf.jkt != thumbprint(key):
        raise IdentityError(PeerFault.MISMATCH, "the credential is not of this kiosk and its key")
    return found
