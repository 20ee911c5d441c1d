// How fast a document may go to the kiosk: what the line has beside speech and picture.

const LOOK_MS = 250;
const LEAST_SHARE = 0.25; // of what the browser thinks the line takes: the resident waits for it
const LEAST_BPS = 16_000;
const MOST_ROOM = 256 * 1024;
const BURST_S = 0.04;

/** The clock and the browser's figures, which a test gives in its own way. */
export interface Gauge {
  /** Milliseconds of a steady clock. */
  now(): number;
  stats(): Promise<Iterable<[string, object]>>;
}

export function gauge(peer: RTCPeerConnection): Gauge {
  return {
    now: () => performance.now(),
    stats: async () => (await peer.getStats()) as unknown as Iterable<[string, object]>,
  };
}

interface Figures {
  type?: string;
  availableOutgoingBitrate?: number;
  bytesSent?: number;
  headerBytesSent?: number;
}

/** Lets a document through by the bucketful. A browser that knows no rate lets all through. */
export class Pace {
  private bps = Infinity;
  private bytes = 0;
  private at: number;
  private lookedAt: number;
  private sent: { at: number; bytes: number } | null = null;

  constructor(private readonly gauge: Gauge) {
    this.at = this.lookedAt = gauge.now();
    void this.look(this.at);
  }

  /** Bytes that may be sent now. To be asked some fifty times a second. */
  room(): number {
    const now = this.gauge.now();
    if (now - this.lookedAt >= LOOK_MS) {
      this.lookedAt = now;
      void this.look(now);
    }
    if (this.bps === Infinity) return Infinity;
    const most = Math.min(MOST_ROOM, Math.max(4096, (this.bps / 8) * BURST_S));
    this.bytes = Math.min(most, this.bytes + ((this.bps / 8) * (now - this.at)) / 1000);
    this.at = now;
    return Math.floor(this.bytes);
  }

  took(bytes: number): void {
    this.bytes -= bytes;
  }

  private async look(now: number): Promise<void> {
    let available = 0;
    let bytes = 0;
    for (const [, one] of await this.gauge.stats()) {
      const figures: Figures = one;
      if (figures.type === "candidate-pair")
        available = Math.max(available, figures.availableOutgoingBitrate ?? 0);
      if (figures.type === "outbound-rtp")
        bytes += (figures.bytesSent ?? 0) + (figures.headerBytesSent ?? 0);
    }
    const before = this.sent;
    this.sent = { at: now, bytes };
    if (available === 0) return;
    const media = before === null ? 0 : (8000 * (bytes - before.bytes)) / (now - before.at);
    if (this.bps === Infinity) [this.bytes, this.at] = [0, now];
    this.bps = Math.max(LEAST_BPS, LEAST_SHARE * available, available - Math.max(0, media));
  }
}
