// Documents over the two data channels, as docs/protocol.md has them.

import { newId } from "./ids";
import type { Message } from "./line";
import type { Pace } from "./pace";

const CHUNK = 65_528;
const OFFSET = 8; // bytes of the offset before each chunk
const LEAST_CHUNK = 1000; // of anything but the end: it fills a packet, more or less
const LOOK_MS = 20; // how often a document that waits for room looks for it
const WINDOW = 1024 * 1024;
const ACK_EVERY = 256 * 1024;
const RECEIVE_LIMIT = 64 * 1024 * 1024;
export const SEND_LIMIT = 20 * 1024 * 1024;
const PDF = "application/pdf";

export interface Received {
  name: string;
  pages: number | null;
  data: Blob;
}

interface Header {
  id: string;
  name: string;
  media_type: string;
  size: number;
  sha256: string;
  pages: number | null;
}

async function sha256(data: ArrayBuffer): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return Array.from(digest, (one) => one.toString(16).padStart(2, "0")).join("");
}

/** Reads a text frame; null for what is none of ours. */
function read(text: string): Message | null {
  try {
    const message: unknown = JSON.parse(text);
    return typeof message === "object" && message !== null ? (message as Message) : null;
  } catch {
    return null;
  }
}

function header(message: Message): Header | null {
  const texts = ["id", "name", "media_type", "sha256"];
  const right = texts.every((key) => typeof message[key] === "string");
  const size = Number.isSafeInteger(message.size) && Number(message.size) >= 0;
  return right && size ? (message as unknown as Header) : null;
}

function same(one: Header, other: Header | null): boolean {
  return one.id === other?.id && one.sha256 === other.sha256 && one.size === other.size;
}

/** Receives what the resident sends, one document at a time. */
export class Receiver {
  /** Bytes so far and in all; both 0 when nothing is under way any more. */
  onProgress: (received: number, size: number) => void = () => {};
  onReceived: (document: Received) => void = () => {};
  /** A document is coming, or none any more. */
  onComing: (coming: boolean) => void = () => {};
  /** A document that had begun will not come; the reason is a document fault. */
  onFailed: (reason: string) => void = () => {};
  private document: Header | null = null;
  /** The one that arrived before: its `done` may have been lost with a leg. */
  private last: Header | null = null;
  /** The one whose checksum is being made. */
  private checked: Header | null = null;
  private chunks: Uint8Array[] = [];
  private received = 0;
  private acked = 0;
  private channel: RTCDataChannel | null = null;
  /** Where the kiosk has offered the document: it hears no other answer to it. */
  private offeredOn: RTCDataChannel | null = null;

  /** Uses the channel of a new leg; the document under way goes on there. */
  attach(channel: RTCDataChannel): void {
    this.channel = channel;
    channel.binaryType = "arraybuffer";
    channel.addEventListener("message", (event: MessageEvent<string | ArrayBuffer>) => {
      if (channel !== this.channel) return; // late, on the leg before
      if (typeof event.data === "string") this.text(event.data);
      else this.chunk(event.data);
    });
  }

  /** Gives up the document under way, if there is one. */
  cancel(reason = "cancelled"): void {
    if (this.document === null) return;
    this.say({ type: "cancel", id: this.document.id, reason });
    this.fail(reason);
  }

  private say(message: Message): void {
    if (this.channel?.readyState === "open") this.channel.send(JSON.stringify(message));
  }

  private text(text: string): void {
    const message = read(text);
    if (message?.type === "cancel" && message.id === this.document?.id) {
      this.fail(String(message.reason));
    }
    if (message?.type !== "document") return;
    const offered = header(message);
    this.offeredOn = this.channel;
    if (offered !== null && same(offered, this.checked)) {
      // Its `done` follows, as soon as the checksum is known.
      this.say({ type: "accept", id: offered.id, offset: offered.size });
      return;
    }
    if (offered !== null && same(offered, this.last)) {
      this.say({ type: "accept", id: offered.id, offset: offered.size });
      this.say({ type: "done", id: offered.id });
      return;
    }
    const fault = offered === null ? "protocol" : this.fault(offered);
    if (offered === null || fault !== null) {
      this.say({ type: "refuse", id: message.id, reason: fault });
      return;
    }
    this.document = offered;
    this.onComing(true);
    this.acked = this.received;
    this.say({ type: "accept", id: offered.id, offset: this.received });
  }

  private fault(offered: Header): string | null {
    if (this.document !== null && !same(offered, this.document)) return "busy";
    if (offered.media_type !== PDF) return "wrong-type";
    if (offered.size === 0) return "empty";
    return offered.size > RECEIVE_LIMIT ? "too-large" : null;
  }

  private chunk(buffer: ArrayBuffer): void {
    const document = this.document;
    if (document === null) return; // late, of a document given up before
    const length = buffer.byteLength - OFFSET;
    const whole = length >= 1 && length <= CHUNK && this.received + length <= document.size;
    if (!whole || Number(new DataView(buffer).getBigUint64(0)) !== this.received) {
      this.cancel("protocol");
      return;
    }
    this.chunks.push(new Uint8Array(buffer, OFFSET));
    this.received += length;
    this.onProgress(this.received, document.size);
    if (this.received === document.size || this.received - this.acked >= ACK_EVERY) {
      this.acked = this.received;
      this.say({ type: "ack", id: document.id, received: this.received });
    }
    if (this.received === document.size) void this.finish(document);
  }

