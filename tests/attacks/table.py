"""The attacks: each gets a stand and an eavesdropper, and returns how often it tried.

Those called `claim` want an offer, those called `answer` have seen a true agent's claim go
through and want the call. The attacker owns the broker: it reads, withholds, changes,
repeats and invents whatever it likes; what it has not got is somebody's key.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from joserfc.jwk import ECKey, OctKey

from kioskd.errors import PeerFault
from kioskd.identity import statement
from kioskd.identity.authority import Issuer
from kioskd.identity.keys import make_key, public, thumbprint
from kioskd.identity.statement import SKEW_S
from kioskd.signalling.messages import (
    Answer,
    Bye,
    Claim,
    KioskStatus,
    Offer,
    RefusalReason,
    Refused,
    Waiting,
    new_id,
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


# -- claims: the token ------------------------------------------------------------------


@by_claim("without token and proof", PeerFault.UNSIGNED)
def _(_stand: Stand, entry: Waiting) -> Claim:
    return Claim(call=entry.call, agent="mallory", name="Léa")


@by_claim("with its proof stripped", PeerFault.UNSIGNED)
def _(stand: Stand, entry: Waiting) -> Claim:
    return Agent(stand.caf).claim(entry).model_copy(update={"proof": ""})


@by_claim("with a token of algorithm none", PeerFault.UNSIGNED)
def _(stand: Stand, entry: Waiting) -> Claim:
    lea = Agent(stand.caf)
    lea.token = unsigned_jws(lea.token)
    return lea.claim(entry)


@by_claim("with a token signed HS256 by the public key", PeerFault.UNSIGNED)
def _(stand: Stand, entry: Waiting) -> Claim:
    lea, key = Agent(stand.caf), stand.caf.keys[-1]
    secret = OctKey.import_key(json.dumps(public(key)))
    header = {"alg": "HS256", "kid": key.kid}
    lea.token = raw_jws(header, claims_of(lea.token), secret)
    return lea.claim(entry)


@by_claim("with the token of an organisation nobody knows", PeerFault.UNTRUSTED)
def _(_stand: Stand, entry: Waiting) -> Claim:
    return Agent(Issuer.make("https://evil.invalid")).claim(entry)


@by_claim("with a token that another key signed in the CAF's name", PeerFault.UNTRUSTED)
def _(stand: Stand, entry: Waiting) -> Claim:
    return Agent(Issuer.make(stand.caf.issuer)).claim(entry)


@by_claim("with another key under the CAF's key id", PeerFault.UNTRUSTED)
def _(stand: Stand, entry: Waiting) -> Claim:
    lea = Agent(stand.caf)
    header = {"alg": "ES256", "kid": stand.caf.keys[-1].kid}
    lea.token = raw_jws(header, claims_of(lea.token), make_key())
    return lea.claim(entry)


@by_claim("with a token made for another audience", PeerFault.UNTRUSTED)
def _(stand: Stand, entry: Waiting) -> Claim:
    lea = Agent(stand.caf)
    now = time.time()
    jkt = thumbprint(lea.key)
    more = {"aud": "webmail", "services": ["caf"]}
    lea.token = stand.caf.issue("lea", jkt, now=now, lifetime_s=60, **more)
    return lea.claim(entry)


@by_claim("with an expired token", PeerFault.EXPIRED)
def _(stand: Stand, entry: Waiting) -> Claim:
    return Agent(stand.caf, token_age_s=3601).claim(entry)


@by_claim("with the CPAM's token for the CAF", PeerFault.WRONG_SERVICE)
def _(stand: Stand, entry: Waiting) -> Claim:
    return Agent(stand.cpam, services=("caf", "cpam")).claim(entry)


@by_claim("with the CAF's token for another service", PeerFault.WRONG_SERVICE)
def _(stand: Stand, entry: Waiting) -> Claim:
    return Agent(stand.caf, services=("cpam",)).claim(entry)


@by_claim("with a stolen token and a key of one's own", PeerFault.MISMATCH)
def _(stand: Stand, entry: Waiting) -> Claim:
    return Agent(stand.caf, token=Agent(stand.caf).token).claim(entry)


# -- claims: the proof ------------------------------------------------------------------


@by_claim("with a proof on another curve", PeerFault.UNSIGNED)
def _(stand: Stand, entry: Waiting) -> Claim:
    lea = Agent(stand.caf)
    key = ECKey.generate_key("P-384")
    whole = {name: key.as_dict(private=False)[name] for name in ("kty", "crv", "x", "y")}
    header = {"alg": "ES384", "typ": "visio-claim+jws", "jwk": whole}
    proof = raw_jws(header, claims_of(lea.claim(entry).proof), key)
    return lea.claim(entry).model_copy(update={"proof": proof})


@by_claim("with a proof of algorithm none", PeerFault.UNSIGNED)
def _(stand: Stand, entry: Waiting) -> Claim:
    claim = Agent(stand.caf).claim(entry)
    return claim.model_copy(update={"proof": unsigned_jws(claim.proof)})


@by_claim("with the stolen key's name and another's signature", PeerFault.UNTRUSTED)
def _(stand: Stand, entry: Waiting) -> Claim:
    lea = Agent(stand.caf)
    true = lea.claim(entry)
    header = {"alg": "ES256", "typ": "visio-claim+jws", "jwk": public(lea.key)}
    proof = raw_jws(header, claims_of(true.proof), make_key())
    return true.model_copy(update={"proof": proof})


@by_claim("with one letter of its proof changed", PeerFault.UNTRUSTED)
def _(stand: Stand, entry: Waiting) -> Claim:
    true = Agent(stand.caf).claim(entry)
    head, payload, signature = true.proof.split(".")
    wrong = ("B" if signature[0] == "A" else "A") + signature[1:]
    return true.model_copy(update={"proof": f"{head}.{payload}.{wrong}"})


@by_claim("with an answer's proof", PeerFault.UNSIGNED)
def _(stand: Stand, entry: Waiting) -> Claim:
    lea = Agent(stand.caf)
    answer = lea.answer(entry, Offer(call=entry.call, sdp="v=0"), "v=0")
    return lea.claim(entry).model_copy(update={"proof": answer.proof})


@by_claim("repeated from another call", PeerFault.MISMATCH)
def _(stand: Stand, entry: Waiting) -> Claim:
    return (
        Agent(stand.caf)
        .claim(entry, call="call-of-yesterday")
        .model_copy(update={"call": entry.call})
    )


@by_claim("made for another kiosk", PeerFault.MISMATCH)
def _(stand: Stand, entry: Waiting) -> Claim:
    return Agent(stand.caf).claim(entry, kiosk="demo-2")


@by_claim("made for an earlier life of the kiosk", PeerFault.MISMATCH)
def _(stand: Stand, entry: Waiting) -> Claim:
    return Agent(stand.caf).claim(entry, epoch="yesterday")


@by_claim("made for another service's line", PeerFault.MISMATCH)
def _(stand: Stand, entry: Waiting) -> Claim:
    return Agent(stand.caf).claim(entry, service="cpam")


@by_claim("of one agent in another's name", PeerFault.MISMATCH)
def _(stand: Stand, entry: Waiting) -> Claim:
    return Agent(stand.caf, id="paul").claim(entry).model_copy(update={"agent": "lea"})


@by_claim("with a proof that never ends", PeerFault.EXPIRED)
def _(stand: Stand, entry: Waiting) -> Claim:
    return Agent(stand.caf).claim(entry, exp=time.time() + DAY_S)


@attack("claim withheld until it has expired", PeerFault.EXPIRED)
async def _(stand: Stand, _: Eavesdropper) -> int:
    entry = await stand.wait_in_line()
    claim = Agent(stand.caf).claim(entry)
    stand.pass_time(60 + SKEW_S + 1)
    await stand.say(claim)
    assert (await stand.hear(Refused)).fault is PeerFault.EXPIRED
    return 1


@attack("claim repeated in the same call", PeerFault.REPLAYED)
async def _(stand: Stand, _: Eavesdropper) -> int:
    entry = await stand.wait_in_line()
    claim = Agent(stand.caf).claim(entry)
    await stand.say(claim)
    await stand.hear(Offer)
    await stand.say(Bye(call=entry.call, reason=EndReason.HANG_UP))
    await stand.until(lambda: stand.kiosk.visit.scene is Scene.WAITING, "not in the line again")
    await stand.say(claim.model_copy(update={"id": new_id()}))
    await stand.until(lambda: bool(stand.refused), "not refused")
    assert stand.kiosk.visit.scene is Scene.WAITING
    return 1


@attack("500 false claims before a true one, and after it", PeerFault.UNTRUSTED)
async def _(stand: Stand, _: Eavesdropper) -> int:
    entry = await stand.wait_in_line()
    mallory = Agent(Issuer.make(stand.caf.issuer), id="mallory")
    for _one in range(FLOOD):
        await stand.say(mallory.claim(entry))
    await stand.say(Agent(stand.caf).claim(entry))
    for _one in range(FLOOD):
        await stand.say(mallory.claim(entry))
    await stand.hear(Offer)  # the true agent is served none the less
    assert stand.kiosk.visit.agent is not None
    assert stand.kiosk.visit.agent.id == "lea"
    flooded = 2 * FLOOD
    await stand.until(lambda: stand.kiosk.peers.refused == flooded, "not all were looked at")
    return flooded


# -- the clock --------------------------------------------------------------------------


async def _clock(stand: Stand, off_s: float) -> int:
    stand.kiosk.peers.clock = lambda: time.time() + off_s
    entry = await stand.wait_in_line()
    await stand.say(Agent(stand.caf).claim(entry))
    assert (await stand.hear(Refused)).fault is PeerFault.CLOCK
    assert stand.screen.seen is not None
    assert stand.screen.seen.refused is PeerFault.CLOCK
    peers = stand.kiosk.peers
    assert peers.clock_doubted
    stand.kiosk.peers.clock = time.time
    await stand.say(Agent(stand.caf).claim(entry))  # once it is set right, all is well
    await stand.hear(Offer)
    await stand.until(lambda: not peers.clock_doubted, "the clock is still doubted")
    return 1


@attack("clock in 1970", PeerFault.CLOCK)
async def _(stand: Stand, _: Eavesdropper) -> int:
    return await _clock(stand, -time.time())


@attack("clock a day ahead", PeerFault.CLOCK)
async def _(stand: Stand, _: Eavesdropper) -> int:
    return await _clock(stand, DAY_S)


# -- answers ----------------------------------------------------------------------------


@by_answer("without proof", PeerFault.UNSIGNED)
def _(_s: Stand, _e: Waiting, offer: Offer, _lea: Agent, ours: str) -> Answer:
    return Answer(call=offer.call, leg=offer.leg, sdp=ours)


@by_answer("of the attacker with the true agent's proof", PeerFault.MISMATCH)
def _(_s: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    return lea.answer(entry, offer, other_key(ours)).model_copy(update={"sdp": ours})


@by_answer("with its fingerprints swapped", PeerFault.MISMATCH)
def _(_s: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    return lea.answer(entry, offer, ours).model_copy(update={"sdp": other_key(ours)})


@by_answer("with one more fingerprint", PeerFault.MISMATCH)
def _(_s: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    more = ours + "a=fingerprint:sha-256 " + "AA:" * 31 + "AA\r\n"
    return lea.answer(entry, offer, ours).model_copy(update={"sdp": more})


@by_answer("with its addresses changed", PeerFault.MISMATCH)
def _(_s: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    elsewhere = ours.replace("a=ice-ufrag:", "a=ice-ufrag:x")
    return lea.answer(entry, offer, ours).model_copy(update={"sdp": elsewhere})


@by_answer("whose signed fingerprints are not the SDP's", PeerFault.MISMATCH)
def _(_s: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    return lea.answer(entry, offer, ours, fingerprints=("sha-256 00",))


@by_answer("of another verified agent", PeerFault.MISMATCH)
def _(stand: Stand, entry: Waiting, offer: Offer, _lea: Agent, ours: str) -> Answer:
    return Agent(stand.caf).answer(entry, offer, ours)


@by_answer("to another offer", PeerFault.MISMATCH)
def _(_s: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    return lea.answer(entry, offer, ours, offer=statement.digest("another"))


@by_answer("of another call", PeerFault.MISMATCH)
def _(_s: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    return lea.answer(entry, offer, ours, call="call-of-yesterday")


@by_answer("for another kiosk", PeerFault.MISMATCH)
def _(_s: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    return lea.answer(entry, offer, ours, kiosk="demo-2")


@by_answer("with a claim's proof", PeerFault.UNSIGNED)
def _(_s: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    proof = lea.claim(entry).proof
    return Answer(call=offer.call, leg=offer.leg, sdp=ours, proof=proof)


@by_answer("with the kiosk's own proof sent back", PeerFault.UNSIGNED)
def _(_s: Stand, _e: Waiting, offer: Offer, _lea: Agent, ours: str) -> Answer:
    return Answer(call=offer.call, leg=offer.leg, sdp=ours, proof=offer.proof)


@by_answer("withheld until it has expired", PeerFault.EXPIRED)
def _(stand: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    stand.pass_time(60 + SKEW_S + 1)
    return lea.answer(entry, offer, ours)


@by_answer("dated tomorrow", PeerFault.CLOCK)
def _(_s: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    tomorrow = time.time() + DAY_S
    return lea.answer(entry, offer, ours, iat=tomorrow, exp=tomorrow + 60)


@by_answer("by the claim's key stolen from the header alone", PeerFault.UNTRUSTED)
def _(_s: Stand, entry: Waiting, offer: Offer, lea: Agent, ours: str) -> Answer:
    true = lea.answer(entry, offer, ours)
    header = {"alg": "ES256", "typ": "visio-answer+jws", "jwk": public(lea.key)}
    proof = raw_jws(header, claims_of(true.proof), make_key())
    return true.model_copy(update={"proof": proof})


# -- order, presence --------------------------------------------------------------------


@attack("answer of an earlier attempt", None)
async def _(stand: Stand, ear: Eavesdropper) -> int:
    entry = await stand.wait_in_line()
    lea = Agent(stand.caf)
    await stand.say(lea.claim(entry))
    first = await stand.hear(Offer)
    late = lea.answer(entry, first, await ear.answer(first.sdp))
    await stand.say(Bye(call=entry.call, reason=EndReason.HANG_UP))
    await stand.until(lambda: stand.kiosk.visit.scene is Scene.WAITING, "not in the line again")
    await stand.say(lea.claim(entry))
    second = await stand.hear(Offer)
    assert second.leg == first.leg + 1
    await stand.say(late)
    # With the new attempt's number it is looked at, and refused.
    await stand.say(late.model_copy(update={"id": new_id(), "leg": second.leg}))
    assert (await stand.hear(Bye, lambda one: one.fault is not None)).fault is PeerFault.MISMATCH
    return 2


@attack("answer before any offer, and with no claim", None)
async def _(stand: Stand, ear: Eavesdropper) -> int:
    entry = await stand.wait_in_line()
    lea = Agent(stand.caf)
    invented = Offer(call=entry.call, sdp="v=0")
    await stand.say(lea.answer(entry, invented, "v=0"))
    await stand.say(Agent(Issuer.make("https://evil.invalid")).claim(entry))
    await stand.hear(Refused)  # and so the answer before it has been dealt with
    assert stand.kiosk.visit.scene is Scene.WAITING
    assert not ear.counts
    return 1


@attack("presence, will and line forged", None)
async def _(stand: Stand, _: Eavesdropper) -> int:
    entry = await stand.wait_in_line()
    await stand.forge(KioskStatus(online=False, epoch=entry.epoch))
    await stand.forge(entry.model_copy(update={"id": new_id(), "call": "invented"}))
    lea = Agent(stand.caf)
    await stand.say(lea.claim(entry.model_copy(update={"call": "invented"})))
    assert (await stand.hear(Refused)).reason is RefusalReason.GONE
    await stand.say(Bye(call=entry.call, reason=EndReason.HANG_UP))
    await stand.say(lea.claim(entry))  # the true line goes on
    await stand.hear(Offer)
    return 4
