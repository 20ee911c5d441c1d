// One leg of a call: the answering side of one peer connection and its three channels.

import { sendsRed, withoutFec } from "./speech";

const GATHER_MS = 2000; // from the beginning: by then a server that answers has done so
const NOWHERE_MS = 1000; // the machine's own addresses come within a tenth of it
const LEAST_MS = 200;
const SIBLINGS_MS = 20; // of a candidate: the machine's other addresses come with its first
const FAREWELL_MS = 300; // the control channel's last message leaves before the connection closes

export interface Channels {
  control: RTCDataChannel;
  toAgent: RTCDataChannel;
  toKiosk: RTCDataChannel;
}

export class Leg {
  /** All three channels are there. */
  onOpen: (channels: Channels) => void = () => {};
  /** Another of the kiosk's tracks is there; it begins when its first packet comes. */
  onTrack: () => void = () => {};
  /** It carries nothing any more, and will not again. */
  onClosed: () => void = () => {};
  readonly tracks: MediaStreamTrack[] = [];
  readonly peer: RTCPeerConnection;
  private readonly channels = new Map<string, RTCDataChannel>();
  private readonly begun = performance.now();
  private readonly wanted: string[];
  private local: MediaStream | null = null;

  /** Begins to gather candidates at once, so that they are there when the offer is. */
  constructor(iceServers: RTCIceServer[]) {
    const urls = iceServers.flatMap((one) => one.urls);
    const has = (scheme: string): boolean => urls.some((url) => url.startsWith(scheme));
    this.wanted = ["host", ...(has("stun") ? ["srflx"] : []), ...(has("turn") ? ["relay"] : [])];
    this.peer = new RTCPeerConnection({
      iceServers,
      iceCandidatePoolSize: 1,
      bundlePolicy: "max-bundle",
    });
    this.peer.ontrack = (event) => {
      this.tracks.push(event.track);
      this.onTrack();
    };
    this.peer.ondatachannel = (event) => this.channel(event.channel);
    this.peer.onconnectionstatechange = () => {
      if (this.peer.connectionState === "failed") this.onClosed();
    };
  }

  /** Answers the kiosk's offer, with all candidates. What we have to show may come later. */
  async answer(sdp: string, local: MediaStream | null): Promise<string | null> {
    await this.peer.setRemoteDescription({ type: "offer", sdp: withoutFec(sdp, sendsRed()) });
    for (const one of this.peer.getTransceivers()) one.direction = "sendrecv";
    // Camera and microphone may have come while the offer was read.
    this.give(this.local ?? local);
    await this.peer.setLocalDescription(await this.peer.createAnswer());
    await this.gathered();
    return this.peer.localDescription?.sdp ?? null;
  }

  /** Shows and says this from now on. */
  give(local: MediaStream | null): void {
    this.local = local;
    for (const track of local?.getTracks() ?? []) {
      const kind = track.kind;
      const ours = this.peer.getTransceivers().find((one) => one.receiver.track.kind === kind);
      void ours?.sender.replaceTrack(track);
    }
  }

  /** Closes the connection, after its last words. */
  close(): void {
    this.onOpen = this.onTrack = this.onClosed = () => {};
    setTimeout(() => this.peer.close(), FAREWELL_MS);
  }

  /** Resolves when there is a candidate of each kind to be had: not all that may still come. */
  private gathered(): Promise<void> {
    return new Promise((resolve) => {
      // A STUN or TURN server that does not answer delays nobody for long.
      const spent = performance.now() - this.begun;
      const limit = setTimeout(resolve, Math.max(LEAST_MS, GATHER_MS - spent));
      setTimeout(() => {
        if (!this.reachable) resolve();
      }, NOWHERE_MS);
      const look = (): void => {
        const complete = this.peer.iceGatheringState === "complete";
        if (!complete && !this.enough()) return;
        clearTimeout(limit);
        setTimeout(resolve, complete ? 0 : SIBLINGS_MS);
      };
      this.peer.onicegatheringstatechange = this.peer.onicecandidate = look;
      look();
    });
  }

  /** Whether the answer says where: else nobody can reach this connection. */
  get reachable(): boolean {
    return this.peer.localDescription?.sdp.includes("a=candidate:") ?? false;
  }

  private enough(): boolean {
    const found = (this.peer.localDescription?.sdp ?? "").matchAll(/ udp .* typ (\w+)/g);
    const kinds = new Set(Array.from(found, ([, kind]) => kind));
    return this.wanted.every((kind) => kinds.has(kind));
  }

  private channel(channel: RTCDataChannel): void {
    this.channels.set(channel.label, channel);
    channel.addEventListener("close", () => this.onClosed());
    const control = this.channels.get("control");
    const toAgent = this.channels.get("documents-to-agent");
    const toKiosk = this.channels.get("documents-to-kiosk");
    if (control && toAgent && toKiosk) this.onOpen({ control, toAgent, toKiosk });
  }
}
