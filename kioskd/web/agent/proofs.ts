// What agents and kiosks sign about a call, and who certifies their keys: docs/protocol.md, Proofs.
// No storage, no network, no clock of its own.

import {
  base64url,
  CompactSign,
  calculateJwkThumbprint,
  compactVerify,
  createLocalJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  EmbeddedJWK,
  errors,
  exportJWK,
  type JSONWebKeySet,
  type JWK,
  jwtVerify,
} from "jose";

export const LIFETIME_S = 60;
export const SKEW_S = 120;
const AUDIENCE = "visioservices";
const ALGORITHMS = ["ES256", "ES384", "PS256", "RS256", "EdDSA"];

/**
 * An operator of kiosks: the issuer of their credentials, its public keys, and the thumbprints
 * of kiosks' keys that are good no more.
 */
export interface Operator {
  issuer: string;
  keys: JSONWebKeySet;
  revoked?: string[];
}

export type Fault =
  "unsigned" | "untrusted" | "expired" | "replayed" | "wrong-service" | "mismatch" | "clock";

/** The peer has not proved who it is. */
export class Refusal extends Error {
  constructor(readonly fault: Fault) {
    super(fault);
  }
}

/** Whom and what a call is about; the same in every statement of it. */
export interface Subject {
  call: string;
  kiosk: string;
  agent: string;
  service: string;
}

/** A kiosk as its operator certified it, and the digest of its offer's proof. */
export interface Verified {
  name: string;
  town: string;
  offer: string;
}

interface Signed {
  sdp: string;
  leg: unknown;
  token: string;
  proof: string;
}

type Payload = Record<string, unknown>;

export async function digest(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  return base64url.encode(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

/** Every DTLS fingerprint of an SDP, of session and media, normalised. */
export function fingerprints(sdp: string): string[] {
  const found = sdp.replaceAll("\r\n", "\n").matchAll(/^a=fingerprint:(\S+)[ \t]+(\S+)[ \t]*$/gm);
  const all = [...found].map(([, method, value]) => {
    return `${String(method).toLowerCase()} ${String(value).toUpperCase()}`;
  });
  return [...new Set(all)].sort();
}

/** Signs statements with the agent's key. */
export class Signer {
  private constructor(
    private readonly pair: CryptoKeyPair,
    private readonly jwk: JWK,
    readonly jkt: string,
  ) {}

  static async of(pair: CryptoKeyPair): Promise<Signer> {
    const { kty, crv, x, y } = await exportJWK(pair.publicKey);
    const jwk = { kty, crv, x, y } as JWK;
    return new Signer(pair, jwk, await calculateJwkThumbprint(jwk));
  }

  claim(subject: Subject, epoch: string, name: string, now: number): Promise<string> {
    return this.sign("claim", { ...subject, epoch, name }, now);
  }

  async answer(
    subject: Subject,
    leg: unknown,
    offer: string,
    sdp: string,
    now: number,
  ): Promise<string> {
    const said = { leg, offer, sdp: await digest(sdp), fingerprints: fingerprints(sdp) };
    return this.sign("answer", { ...subject, ...said }, now);
  }

  private sign(kind: string, said: Payload, now: number): Promise<string> {
    const jti = base64url.encode(crypto.getRandomValues(new Uint8Array(12)));
    const payload = JSON.stringify({ v: 1, ...said, iat: now, exp: now + LIFETIME_S, jti });
    return new CompactSign(new TextEncoder().encode(payload))
      .setProtectedHeader({ alg: "ES256", typ: `visio-${kind}+jws`, jwk: this.jwk })
      .sign(this.pair.privateKey);
  }
}

/**
 * Checks an offer: the kiosk's credential, its signature, and that it answers our claim with
 * this SDP. `now` and `since`, when we claimed, are Unix seconds. Rejects with a Refusal.
 */
export async function verifyOffer(
  message: Signed,
  operators: Operator[],
  expected: { subject: Subject; jkt: string; claim: string; since: number; now: number },
): Promise<Verified> {
  const credential = await readCredential(message.token, operators, expected.now);
  const { said, jkt } = await read("offer", message.proof);
  const same =
    jkt === (credential.cnf as { jkt?: unknown } | undefined)?.jkt &&
    credential.sub === expected.subject.kiosk &&
    Object.entries(expected.subject).every(([name, value]) => said[name] === value) &&
    said.v === 1 &&
    said.leg === message.leg &&
    said.to === expected.jkt &&
    said.claim === expected.claim;
  if (!same) throw new Refusal("mismatch");
  checkTime(said, expected.since, expected.now);
  const found = fingerprints(message.sdp);
  const described =
    found.length > 0 &&
    JSON.stringify(said.fingerprints) === JSON.stringify(found) &&
    said.sdp === (await digest(message.sdp));
  if (!described) throw new Refusal("mismatch");
  const offer = await digest(message.proof);
  return { name: String(credential.name ?? ""), town: String(credential.town ?? ""), offer };
}

async function readCredential(token: string, operators: Operator[], now: number): Promise<Payload> {
  let issuer: unknown;
  try {
    if (!ALGORITHMS.includes(String(decodeProtectedHeader(token).alg))) throw new Error();
    issuer = decodeJwt(token).iss;
  } catch {
    throw new Refusal("unsigned");
  }
  const operator = operators.find((one) => one.issuer === issuer);
  if (operator === undefined) throw new Refusal("untrusted");
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet(operator.keys), {
      algorithms: ALGORITHMS,
      audience: AUDIENCE,
      issuer: operator.issuer,
      requiredClaims: ["sub", "iat", "exp"],
      currentDate: new Date(now * 1000),
      clockTolerance: SKEW_S,
    });
    if (Number(payload.iat) > now + SKEW_S) throw new Refusal("clock");
    const jkt = (payload.cnf as { jkt?: unknown } | undefined)?.jkt;
    if (operator.revoked?.some((one) => one === jkt)) throw new Refusal("untrusted");
    return payload;
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(error instanceof errors.JWTExpired ? "expired" : "untrusted");
  }
}

async function read(kind: string, proof: string): Promise<{ said: Payload; jkt: string }> {
  let jwk: JWK;
  try {
    const header = decodeProtectedHeader(proof);
    if (header.alg !== "ES256" || header.typ !== `visio-${kind}+jws`) throw new Error();
    jwk = header.jwk as JWK;
    if (jwk.kty !== "EC" || jwk.crv !== "P-256") throw new Error();
  } catch {
    throw new Refusal("unsigned");
  }
  try {
    const { payload } = await compactVerify(proof, EmbeddedJWK, { algorithms: ["ES256"] });
    const said = JSON.parse(new TextDecoder().decode(payload)) as Payload;
    return { said, jkt: await calculateJwkThumbprint(jwk) };
  } catch {
    throw new Refusal("untrusted");
  }
}

function checkTime(said: Payload, since: number, now: number): void {
  const [iat, exp] = [Number(said.iat), Number(said.exp)];
  // Nobody could sign this before we claimed: one of the two clocks is wrong.
  if (!(iat >= since - SKEW_S && iat <= now + SKEW_S)) throw new Refusal("clock");
  if (!(exp - iat <= LIFETIME_S && now <= exp + SKEW_S)) throw new Refusal("expired");
}