  private async finish(document: Header): Promise<void> {
    const data = new Blob(this.chunks as BlobPart[], { type: PDF });
    this.forget();
    this.checked = document;
    const right = (await sha256(await data.arrayBuffer())) === document.sha256;
    this.checked = null;
    // On a leg that came meanwhile the kiosk is still to offer it, and is answered then.
    const heard = this.offeredOn === this.channel;
    if (right) {
      this.last = document;
      if (heard) this.say({ type: "done", id: document.id });
      this.onReceived({ name: document.name, pages: document.pages, data });
    } else {
      if (heard) this.say({ type: "cancel", id: document.id, reason: "checksum" });
      this.onFailed("checksum");
    }
  }

  private fail(reason: string): void {
    this.forget();
    this.onFailed(reason);
  }

  private forget(): void {
    this.document = null;
    this.chunks = [];
    this.received = this.acked = 0;
    this.onComing(false);
    this.onProgress(0, 0);
  }
}

/** Sends a PDF to the kiosk, one at a time. */
export class Sender {
  /** The kiosk has `done`, from 0 to 1, of the document. */
  onProgress: (done: number) => void = () => {};
  /** The kiosk does not take the document; the reason is a document fault. */
  onRefused: (reason: string) => void = () => {};
  private id = "";
  private data = new ArrayBuffer(0);
  private sent = 0;
  private acked = 0;
  private flowing = false;
  private channel: RTCDataChannel | null = null;
  private pace: Pace | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private header: Message | null = null;

  /** Uses the channel of a new leg, at its pace; the document under way is offered again there. */
  attach(channel: RTCDataChannel, pace: Pace | null = null): void {
    this.channel = channel;
    this.pace = pace;
    this.flowing = false;
    channel.bufferedAmountLowThreshold = WINDOW / 4;
    channel.addEventListener("bufferedamountlow", () => this.pump());
    channel.addEventListener("message", (event: MessageEvent<unknown>) => {
      if (channel === this.channel && typeof event.data === "string") this.text(event.data);
    });
    if (this.header !== null) this.say(this.header);
  }

  /** Offers a file as document `id`; the rest follows from the kiosk's answers. */
  async send(file: File, id: string = newId()): Promise<void> {
    this.forget();
    this.id = id;
    const data = await file.arrayBuffer();
    const checksum = await sha256(data);
    if (this.id !== id) return; // cancelled meanwhile
    this.data = data;
    this.header = {
      type: "document",
      id,
      name: file.name.slice(0, 200),
      media_type: PDF,
      size: data.byteLength,
      sha256: checksum,
      pages: null,
      request: null,
    };
    this.say(this.header);
  }

  /** Gives up the document under way; nothing when it has arrived already. */
  cancel(): void {
    if (this.id !== "") this.say({ type: "cancel", id: this.id, reason: "cancelled" });
    this.forget();
  }

  private say(message: Message): void {
    if (this.channel?.readyState === "open") this.channel.send(JSON.stringify(message));
  }

  private text(text: string): void {
    const message = read(text);
    if (message === null || this.id === "" || message.id !== this.id) return;
    const figure = Number(message.type === "accept" ? message.offset : message.received);
    switch (message.type) {
      case "accept":
        if (this.flowing || !(figure >= 0 && figure <= this.data.byteLength)) return this.refuse();
        this.sent = this.acked = figure;
        this.flowing = true;
        return this.pump();
      case "ack":
        if (!this.flowing || !(figure >= this.acked && figure <= this.sent)) return this.refuse();
        this.acked = figure;
        this.onProgress(figure / this.data.byteLength);
        return this.pump();
      case "refuse":
      case "cancel":
        this.forget();
        return this.onRefused(String(message.reason));
      case "done":
        return this.forget();
    }
  }

  private refuse(): void {
    this.say({ type: "cancel", id: this.id, reason: "protocol" });
    this.forget();
    this.onRefused("protocol");
  }

  private pump(): void {
    const channel = this.channel;
    clearTimeout(this.timer);
    while (channel !== null && this.flowing && this.sent < this.data.byteLength) {
      const rest = this.data.byteLength - this.sent;
      const room = (this.pace?.room() ?? Infinity) - OFFSET;
      if (room < Math.min(LEAST_CHUNK, rest)) {
        this.timer = setTimeout(() => this.pump(), LOOK_MS);
        return;
      }
      const length = Math.min(CHUNK, rest, room);
      const full = this.sent + length - this.acked > WINDOW;
      // What waits in the channel is kept small, so that a cancel is not far behind.
      const congested = channel.bufferedAmount > WINDOW / 2;
      if (full || congested || channel.readyState !== "open") return;
      const frame = new Uint8Array(OFFSET + length);
      new DataView(frame.buffer).setBigUint64(0, BigInt(this.sent));
      frame.set(new Uint8Array(this.data, this.sent, length), OFFSET);
      channel.send(frame);
      this.pace?.took(frame.byteLength);
      this.sent += length;
    }
  }

  private forget(): void {
    this.id = "";
    this.header = null;
    this.data = new ArrayBuffer(0);
    this.sent = this.acked = 0;
    this.flowing = false;
  }
}
