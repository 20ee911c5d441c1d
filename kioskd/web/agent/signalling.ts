// The connection with the broker: the waiting line in, claims and answers out.

import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import type { Config } from "./config";
import { newId } from "./ids";
import { type Message, parse, type Waiting, WaitingLine } from "./line";

const ROOT = "visio/v1";
const MESSAGE_EXPIRY_S = 20;
// As the kiosk's status: presence that nobody refreshes must not stay at the broker for ever.
const PRESENCE_EXPIRY_S = 180;
const PRESENCE_EVERY_MS = 60_000;
const SEEN = 256; // message ids remembered to drop duplicates
const REFUSED = 128; // MQTT 5: reason codes from here on are errors

export type Link = "connecting" | "online" | "lost" | "refused";

export class Signalling {
  readonly agent = newId();
  readonly line = new WaitingLine();
  link: Link = "connecting";
  onLine: () => void = () => {};
  onLink: () => void = () => {};
  onMessage: (kiosk: string, message: Message) => void = () => {};
  private readonly client: MqttClient;
  private readonly seen = new Set<string>();
  private readonly timer: number;

  constructor(
    config: Config,
    private readonly name: string,
    private readonly services: string[],
  ) {
    this.client = mqtt.connect(config.broker, this.options(config));
    this.client.on("connect", () => this.connected());
    this.client.on("close", () => this.setLink(this.link === "refused" ? "refused" : "lost"));
    this.client.on("error", (error) => {
      const code = (error as { code?: unknown }).code;
      if (typeof code === "number" && code >= REFUSED) this.setLink("refused");
    });
    this.client.on("message", (topic, payload) => this.receive(topic, payload.toString()));
    this.timer = window.setInterval(() => {
      if (this.link === "online") this.publishPresence();
    }, PRESENCE_EVERY_MS);
  }

  claim(entry: Waiting, signed: { token: string; proof: string } | null): void {
    const topic = `${ROOT}/s/${entry.service}/claim/${entry.kiosk}`;
    const message = { type: "claim", call: entry.call, agent: this.agent, name: this.name };
    const proofs = signed === null ? {} : { token: signed.token, proof: signed.proof };
    this.send(topic, { ...message, ...proofs });
  }

  /** Tells the kiosk something about the call that was claimed with `entry`. */
  tell(entry: Waiting, message: Message): void {
    const topic = `${ROOT}/s/${entry.service}/call/${entry.kiosk}/${this.agent}/a2k`;
    this.send(topic, { call: entry.call, ...message });
  }

  /** Clears the presence in every service and disconnects once that is on its way. */
  leave(): void {
    clearInterval(this.timer);
    for (const service of this.services) {
      this.client.publish(this.presence(service), "", { qos: 1, retain: true });
    }
    this.client.end();
  }

  private options(config: Config): IClientOptions {
    const options: IClientOptions = {
      protocolVersion: 5,
      clientId: this.agent, // the broker's rules go by it
      clean: true,
      keepalive: 15,
      reconnectPeriod: 1000,
      timerVariant: "native", // the page's policy allows no worker made of a string
    };
    if (config.username !== null) options.username = config.username;
    if (config.password !== null) options.password = config.password;
    const first = this.services[0];
    if (first !== undefined) {
      // A connection has one will; presence in the other services ends by its expiry.
      const properties = { messageExpiryInterval: PRESENCE_EXPIRY_S };
      const payload = this.status(false);
      options.will = { topic: this.presence(first), payload, qos: 1, retain: true, properties };
    }
    return options;
  }

  private presence(service: string): string {
    return `${ROOT}/s/${service}/agent/${this.agent}`;
  }

  private status(online: boolean): string {
    return JSON.stringify({ v: 1, type: "agent", id: newId(), online, name: this.name });
  }

  private publishPresence(): void {
    const properties = { messageExpiryInterval: PRESENCE_EXPIRY_S };
    for (const service of this.services) {
      const payload = this.status(true);
      this.client.publish(this.presence(service), payload, { qos: 1, retain: true, properties });
    }
  }

  private connected(): void {
    this.line.clear();
    const topics = [`${ROOT}/k/+/status`];
    for (const service of this.services) {
      topics.push(`${ROOT}/s/${service}/wait/+`);
      topics.push(`${ROOT}/s/${service}/call/+/${this.agent}/k2a`);
    }
    this.client.subscribe(topics, { qos: 1 });
    this.publishPresence();
    this.setLink("online");
  }

  private setLink(link: Link): void {
    this.link = link;
    this.onLink();
  }

  private send(topic: string, message: Message): void {
    const payload = JSON.stringify({ v: 1, id: newId(), ...message });
    const properties = { messageExpiryInterval: MESSAGE_EXPIRY_S };
    this.client.publish(topic, payload, { qos: 1, properties });
  }

  private receive(topic: string, payload: string): void {
    const [kind, one, what, kiosk] = topic.slice(ROOT.length + 1).split("/");
    if (one === undefined) return;
    const message = parse(payload);
    if (kind === "k") {
      this.line.setStatus(one, message);
      this.onLine();
    } else if (what === "wait" && kiosk !== undefined) {
      this.line.setEntry(one, kiosk, message);
      this.onLine();
    } else if (what === "call" && kiosk !== undefined && message !== null) {
      if (this.isNew(String(message.id))) this.onMessage(kiosk, message);
    }
  }

  private isNew(id: string): boolean {
    if (this.seen.has(id)) return false;
    this.seen.add(id);
    const [oldest] = this.seen;
    if (this.seen.size > SEEN && oldest !== undefined) this.seen.delete(oldest);
    return true;
  }
}
