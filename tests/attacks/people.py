"""Agents as their pages speak: a key, a token, signed claims and answers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import ECKey

from kioskd.identity import statement
from kioskd.identity.authority import Issuer
from kioskd.identity.keys import make_key, thumbprint
from kioskd.identity.statement import LIFETIME_S, AnswerStatement, ClaimStatement
from kioskd.signalling.messages import Answer, Claim, Offer, Waiting


@dataclass
class Agent:
    """An agent with a token of `issuer`, which tells the truth unless told otherwise."""

    issuer: Issuer
    id: str = "lea"
    services: tuple[str, ...] = ("caf",)
    token_age_s: float = 0.0
    key: ECKey = field(default_factory=make_key)
    token: str = ""

    def __post_init__(self) -> None:
        self.token = self.token or self.issuer.issue(
            f"pseudonym-{self.id}",
            thumbprint(self.key),
            now=time.time() - self.token_age_s,
            lifetime_s=3600,
            name="Léa",
            services=self.services,
        )

    def claim(self, entry: Waiting, **lies: Any) -> Claim:
        """Claim the call that waits."""
        now = time.time()
        said: dict[str, Any] = {
            "call": entry.call,
            "kiosk": entry.kiosk,
            "agent": self.id,
            "service": entry.service,
            "epoch": entry.epoch,
            "name": "Léa",
            "iat": now,
            "exp": now + LIFETIME_S,
        }
        proof = statement.sign(ClaimStatement(**said | lies), self.key)
        return Claim(call=entry.call, agent=self.id, name="Léa", token=self.token, proof=proof)

    def answer(self, entry: Waiting, offer: Offer, sdp: str, /, **lies: Any) -> Answer:
        """Answer an offer with `sdp`."""
        now = time.time()
        said: dict[str, Any] = {
            "call": offer.call,
            "kiosk": entry.kiosk,
            "agent": self.id,
            "service": entry.service,
            "leg": offer.leg,
            "offer": statement.digest(offer.proof),
            "fingerprints": statement.fingerprints(sdp),
            "sdp": statement.digest(sdp),
            "iat": now,
            "exp": now + LIFETIME_S,
        }
        proof = statement.sign(AnswerStatement(**said | lies), self.key)
        return Answer(call=offer.call, leg=offer.leg, sdp=sdp, proof=proof)
