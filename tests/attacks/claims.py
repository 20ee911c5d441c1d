"""False claims: by a token, by a proof, by repetition, by a clock."""

from __future__ import annotations

import json
import time

from joserfc.jwk import ECKey, OctKey

from kioskd.errors import PeerFault
from kioskd.identity.authority import Issuer
from kioskd.identity.keys import make_key, public, thumbprint
from kioskd.identity.statement import SKEW_S
from kioskd.signalling.messages import (
    Bye,
    Claim,
    Offer,
    Refused,
    Waiting,
    new_id,
)
from kioskd.visit.words import EndReason, Scene
from tests.attacks.people import Agent
from tests.attacks.stand import Stand
from tests.attacks.table import (
    DAY_S,
    FLOOD,
    attack,
    by_claim,
    claims_of,
    raw_jws,
    unsigned_jws,
)
from tests.attacks.wire import Eavesdropper

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
    await stand.until(lambda: stand.kiosk.calls.peers.refused == flooded, "not all were looked at")
    return flooded


# -- the clock --------------------------------------------------------------------------


async def _clock(stand: Stand, off_s: float) -> int:
    stand.kiosk.calls.peers.clock = lambda: time.time() + off_s
    entry = await stand.wait_in_line()
    await stand.say(Agent(stand.caf).claim(entry))
    assert (await stand.hear(Refused)).fault is PeerFault.CLOCK
    assert stand.screen.seen is not None
    assert stand.screen.seen.refused is PeerFault.CLOCK
    peers = stand.kiosk.calls.peers
    assert peers.clock_doubted
    stand.kiosk.calls.peers.clock = time.time
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
