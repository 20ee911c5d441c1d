"""Whose key it is: a JWT of an authority with the key's thumbprint (RFC 7519, RFC 7800).

An agent's credential is its organisation's token and names the services it may serve; a
kiosk's is the operator's and names the kiosk and its town. Both bind by `cnf.jkt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ConfigDict, Field

from kioskd.errors import IdentityError, PeerFault
from kioskd.identity.statement import SKEW_S, Id, header_of
from kioskd.runtime.others import FORGETFUL

AUDIENCE: Final = "visioservices"
ALGORITHMS: Final = ("ES256", "ES384", "PS256", "RS256", "EdDSA")
"""What authorities may sign with: asymmetric only, so that no public key serves as a secret."""
Text = Annotated[str, Field(max_length=200)]


class _Confirmation(BaseModel):
    jkt: Annotated[str, Field(min_length=43, max_length=43)]


class Credential(BaseModel):
    """The claims that are read; a provider may add others."""

    model_config = ConfigDict(frozen=True, extra="ignore", **FORGETFUL)
    iss: str
    sub: Annotated[str, Field(min_length=1, max_length=200)]
    aud: str | list[str]
    iat: float
    exp: float
    cnf: _Confirmation
    name: Text = ""
    town: Text = ""
    services: tuple[Id, ...] = ()


@dataclass(frozen=True, slots=True)
class Authority:
    """An issuer that is trusted: its public keys, and for which services it speaks.

    Several keys may be good at once, which is how one is replaced by another. `revoked` are the
    thumbprints of keys that it has certified and takes back.
    """

    name: str
    issuer: str
    keys: KeySet
    audience: str = AUDIENCE
    services: tuple[str, ...] = ()
    revoked: frozenset[str] = frozenset()


def verify(token: str, authorities: Sequence[Authority]) -> tuple[Credential, Authority]:
    """Check whose credential it is. Its times are left to `check_time`.

    Raises IdentityError: UNSIGNED when it is missing, or signed by nobody or in a way that
    proves nothing; UNTRUSTED when no authority of ours made it, or took it back.
    """
    header = header_of(token)
    if header.get("alg") not in ALGORITHMS:
        raise IdentityError(PeerFault.UNSIGNED, f"algorithm {header.get('alg')}")
    if not isinstance(header.get("kid"), str):
        raise IdentityError(PeerFault.UNTRUSTED, "no key named")
    try:
        claimed = Credential.model_validate_json(jws.extract_compact(token.encode()).payload)
    except (JoseError, ValueError) as error:
        raise IdentityError(PeerFault.UNTRUSTED, str(error)[:200]) from error
    authority = next((one for one in authorities if one.issuer == claimed.iss), None)
    if authority is None:
        raise IdentityError(PeerFault.UNTRUSTED, f"issuer {claimed.iss[:100]}")
    try:
        jws.deserialize_compact(token, authority.keys, algorithms=list(ALGORITHMS))
    except (JoseError, ValueError) as error:
        raise IdentityError(PeerFault.UNTRUSTED, str(error)[:200]) from error
    audience = [claimed.aud] if isinstance(claimed.aud, str) else claimed.aud
    if authority.audience not in audience:
        raise IdentityError(PeerFault.UNTRUSTED, "made for another audience")
    if claimed.cnf.jkt in authority.revoked:
        raise IdentityError(PeerFault.UNTRUSTED, f"revoked: key {claimed.cnf.jkt}")
    return claimed, authority


def check_time(credential: Credential, *, now: float) -> None:
    """Check that a credential is good now.

    Raises IdentityError: CLOCK when the authority's past is our future, EXPIRED.
    """
    if credential.iat > now + SKEW_S:
        raise IdentityError(PeerFault.CLOCK, f"issued {credential.iat - now:.0f} s from now")
    if credential.exp <= now:
        raise IdentityError(PeerFault.EXPIRED, f"{now - credential.exp:.0f} s ago")
