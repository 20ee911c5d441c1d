"""False answers to a true offer, and messages out of order or in a kiosk's name."""

from __future__ import annotations

import time

from kioskd.errors import PeerFault
from kioskd.identity import statement
from kioskd.identity.authority import Issuer
from kioskd.identity.keys import make_key, public
from kioskd.identity.statement import SKEW_S
from kioskd.signalling.messages import (
    Answer,
    Bye,
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
from tests.attacks.table import (
    DAY_S,
    attack,
    by_answer,
    claims_of,
    other_key,
    raw_jws,
)
from tests.attacks.wire import Eavesdropper

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
