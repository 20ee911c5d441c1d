// What the agent's page takes for a kiosk's offer, and what it does not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { calculateJwkThumbprint, CompactSign, exportJWK, generateKeyPair, SignJWT } from "jose";
import { load } from "./load.mjs";

const { digest, fingerprints, Refusal, Signer, verifyOffer } = await load("proofs");

const NOW = 1_800_000_000;
const SDP = "v=0\r\na=fingerprint:SHA-256 aa:bb\r\nm=audio 9\r\na=fingerprint:sha-1 0c:0d\r\n";
const subject = { call: "c1", kiosk: "k1", agent: "lea", service: "caf" };
const encode = (value) => new TextEncoder().encode(JSON.stringify(value));

async function keys(alg = "ES256") {
  const pair = await generateKeyPair(alg, { extractable: true });
  const { kty, crv, x, y } = await exportJWK(pair.publicKey);
  const jwk = { kty, crv, x, y };
  return { ...pair, jwk, jkt: await calculateJwkThumbprint(jwk) };
}

const operator = await keys();
const kiosk = await keys();
const agent = await Signer.of(await generateKeyPair("ES256"));
const claim = await agent.claim(subject, "e1", "Léa", NOW);
const trusted = [
  { issuer: "https://operator.example", keys: { keys: [{ ...operator.jwk, kid: "o1" }] } },
];

function credential({ by = operator, jkt = kiosk.jkt, ...more } = {}) {
  const claims = { iss: "https://operator.example", sub: "k1", aud: "visioservices" };
  const times = { iat: NOW - 1000, exp: NOW + 1000, name: "Mairie", town: "Exempleville" };
  return new SignJWT({ ...claims, ...times, cnf: { jkt }, ...more })
    .setProtectedHeader({ alg: "ES256", kid: "o1" })
    .sign(by.privateKey);
}

async function proof({ by = kiosk, jwk = by.jwk, typ = "visio-offer+jws", ...more } = {}) {
  const said = { v: 1, ...subject, leg: 0, iat: NOW, exp: NOW + 60, jti: "j" };
  const about = { sdp: await digest(SDP), fingerprints: fingerprints(SDP) };
  const answered = { to: agent.jkt, claim: await digest(claim) };
  return new CompactSign(encode({ ...said, ...about, ...answered, ...more }))
    .setProtectedHeader({ alg: by === kiosk ? "ES256" : (by.alg ?? "ES256"), typ, jwk })
    .sign(by.privateKey);
}

async function verify(changes = {}, now = NOW + 1, operators = trusted) {
  const offer = { sdp: SDP, leg: 0, token: await credential(), proof: await proof(), ...changes };
  const expected = { subject, jkt: agent.jkt, claim: await digest(claim), since: NOW - 1, now };
  return verifyOffer(offer, operators, expected);
}

const none = (token) => `${btoa('{"alg":"none"}').replaceAll("=", "")}.${token.split(".")[1]}.`;

test("the kiosk is known by what its operator certified", async () => {
  const found = await verify();
  assert.deepEqual([found.name, found.town], ["Mairie", "Exempleville"]);
});

test("fingerprints are spelt in one way", () => {
  assert.deepEqual(fingerprints(SDP), ["sha-1 0C:0D", "sha-256 AA:BB"]);
});

test("a kiosk whose key was taken back is known no more", async () => {
  const revoke = (jkt) => [{ ...trusted[0], revoked: [jkt] }];
  await verify({}, NOW + 1, revoke("another key"));
  await assert.rejects(verify({}, NOW + 1, revoke(kiosk.jkt)), new Refusal("untrusted"));
});

const evil = await keys();
const p384 = { ...(await keys("ES384")), alg: "ES384" };
const attacks = {
  "no proof": ["unsigned", { proof: "" }],
  "no credential": ["unsigned", { token: "" }],
  "a credential of algorithm none": ["unsigned", { token: none(await credential()) }],
  "a proof of algorithm none": ["unsigned", { proof: none(await proof()) }],
  "a proof on another curve": ["unsigned", { proof: await proof({ by: p384 }) }],
  "a proof of another kind": ["unsigned", { proof: await proof({ typ: "visio-answer+jws" }) }],
  "our own claim sent back": ["unsigned", { proof: claim }],
  "an operator nobody knows": ["untrusted", { token: await credential({ iss: "https://evil" }) }],
  "another key in the operator's name": ["untrusted", { token: await credential({ by: evil }) }],
  "a credential for another audience": ["untrusted", { token: await credential({ aud: "x" }) }],
  "the kiosk's name, another's signature": [
    "untrusted",
    { proof: await proof({ by: evil, jwk: kiosk.jwk }) },
  ],
  "an expired credential": ["expired", { token: await credential({ exp: NOW - 500 }) }],
  "a credential of tomorrow": ["clock", { token: await credential({ iat: NOW + 86_400 }) }],
  "a stolen credential and one's own key": ["mismatch", { proof: await proof({ by: evil }) }],
  "another kiosk's credential": ["mismatch", { token: await credential({ sub: "k2" }) }],
  "swapped fingerprints": ["mismatch", { sdp: SDP.replace("aa:bb", "cc:dd") }],
  "one more fingerprint": ["mismatch", { sdp: `${SDP}a=fingerprint:sha-256 ee:ff\r\n` }],
  "fingerprints that are not the SDP's": ["mismatch", { proof: await proof({ fingerprints: [] }) }],
  "another address in the SDP": ["mismatch", { sdp: `${SDP}a=candidate:1\r\n` }],
  "an offer to another agent": ["mismatch", { proof: await proof({ to: evil.jkt }) }],
  "an offer to an earlier claim": ["mismatch", { proof: await proof({ claim: "x" }) }],
  "an offer of another call": ["mismatch", { proof: await proof({ call: "c0" }) }],
  "an offer of another service": ["mismatch", { proof: await proof({ service: "cpam" }) }],
  "another leg": ["mismatch", { leg: 1 }],
  "another version": ["mismatch", { proof: await proof({ v: 2 }) }],
  "a proof without end": ["expired", { proof: await proof({ exp: NOW + 86_400 }) }],
  "a proof of yesterday": ["clock", { proof: await proof({ iat: NOW - 86_400, exp: NOW }) }],
  "a proof of tomorrow": [
    "clock",
    { proof: await proof({ iat: NOW + 86_400, exp: NOW + 86_401 }) },
  ],
  "a proof without dates": ["clock", { proof: await proof({ iat: null, exp: null }) }],
};
for (const [name, [fault, changes]] of Object.entries(attacks)) {
  test(`refused: ${name}`, async () => {
    await assert.rejects(verify(changes), (error) => {
      assert.equal(error instanceof Refusal && error.fault, fault, String(error));
      return true;
    });
  });
}

test("an offer that is held back is refused once it has expired", async () => {
  await assert.rejects(verify({}, NOW + 200), { fault: "expired" });
});
