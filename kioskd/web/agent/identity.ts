// The agent's key, which never leaves this browser, and its organisation's token for it.

import { decodeJwt } from "jose";
import type { Message, Waiting } from "./line";
import { type Operator, Signer, type Subject, type Verified, verifyOffer, digest } from "./proofs";

const DATABASE = "visioservices";
const STORE = "keys";
const OWN = "agent";
const RENEW_S = 120; // a token is renewed when it has less than this left

/** Who certifies kiosks, and where the organisation gives tokens. */
export interface IdentityConfig {
  operators: Operator[];
  token_url: string;
}

/** What is kept of a claim until it is answered. */
export interface Claimed {
  subject: Subject;
  proof: string;
  token: string;
  since: number;
}

export class Identity {
  private readonly signer: Promise<Signer>;
  private token: Promise<string> | null = null;

  constructor(
    private readonly config: IdentityConfig,
    private readonly name: string,
    private readonly services: string[],
  ) {
    this.signer = ownKey().then((pair) => Signer.of(pair));
  }

  /** Gets the token ready. Rejects when the organisation gives none. */
  async prepare(): Promise<void> {
    await this.credential();
  }

  async claim(entry: Waiting, agent: string): Promise<Claimed> {
    const { call, kiosk, service } = entry;
    const subject = { call, kiosk, agent, service };
    const signer = await this.signer;
    const token = await this.credential();
    const since = seconds();
    const proof = await signer.claim(subject, entry.epoch, this.name, since);
    return { subject, proof, token, since };
  }

  /** Checks an offer. Rejects with a Refusal. */
  async verify(claimed: Claimed, message: Message): Promise<Verified> {
    const [sdp, token, proof] = [message.sdp, message.token, message.proof].map((one) =>
      String(one ?? ""),
    ) as [string, string, string];
    return verifyOffer({ sdp, token, proof, leg: message.leg }, this.config.operators, {
      subject: claimed.subject,
      jkt: (await this.signer).jkt,
      claim: await digest(claimed.proof),
      since: claimed.since,
      now: seconds(),
    });
  }

  async answer(
    claimed: Claimed,
    verified: Verified,
    leg: unknown,
    sdp: string,
  ): Promise<{ proof: string }> {
    const signer = await this.signer;
    return { proof: await signer.answer(claimed.subject, leg, verified.offer, sdp, seconds()) };
  }

  private async credential(): Promise<string> {
    const token = this.token === null ? null : await this.token.catch(() => null);
    if (token !== null && Number(decodeJwt(token).exp) - seconds() > RENEW_S) return token;
    this.token = this.fetch();
    return this.token;
  }

  private async fetch(): Promise<string> {
    const { jkt } = await this.signer;
    const response = await fetch(this.config.token_url, {
      method: "POST",
      credentials: "include", // the organisation's own session says who asks
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ jkt, name: this.name, services: this.services }),
    });
    if (!response.ok) throw new Error(`token: ${response.status}`);
    return String(((await response.json()) as { token: unknown }).token);
  }
}

function seconds(): number {
  return Date.now() / 1000;
}

/** The key that is kept here, or a new one; not exportable, so that no script can take it away. */
async function ownKey(): Promise<CryptoKeyPair> {
  const database = await settled(() => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    return request;
  });
  const store = (mode: IDBTransactionMode): IDBObjectStore =>
    database.transaction(STORE, mode).objectStore(STORE);
  const kept = (await settled(() => store("readonly").get(OWN))) as CryptoKeyPair | undefined;
  if (kept !== undefined) return kept;
  const usages: KeyUsage[] = ["sign", "verify"];
  const pair = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    false,
    usages,
  );
  await settled(() => store("readwrite").put(pair, OWN));
  return pair;
}

function settled<T>(begin: () => IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = begin();
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
