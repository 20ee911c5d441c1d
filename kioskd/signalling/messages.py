"""The messages that pass through the broker: pydantic models, JSON in UTF-8.

Every message has a version `v`, its `type`, and an `id` by which duplicates are dropped
(MQTT's QoS 1 may deliver twice). Unknown fields are ignored, so that a newer peer can
add some; an unknown version or type makes the message invalid.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from kioskd.errors import PeerFault
from kioskd.runtime.others import FORGETFUL
from kioskd.visit.words import EndReason

SIZE_LIMIT: Final = 64 * 1024
"""Bytes of the largest message taken; an SDP with many candidates has 8 KiB."""


SIGNED_LIMIT: Final = 16 * 1024
"""Characters of the longest token or proof taken; an OpenID Connect token has 2,000."""


def new_id() -> str:
    """Return 96 random bits, enough that no two messages or calls ever share an id."""
    return secrets.token_urlsafe(12)


Signed = Annotated[str, Field(max_length=SIGNED_LIMIT)]
TopicId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Text = Annotated[str, Field(max_length=200)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    v: Literal[1] = 1
    id: TopicId = Field(default_factory=new_id)


class RefusalReason(StrEnum):
    """Why a claim was refused."""

    TAKEN = "taken"
    GONE = "gone"
    NOT_VERIFIED = "not-verified"


class Unavailable(StrEnum):
    """Why a kiosk that is online takes no calls."""

    MAINTENANCE = "maintenance"


class KioskStatus(_Message):
    """Retained on `status`. `epoch` is new at each start of the daemon; `audit` is the head of
    the kiosk's audit log, a SHA-256, for the operator to keep (docs/audit.md). `unavailable`
    tells agents why nobody will call from there.
    """

    type: Literal["status"] = "status"
    online: bool
    epoch: TopicId
    name: Text = ""
    town: Text = ""
    unavailable: Unavailable | None = None
    audit: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""


class Waiting(_Message):
    """Retained on `wait` while a resident waits. It counts only while the kiosk's status is
    online with the same `epoch`. `since` is Unix time in seconds; `language` is BCP 47.
    """

    type: Literal["waiting"] = "waiting"
    epoch: TopicId
    call: TopicId
    kiosk: TopicId
    name: Text
    town: Text
    service: TopicId
    language: Annotated[str, Field(max_length=35)] = "fr"
    since: float


class AgentStatus(_Message):
    """Retained on `agent`."""

    type: Literal["agent"] = "agent"
    online: bool
    name: Text = ""


class Claim(_Message):
    """An agent wants the call that waits.

    `token` is its organisation's, `proof` a ClaimStatement: docs/protocol.md, Proofs.
    """

    type: Literal["claim"] = "claim"
    call: TopicId
    agent: TopicId
    name: Text
    token: Signed = ""
    proof: Signed = ""


class Refused(_Message):
    """The claim came too late, or the agent has not proved who it is (`fault`).

    `taken_by` is the name of the agent who has the call.
    """

    type: Literal["refused"] = "refused"
    call: TopicId
    reason: RefusalReason
    taken_by: Text = ""
    fault: PeerFault | None = None


class Offer(_Message):
    """The claim won; here is the kiosk's SDP with all its candidates.

    `token` is the operator's for this kiosk, `proof` an OfferStatement.
    """

    type: Literal["offer"] = "offer"
    call: TopicId
    leg: Annotated[int, Field(ge=0)] = 0
    sdp: Annotated[str, Field(max_length=SIZE_LIMIT)]
    token: Signed = ""
    proof: Signed = ""


class Answer(_Message):
    """The agent's SDP with all its candidates, for the offer of the same leg.

    `proof` is an AnswerStatement, by the key that signed the claim.
    """

    type: Literal["answer"] = "answer"
    call: TopicId
    leg: Annotated[int, Field(ge=0)] = 0
    sdp: Annotated[str, Field(max_length=SIZE_LIMIT)]
    proof: Signed = ""


class Bye(_Message):
    """The call is over, for both sides; also said on the control channel."""

    type: Literal["bye"] = "bye"
    call: TopicId
    reason: EndReason
    fault: PeerFault | None = None


ToKiosk = Annotated[Claim | Answer | Bye, Field(discriminator="type")]
ToAgent = Annotated[Offer | Refused | Bye, Field(discriminator="type")]
AnyMessage = Annotated[
    KioskStatus | Waiting | AgentStatus | Claim | Refused | Offer | Answer | Bye,
    Field(discriminator="type"),
]
Signal = KioskStatus | Waiting | AgentStatus | Claim | Refused | Offer | Answer | Bye

_ANY: TypeAdapter[Signal] = TypeAdapter(AnyMessage, config=FORGETFUL)


def parse(payload: bytes) -> Signal:
    """Read a message. Raises ValueError (pydantic's) when it is none of ours."""
    if len(payload) > SIZE_LIMIT:
        raise ValueError(f"message of {len(payload)} bytes")
    return _ANY.validate_json(payload)
