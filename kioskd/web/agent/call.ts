// One call: the answering side of the peer connection, and the control channel.

import type { Message } from "./line";
import { type Counters, measure, type Quality } from "./quality";
import { Receiver, Sender } from "./transfer";

const HEARTBEAT_MS = 1000;
const INTERRUPTED_MS = 5000;
const LOST_MS = 15_000;
const GATHER_MS = 2000;
const FAREWELL_MS = 300; // the control channel's last message leaves before the connection closes

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
  receiver: Receiver | null = null;
  sender: Sender | null = null;
  readonly remote = new MediaStream();
  private readonly peer: RTCPeerConnection;
  private control: RTCDataChannel | null = null;
  private answered = false;
  private opened = false;
  private closed = false;
  private heardAt = 0;
  private lastAt: number | null = null;
  private interrupted = false;
  private timer = 0;
  private counters: Counters = { at: performance.now(), bytes: 0, lost: 0, received: 0 };

  constructor(
    iceServers: RTCIceServer[],
    readonly local: MediaStream | null,
  ) {
    this.peer = new RTCPeerConnection({ iceServers });
    this.peer.ontrack = (event) => this.remote.addTrack(event.track);
    this.peer.ondatachannel = (event) => this.channel(event.channel);
    this.peer.onconnectionstatechange = () => {
      const state = this.peer.connectionState;
      if (state === "failed" && !this.opened) this.broken("failed");
    };
  }

  /** True while the call carries words: what the broker says of its end can wait. */
  get up(): boolean {
    return this.opened && !this.interrupted && !this.closed;
  }

  /** Answers the kiosk's offer with all candidates; null when it has been answered already. */
  async answer(sdp: string): Promise<string | null> {
    if (this.answered) return null;
    this.answered = true;
    await this.peer.setRemoteDescription({ type: "offer", sdp });
    if (this.local !== null) {
      for (const track of this.local.getTracks()) this.peer.addTrack(track, this.local);
    }
    await this.peer.setLocalDescription(await this.peer.createAnswer());
    await this.gathered();
    return this.peer.localDescription?.sdp ?? null;
  }

  say(message: Message): void {
    if (this.control?.readyState === "open") this.control.send(JSON.stringify(message));
  }

  setMedia(audio: boolean, video: boolean): void {
    for (const track of this.local?.getAudioTracks() ?? []) track.enabled = audio;
    for (const track of this.local?.getVideoTracks() ?? []) track.enabled = video;
    this.say({ type: "media", audio, video });
  }

  async quality(): Promise<Quality> {
    const stats = await this.peer.getStats();
    const { quality, now } = measure(stats.values(), this.counters, performance.now());
    this.counters = now;
    return quality;
  }

  /** Lets camera and microphone go at once, and the connection after its last words. */
  close(reason: string | null): void {
    if (this.closed) return;
    if (reason !== null) this.say({ type: "hang-up", reason });
    this.closed = true;
    clearInterval(this.timer);
    for (const track of this.local?.getTracks() ?? []) track.stop();
    setTimeout(() => this.peer.close(), FAREWELL_MS);
  }

  private gathered(): Promise<void> {
    return new Promise((resolve) => {
      // A STUN or TURN server that does not answer delays nobody for long.
      const limit = setTimeout(resolve, GATHER_MS);
      const look = (): void => {
        if (this.peer.iceGatheringState !== "complete") return;
        clearTimeout(limit);
        resolve();
      };
      this.peer.onicegatheringstatechange = look;
      look();
    });
  }

  private channel(channel: RTCDataChannel): void {
    if (channel.label === "documents-to-agent") this.receiver = new Receiver(channel);
    if (channel.label === "documents-to-kiosk") this.sender = new Sender(channel);
    if (channel.label === "control") {
      this.control = channel;
      channel.onmessage = (event: MessageEvent<string>) => this.hear(event.data);
      channel.onclose = () => this.broken("lost");
      this.heardAt = performance.now();
      this.timer = window.setInterval(() => this.beat(), HEARTBEAT_MS);
    }
    const ready = this.receiver !== null && this.sender !== null && this.control !== null;
    if (!ready || this.opened || this.closed) return;
    this.opened = true;
    this.onOpen();
  }

  private hear(text: string): void {
    if (this.closed) return;
    this.heardAt = performance.now();
    this.setInterrupted(false);
    let message: Message;
    try {
      message = JSON.parse(text) as Message;
    } catch {
      return; // docs/protocol.md: what is not understood is ignored
    }
    if (message.type === "heartbeat") this.lastAt = Number(message.at);
    else this.onControl(message);
  }

  private beat(): void {
    this.say({ type: "heartbeat", at: performance.now(), echo: this.lastAt });
    const silence = performance.now() - this.heardAt;
    if (silence > LOST_MS) this.broken("lost");
    else if (silence > INTERRUPTED_MS) this.setInterrupted(true);
  }

  private broken(reason: "lost" | "failed"): void {
    if (!this.closed) this.onBroken(reason);
  }

  private setInterrupted(interrupted: boolean): void {
    if (interrupted === this.interrupted) return;
    this.interrupted = interrupted;
    if (this.opened) this.onInterrupted(interrupted);
  }
}
