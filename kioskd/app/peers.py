"""Only verified peers: looks at claims and answers before anything else does, and signs offers.

A claim leads to an offer, and an answer to the connection, when its proof is right; until
then no packet leaves for the agent. docs/protocol.md, Proofs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from kioskd.app.identity import Identity
from kioskd.errors import IdentityError, PeerFault
from kioskd.identity import credential, statement
from kioskd.identity.statement import (
    LIFETIME_S,
    AnswerStatement,
    ClaimStatement,
    OfferStatement,
)
from kioskd.settings import KioskSettings
from kioskd.signalling.messages import Answer, Bye, Claim, Offer, RefusalReason, Refused
from kioskd.visit import events as ev
from kioskd.visit.events import Event
from kioskd.visit.state import Visit

log = structlog.get_logger(__name__)

SILENT: Final = frozenset({PeerFault.REPLAYED})
"""Not answered: the true agent, whose words are repeated, would take it for its own refusal."""

TOLD: Final = 20
"""How many refusals of a call are answered, logged and told to `on_refused`; the rest of a flood
is counted, lest it push the offer out of the outbox and everything else out of the logs."""


class Tell(Protocol):
    """Says something to an agent of a service."""

    def __call__(self, service: str, agent: str, message: Offer | Refused | Bye) -> None:
        """Send `message`."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """A verified agent: `subject` is its organisation's pseudonym, `jkt` its key.

    `claim` is the digest of the proof by which it claimed.
    """

    subject: str
    name: str
    organisation: str
    jkt: str
    claim: str


class Peers:
    """Verifies agents for one kiosk; without an `identity` everybody is taken as they say.

    `clock_doubted` is True from a refusal for the clock's sake until an agent is verified.
    `on_refused(fault, service, agent, detail)` is called for each refusal, TOLD times in a call.
    `clock` is Unix time, as what is signed is dated by; how long ago something was is
    measured by `monotonic`, so that a clock which is set right in mid-visit is right at once.
    """

    def __init__(
        self,
        kiosk: KioskSettings,
        identity: Identity | None,
        *,
        epoch: str,
        post: Callable[[Event], None],
        tell: Tell,
        visit: Callable[[], Visit],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.refused = 0
        self.clock_doubted = False
        self.bearer: Bearer | None = None
        """The agent who has, or was the last to have, this visit's call."""
        self.on_refused: Callable[[PeerFault, str, str, str], None] = lambda *_: None
        self.clock = clock
        self.monotonic = monotonic
        self._kiosk = kiosk
        self._identity = identity
        self._epoch = epoch
        self._post = post
        self._tell = tell
        self._visit = visit
        self._call = ""
        self._begun = self._offered = 0.0
        self._used: set[str] = set()
        self._leg = -1
        self._refusals = 0
        self._offer: OfferStatement | None = None
        self._offer_digest = ""

    @property
    def unsigned(self) -> bool:
        """True when nobody is verified."""
        return self._identity is None

    def begin(self, call: str) -> None:
        """A call joins the line; its id is known to others from now on."""
        if call == self._call:
            return
        self._call, self._begun, self._leg = call, self.monotonic(), -1
        self._used.clear()
        self._refusals = 0
        self.bearer = self._offer = None

    def forget(self) -> None:
        """The visit is wiped: know nobody any more."""
        self._call = ""
        self.bearer = self._offer = None

    def on_claim(self, service: str, claim: Claim) -> None:
        """Take a claim: post it, or refuse it."""
        visit = self._visit()
        if claim.call != visit.call or self._identity is None:
            self._post(ev.Claimed(claim.call, claim.agent, claim.name))
            return
        try:
            bearer = self._verify_claim(self._identity, service, claim)
        except IdentityError as error:
            if self._refuse(error, service, claim.agent) and error.fault not in SILENT:
                reason = RefusalReason.NOT_VERIFIED
                refused = Refused(call=claim.call, reason=reason, fault=error.fault)
                self._tell(service, claim.agent, refused)
            if visit.agent is None and visit.refused is not error.fault:
                self._post(ev.PeerRefused(claim.call, error.fault))
            return
        self.clock_doubted = False
        if visit.agent is None:
            self.bearer = bearer
        self._post(ev.Claimed(claim.call, claim.agent, bearer.name, bearer.organisation))

    def offer(self, service: str, call: str, agent: str, sdp: str) -> Offer:
        """Return the offer for the agent who claimed, signed."""
        self._leg += 1
        identity, bearer = self._identity, self.bearer
        if identity is None or bearer is None:
            return Offer(call=call, leg=self._leg, sdp=sdp)
        now, self._offered = self.clock(), self.monotonic()
        self._offer = OfferStatement(
            call=call,
            kiosk=self._kiosk.id,
            agent=agent,
            service=service,
            iat=now,
            exp=now + LIFETIME_S,
            leg=self._leg,
            fingerprints=statement.fingerprints(sdp),
            sdp=statement.digest(sdp),
            to=bearer.jkt,
            claim=bearer.claim,
        )
        proof = statement.sign(self._offer, identity.key)
        self._offer_digest = statement.digest(proof)
        return Offer(call=call, leg=self._leg, sdp=sdp, token=identity.credential, proof=proof)

    def accepts(self, answer: Answer) -> bool:
        """Tell whether an answer may be used; a wrong one ends the attempt with a reason."""
        if self._identity is None:
            return True
        offer, bearer = self._offer, self.bearer
        if offer is None or bearer is None or answer.leg != offer.leg:
            return False  # late, or before the offer: of another attempt
        try:
            self._verify_answer(offer, bearer, answer)
        except IdentityError as error:
            self._refuse(error, offer.service, offer.agent)
            self._post(ev.PeerRefused(answer.call, error.fault))
            return False
        self._offer = None  # answered once
        return True

    def _verify_claim(self, identity: Identity, service: str, claim: Claim) -> Bearer:
        # An issuer may speak for several organisations: that of this service is looked at first.
        trusted = sorted(identity.authorities(), key=lambda one: service not in one.services)
        token, authority = credential.verify(claim.token, trusted)
        heard = statement.read(ClaimStatement, claim.proof)
        said, now = heard.statement, self.clock()
        if heard.jkt != token.cnf.jkt:
            raise IdentityError(PeerFault.MISMATCH, "another key than the token's")
        statement.check_subject(
            said,
            call=claim.call,
            kiosk=self._kiosk.id,
            agent=claim.agent,
            service=service,
            epoch=self._epoch,
        )
        if said.jti in self._used:
            raise IdentityError(PeerFault.REPLAYED)
        statement.check_time(said, since=now - (self.monotonic() - self._begun), now=now)
        credential.check_time(token, now=now)
        wanted = self._visit().service
        if wanted != service or service not in authority.services:
            raise IdentityError(PeerFault.WRONG_SERVICE, f"{authority.name} for {service}")
        if service not in token.services:
            raise IdentityError(PeerFault.WRONG_SERVICE, f"this agent for {service}")
        self._used.add(said.jti)
        return Bearer(
            token.sub,
            token.name or said.name,
            authority.name,
            heard.jkt,
            statement.digest(claim.proof),
        )

    def _verify_answer(self, offer: OfferStatement, bearer: Bearer, answer: Answer) -> None:
        heard = statement.read(AnswerStatement, answer.proof)
        said = heard.statement
        if heard.jkt != bearer.jkt:
            raise IdentityError(PeerFault.MISMATCH, "another key than the claim's")
        statement.check_subject(
            said,
            call=offer.call,
            kiosk=offer.kiosk,
            agent=offer.agent,
            service=offer.service,
            leg=offer.leg,
            offer=self._offer_digest,
        )
        now = self.clock()
        statement.check_time(said, since=now - (self.monotonic() - self._offered), now=now)
        statement.check_description(said, answer.sdp)

    def _refuse(self, error: IdentityError, service: str, agent: str) -> bool:
        """Count a refusal; return whether it is one of the first of this call, and told."""
        self.refused += 1
        self._refusals += 1
        self.clock_doubted = self.clock_doubted or error.fault is PeerFault.CLOCK
        if self._refusals > TOLD:
            return False
        log.warning("peer.refused", fault=error.fault.value, detail=error.detail, service=service)
        self.on_refused(error.fault, service, agent, error.detail)
        return True
