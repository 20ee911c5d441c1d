// The rules of the waiting line, without network or page: docs/protocol.md.

export type Message = Record<string, unknown>;

export interface Waiting {
  call: string;
  kiosk: string;
  name: string;
  town: string;
  service: string;
  language: string;
  since: number;
  epoch: string;
}

/** A kiosk that is online and takes no calls. */
export interface Unavailable {
  kiosk: string;
  name: string;
  town: string;
  reason: string;
}

const ID = /^[A-Za-z0-9_.-]{1,64}$/;

/** Reads a broker's payload; null for an empty one and for what is not of version 1. */
export function parse(payload: string): Message | null {
  try {
    const message: unknown = JSON.parse(payload);
    const ours = typeof message === "object" && message !== null && "v" in message;
    return ours && message.v === 1 ? (message as Message) : null;
  } catch {
    return null;
  }
}

/** An entry that may be shown: its ids can stand in topics, and it belongs where it was found. */
function entry(message: Message, service: string, kiosk: string): Waiting | null {
  const texts = ["name", "town", "language"].every((key) => typeof message[key] === "string");
  const ids = ["call", "epoch"].every((key) => ID.test(String(message[key])));
  const here = message.service === service && message.kiosk === kiosk;
  const right = message.type === "waiting" && texts && ids && here;
  return right && Number.isFinite(message.since) ? (message as unknown as Waiting) : null;
}

/** A status that says why nobody will call from there; null for any other. */
function unavailable(kiosk: string, message: Message): Unavailable | null {
  const { name, town, unavailable: reason } = message;
  if (typeof reason !== "string" || typeof name !== "string" || typeof town !== "string") {
    return null;
  }
  return { kiosk, name, town, reason };
}

export class WaitingLine {
  private readonly entries = new Map<string, Waiting>();
  private readonly epochs = new Map<string, string>();
  private readonly closed = new Map<string, Unavailable>();

  /** Takes a kiosk's status; null when it was cleared. */
  setStatus(kiosk: string, message: Message | null): void {
    const online = message?.type === "status" && message.online === true;
    if (online) this.epochs.set(kiosk, String(message.epoch));
    else this.epochs.delete(kiosk);
    const closed = online ? unavailable(kiosk, message) : null;
    if (closed === null) this.closed.delete(kiosk);
    else this.closed.set(kiosk, closed);
  }

  /** Takes a kiosk's entry in the line of a service; null when it left. */
  setEntry(service: string, kiosk: string, message: Message | null): void {
    const found = message === null ? null : entry(message, service, kiosk);
    if (found === null) this.entries.delete(`${service}/${kiosk}`);
    else this.entries.set(`${service}/${kiosk}`, found);
  }

  clear(): void {
    this.entries.clear();
    this.epochs.clear();
    this.closed.clear();
  }

  /** The kiosks that take no calls, by town and name. */
  unavailable(): Unavailable[] {
    return [...this.closed.values()].sort(
      (a, b) => a.town.localeCompare(b.town) || a.name.localeCompare(b.name),
    );
  }

  /** Those who wait, the longest first; entries of kiosks that are gone do not count. */
  list(): Waiting[] {
    return [...this.entries.values()]
      .filter((one) => this.epochs.get(one.kiosk) === one.epoch)
      .sort((a, b) => a.since - b.since || (a.kiosk < b.kiosk ? -1 : 1));
  }
}
