// One call: the control channel, the documents, and a new leg where the one in use has died.

import { hearAnew, waitLonger } from "./jitter";
import { hearing, type Totals } from "./hearing";
import { type Channels, Leg } from "./leg";
import type { Message } from "./line";
import { type Counters, measure, type Quality } from "./quality";
import { gauge, Pace } from "./pace";
import { limit, Thin } from "./thin";
import { Receiver, Sender } from "./transfer";

const HEARTBEAT_MS = 1000;
const INTERRUPTED_MS = 3500;
const FRESH_MS = 10_000; // longer than the kiosk waits for one leg
const LOST_MS = 35_000; // docs/protocol.md: the kiosk looks for another path for 30 s
const CONNECTIONS = 3; // for one offer; as long as a connection takes to find that it has no address

/** Camera and microphone; what is missing or refused is left out, down to null for neither. */
export async function localMedia(): Promise<MediaStream | null> {
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  const video = { width: 640, height: 480, frameRate: 30 };
  for (const wanted of [{ audio, video }, { audio }, { video }]) {
    try {
      return await navigator.mediaDevices.getUserMedia(wanted);
    } catch {
      // The next try asks for less.
    }
  }
  return null;
}

export class Call {
  onControl: (message: Message) => void = () => {};
  onOpen: () => void = () => {};
  onInterrupted: (interrupted: boolean) => void = () => {};
  /** The call cannot go on: "lost" when it had begun, "failed" before. */
  onBroken: (reason: "lost" | "failed") => void = () => {};
  readonly receiver = new Receiver();
  readonly sender = new Sender();
  readonly remote = new MediaStream();
  /** Camera and microphone, once they are there: null before, and where there are none. */
  local: MediaStream | null = null;
  /** Resolved when it is known what there is. */
  readonly equipped: Promise<void>;
  /** Made before the offer comes, to answer it with. */
  private spare: Leg | null = null;
  private leg: Leg | null = null;
  /** The leg that was answered last, until it is the one in use. */
  private fresh: Leg | null = null;
  private freshAt = 0;
  private number = -1;
  private control: RTCDataChannel | null = null;
  /** What was said and, by the echo of our heartbeats, may not have been heard yet. */
  private unheard: { at: number; message: Message }[] = [];
  private closed = false;
  private heardAt = 0;
  private lastAt: number | null = null;
  private interrupted = false;
  private timer = 0;
  private counters: Counters | null = { at: performance.now(), bytes: 0, lost: 0, received: 0 };
  private heard: Totals | null = null;
  private thin = new Thin();

  constructor(
    private readonly iceServers: RTCIceServer[],
    devices: Promise<MediaStream | null>,
  ) {
    this.receiver.onComing = (coming) => {
      if (this.leg !== null) waitLonger(this.leg.peer, coming);
    };
    this.equipped = devices.then((local) => this.equip(local));
  }

  /** True while the call carries words: what the broker says of its end can wait. */
  get up(): boolean {
    return this.leg !== null && !this.interrupted && !this.closed;
  }

  /**
   * Answers the kiosk's offer of leg `number`; null for one that is not newer than all before.
   * Each leg is taken into use once it stands; until then the one before stays.
   */
  async answer(number: number, sdp: string): Promise<string | null> {
    if (this.closed || !(number > this.number)) return null;
    this.number = number;
    if (this.leg !== null) this.setInterrupted(true);
    for (let left = CONNECTIONS; ; left--) {
      const leg = this.renew();
      const answer = await leg.answer(sdp, this.local);
      if (this.closed || this.fresh !== leg) return null; // another offer has come
      // A busy Chromium makes a connection now and then that finds no address, however long one
      // waits: nobody could reach it.
      if (left === 1 || leg.reachable) return answer;
    }
  }

  /** Begins a leg, which is taken into use once it stands. */
  private renew(): Leg {
    this.fresh?.close();
    const leg = this.spare ?? new Leg(this.iceServers);
    this.spare = null;
    this.fresh = leg;
    this.freshAt = performance.now();
    leg.onOpen = (channels) => this.use(leg, channels);
    leg.onTrack = () => {
      if (this.leg === null) this.show(leg);
    };
    leg.onClosed = () => {
      if (this.leg === null) this.broken("failed");
    };
    return leg;
  }

  say(message: Message): void {
    this.unheard.push({ at: performance.now(), message });
    this.send(message);
  }

  setMedia(audio: boolean, video: boolean): void {
    for (const track of this.local?.getAudioTracks() ?? []) track.enabled = audio;
    for (const track of this.local?.getVideoTracks() ?? []) track.enabled = video;
    this.say({ type: "media", audio, video });
  }

