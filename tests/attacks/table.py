"""The attacks: each gets a stand and an eavesdropper, and returns how often it tried.

Those called `claim` want an offer, those called `answer` have seen a true agent's claim go
through and want the call. The attacker owns the broker: it reads, withholds, changes,
repeats and invents whatever it likes; what it has not got is somebody's key.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws

from kioskd.errors import PeerFault
from kioskd.signalling.messages import (
    Answer,
    Bye,
    Claim,
    Offer,
    RefusalReason,
    Refused,
    Waiting,
)
from kioskd.visit.words import EndReason, Scene
from tests.attacks.people import Agent
from tests.attacks.stand import Stand
from tests.attacks.wire import Eavesdropper

DAY_S: Final = 86_400.0
FLOOD: Final = 500

Run = Callable[[Stand, Eavesdropper], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to get at a resident, and the fault for which it is refused, if for one."""

    name: str
    fault: PeerFault | None
    run: Run


ATTACKS: Final[list[Attack]] = []


def attack(name: str, fault: PeerFault | None) -> Callable[[Run], Run]:
    """Put a function into the table."""

    def put(run: Run) -> Run:
        ATTACKS.append(Attack(name, fault, run))
        return run

    return put


def by_claim(name: str, fault: PeerFault) -> Callable[[Callable[[Stand, Waiting], Claim]], Run]:
    """Put an attack into the table that is one false claim."""

    def put(make: Callable[[Stand, Waiting], Claim]) -> Run:
        async def run(stand: Stand, _: Eavesdropper) -> int:
            entry = await stand.wait_in_line()
            await stand.say(make(stand, entry))
            refused = await stand.hear(Refused)
            assert (refused.reason, refused.fault) == (RefusalReason.NOT_VERIFIED, fault)
            assert stand.kiosk.visit.scene is Scene.WAITING
            assert stand.screen.seen is not None
            assert stand.screen.seen.refused is fault
            return 1

        ATTACKS.append(Attack(f"claim {name}", fault, run))
        return run

    return put


Lie = Callable[[Stand, Waiting, Offer, Agent, str], Answer]


def by_answer(name: str, fault: PeerFault) -> Callable[[Lie], Run]:
    """Put an attack into the table that is one false answer to a true offer."""

    def put(lie: Lie) -> Run:
        async def run(stand: Stand, ear: Eavesdropper) -> int:
            entry = await stand.wait_in_line()
            lea = Agent(stand.caf)
            await stand.say(lea.claim(entry))
            offer = await stand.hear(Offer)
            ours = await ear.answer(offer.sdp)
            await stand.say(lie(stand, entry, offer, lea, ours))
            bye = await stand.hear(Bye)
            assert (bye.reason, bye.fault) == (EndReason.NOT_VERIFIED, fault)
            assert stand.kiosk.visit.scene is Scene.WAITING
            return 1

        ATTACKS.append(Attack(f"answer {name}", fault, run))
        return run

    return put


def other_key(sdp: str) -> str:
    """Return an SDP that differs from another in its fingerprints only."""
    end = "00:" * 31 + "00"
    lines = [
        f"a=fingerprint:sha-256 {end}" if line.startswith("a=fingerprint:") else line
        for line in sdp.splitlines()
    ]
    return "\r\n".join(lines) + "\r\n"


def raw_jws(header: dict[str, Any], payload: dict[str, Any], key: Any) -> str:
    """Sign whatever, as no code of ours would."""
    return jws.serialize_compact(header, json.dumps(payload), key, algorithms=[header["alg"]])


def claims_of(token: str) -> dict[str, Any]:
    """Return what a token says."""
    found: dict[str, Any] = json.loads(jws.extract_compact(token.encode()).payload)
    return found


def unsigned_jws(token: str) -> str:
    """Return a token with `alg` none and no signature (RFC 8725, 2.1)."""
    _, payload, _ = token.split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{header}.{payload}."
