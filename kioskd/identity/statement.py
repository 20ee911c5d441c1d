"""What peers sign about a call: compact JWS (RFC 7515) with ES256 and the signer's own key.

A statement proves that the holder of a key said this about this call; a credential
(`kioskd.identity.credential`) says whose key that is. The signature covers all that a
broker could swap: who talks to whom, in which call and leg, about which service, and the
SDP with every DTLS fingerprint in it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from pydantic import BaseModel, ConfigDict, Field

from kioskd.errors import IdentityError, PeerFault
from kioskd.identity.keys import public, public_key, thumbprint
from kioskd.runtime.others import FORGETFUL

LIFETIME_S: Final = 60.0
"""How long a statement is good for; offer and answer follow each other within 10 s."""
SKEW_S: Final = 120.0
"""How far apart the clocks of two peers may be before it is called a wrong clock."""
SIGNED: Final = "ES256"
_FINGERPRINT: Final = re.compile(r"^a=fingerprint:(\S+)[ \t]+(\S+)[ \t]*$", re.MULTILINE)
_ID: Final = r"^[A-Za-z0-9_.-]{1,64}$"

Id = Annotated[str, Field(pattern=_ID)]


class _Statement(BaseModel):
    """`iat` and `exp` are Unix seconds, `jti` is unique (RFC 7519, 4.1)."""

    model_config = ConfigDict(frozen=True, extra="forbid", **FORGETFUL)
    v: Literal[1] = 1
    call: Id
    kiosk: Id
    agent: Id
    service: Id
    iat: float
    exp: float
    jti: Id = Field(default_factory=lambda: secrets.token_urlsafe(12))


class ClaimStatement(_Statement):
    """An agent wants the call; `epoch` is the life of the kiosk it has read of."""

    epoch: Id
    name: Annotated[str, Field(max_length=200)]


class _Description(_Statement):
    leg: Annotated[int, Field(ge=0)]
    fingerprints: tuple[str, ...]
    sdp: str


class OfferStatement(_Description):
    """The kiosk offers this SDP to the agent whose claim's proof has the digest `claim`.

    `to` is the thumbprint of that agent's key.
    """

    to: str
    claim: str


class AnswerStatement(_Description):
    """The agent answers the offer whose proof has the digest `offer`."""

    offer: str


Statement = ClaimStatement | OfferStatement | AnswerStatement
S = TypeVar("S", bound=_Statement)
_TYPES: Final[dict[type[_Statement], str]] = {
    ClaimStatement: "visio-claim+jws",
    OfferStatement: "visio-offer+jws",
    AnswerStatement: "visio-answer+jws",
}


def digest(text: str) -> str:
    """Return the SHA-256 of a text in base64url, without padding."""
    raw = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def fingerprints(sdp: str) -> tuple[str, ...]:
    """Return every DTLS fingerprint of an SDP (RFC 8122), of session and media, normalised."""
    found = _FINGERPRINT.findall(sdp.replace("\r\n", "\n"))
    return tuple(sorted({f"{method.lower()} {value.upper()}" for method, value in found}))


def sign(statement: Statement, key: ECKey) -> str:
    """Return the statement signed."""
    header = {"alg": SIGNED, "typ": _TYPES[type(statement)], "jwk": public(key)}
    return jws.serialize_compact(header, statement.model_dump_json(), key, algorithms=[SIGNED])


@dataclass(frozen=True, slots=True)
class Heard(Generic[S]):
    """A statement whose signature is right, and the thumbprint of the key that made it."""

    statement: S
    jkt: str


def read(kind: type[S], proof: str) -> Heard[S]:
    """Check a statement's form and signature, by the key that it carries; whose, tells `jkt`.

    Raises IdentityError: UNSIGNED when it is missing or of another algorithm, kind or
    curve, UNTRUSTED when the signature is wrong.
    """
    header = header_of(proof)
    if header.get("alg") != SIGNED or header.get("typ") != _TYPES[kind]:
        raise IdentityError(PeerFault.UNSIGNED, f"{header.get('typ')}, {header.get('alg')}")
    try:
        key = public_key(header.get("jwk"))
    except ValueError as error:
        raise IdentityError(PeerFault.UNSIGNED, str(error)) from error
    try:
        payload = jws.deserialize_compact(proof, key, algorithms=[SIGNED]).payload
        return Heard(kind.model_validate_json(payload), thumbprint(key))
    except (JoseError, ValueError) as error:
        raise IdentityError(PeerFault.UNTRUSTED, _short(error)) from error


def header_of(token: str) -> dict[str, Any]:
    """Return the header of a compact JWS, not verified. Raises IdentityError (UNSIGNED)."""
    if not token:
        raise IdentityError(PeerFault.UNSIGNED)
    try:
        return dict(jws.extract_compact(token.encode()).headers())
    except (JoseError, ValueError) as error:
        raise IdentityError(PeerFault.UNSIGNED, _short(error)) from error


def check_time(statement: _Statement, *, since: float, now: float) -> None:
    """Check that a statement is neither early nor late.

    `since` is when, by our clock, its subject came to be: a call's id and an offer are
    random, so that nobody can have signed anything about them before. A statement that
    is older, or of the future, shows that one of the two clocks is wrong. Raises
    IdentityError (CLOCK, EXPIRED).
    """
    if statement.iat < since - SKEW_S or statement.iat > now + SKEW_S:
        raise IdentityError(PeerFault.CLOCK, f"signed {statement.iat - now:+.0f} s from now")
    if statement.exp - statement.iat > LIFETIME_S or now > statement.exp + SKEW_S:
        raise IdentityError(PeerFault.EXPIRED, f"{now - statement.exp:.0f} s ago")


def check_description(statement: OfferStatement | AnswerStatement, sdp: str) -> None:
    """Check that the SDP is the one that was signed. Raises IdentityError (MISMATCH)."""
    if statement.sdp != digest(sdp) or statement.fingerprints != fingerprints(sdp):
        raise IdentityError(PeerFault.MISMATCH, "another description")
    if not statement.fingerprints:
        raise IdentityError(PeerFault.MISMATCH, "no fingerprint")


def check_subject(statement: _Statement, **wanted: object) -> None:
    """Check that the statement's fields are those wanted. Raises IdentityError (MISMATCH)."""
    for name, value in wanted.items():
        if getattr(statement, name) != value:
            raise IdentityError(PeerFault.MISMATCH, f"another {name}")


def _short(error: Exception) -> str:
    return str(error)[:200]