  /**
   * Measures the connection, tells the kiosk what is heard of it, and heeds a thin line; null
   * where there is nothing to compare with.
   */
  async quality(): Promise<Quality | null> {
    const { leg } = this;
    const stats = [...((await leg?.peer.getStats())?.values() ?? [])];
    const at = performance.now();
    const measured = measure(stats, this.counters, at);
    if (leg !== this.leg) return measured.quality; // those were the figures of a leg that is over
    this.counters = measured.now;
    const { message, now: heard } = hearing(stats, this.heard, at);
    this.heard = heard;
    if (message !== null && this.up) this.send(message);
    if (leg !== null) await limit(leg.peer, this.thin.look(stats, at));
    return measured.quality;
  }

  /** Lets camera and microphone go at once, and the connection after its last words. */
  close(reason: string | null): void {
    if (this.closed) return;
    if (reason !== null) this.send({ type: "hang-up", reason });
    this.closed = true;
    clearInterval(this.timer);
    for (const track of this.local?.getTracks() ?? []) track.stop();
    this.leg?.close();
    this.fresh?.close();
    this.spare?.close();
  }

  private equip(local: MediaStream | null): void {
    if (this.closed) {
      for (const track of local?.getTracks() ?? []) track.stop();
      return;
    }
    this.local = local;
    this.leg?.give(local);
    this.fresh?.give(local);
    // Not before: a page that may use the devices may name its addresses, another hides them.
    if (this.number < 0) this.spare = new Leg(this.iceServers);
  }

  private show(leg: Leg): void {
    for (const old of this.remote.getTracks()) this.remote.removeTrack(old);
    for (const track of leg.tracks) this.remote.addTrack(track);
  }

  /** Speaks on `leg` from now on. What the kiosk may not have heard is said again. */
  private use(leg: Leg, channels: Channels): void {
    if (this.closed) return;
    const first = this.leg === null;
    this.leg?.close();
    this.leg = leg;
    this.fresh = null;
    // A leg that ends is looked after by the kiosk, which offers another.
    leg.onOpen = leg.onTrack = leg.onClosed = () => {};
    this.control = channels.control;
    this.control.onmessage = (event: MessageEvent<string>) => this.hear(event.data);
    this.show(leg);
    this.heardAt = performance.now();
    this.counters = { at: this.heardAt, bytes: 0, lost: 0, received: 0 };
    this.heard = null;
    this.thin = new Thin();
    this.receiver.attach(channels.toAgent);
    this.sender.attach(channels.toKiosk, new Pace(gauge(leg.peer)));
    for (const { message } of this.unheard) this.send(message);
    this.setInterrupted(false);
    if (!first) return;
    this.timer = window.setInterval(() => this.beat(), HEARTBEAT_MS);
    this.onOpen();
  }

  private send(message: Message): void {
    if (this.control?.readyState === "open") this.control.send(JSON.stringify(message));
  }

  private hear(text: string): void {
    if (this.closed) return;
    this.heardAt = performance.now();
    if (this.fresh === null) this.setInterrupted(false);
    let message: Message;
    try {
      message = JSON.parse(text) as Message;
    } catch {
      return; // docs/protocol.md: what is not understood is ignored
    }
    if (message.type === "heartbeat") {
      this.lastAt = Number(message.at);
      const echo = Number(message.echo ?? 0);
      this.unheard = this.unheard.filter((one) => one.at > echo);
    } else if (message.type === "queue-gone") void this.hearAnew();
    else this.onControl(message);
  }

  private async hearAnew(): Promise<void> {
    const { leg } = this;
    if (leg === null || !(await hearAnew(leg.peer).catch(() => false)) || leg !== this.leg) return;
    // The totals of the voice begin anew.
    this.counters = null;
    this.heard = null;
  }

  private beat(): void {
    this.send({ type: "heartbeat", at: performance.now(), echo: this.lastAt });
    const now = performance.now();
    if (this.leg !== null && this.fresh !== null && now - this.freshAt > FRESH_MS) {
      this.fresh.close(); // the kiosk has found its way back on the leg in use
      this.fresh = null;
    }
    const silence = now - this.heardAt;
    if (silence > LOST_MS) this.broken("lost");
    else if (silence > INTERRUPTED_MS) this.setInterrupted(true);
  }

  private broken(reason: "lost" | "failed"): void {
    if (!this.closed) this.onBroken(reason);
  }

  private setInterrupted(interrupted: boolean): void {
    if (interrupted === this.interrupted) return;
    this.interrupted = interrupted;
    if (this.leg !== null) this.onInterrupted(interrupted);
  }
}
