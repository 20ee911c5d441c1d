// The agent's voice and picture on a thin line. Chromium sends each packet of speech twice (RED,
// RFC 2198), which its share for speech does not count: on 256 kbit/s its picture gets so much that
// a queue of a second stands before the line. So speech is made smaller, and the picture has what
// speech really leaves.

import type { Stat } from "./quality";

const THIN_BPS = 300_000;
const WIDE_BPS = 420_000; // not the same: it would go to and fro
const SPEECH_BPS = 20_000; // wide-band (RFC 6716, section 2.1.1), and with RED some 65 kbit/s
const USED = 0.95; // of what the browser thinks the line takes
const LEAST_PICTURE_BPS = 40_000;
const STEP = 0.1; // a change of less than a tenth is not worth an encoder's new settings

/** Bits per second, headers included; undefined: as the browser likes. */
export interface Limits {
  speech: number | undefined;
  picture: number | undefined;
}

/** Looks at a browser's figures once a second. Knows nothing of the browser itself. */
export class Thin {
  private thin = false;
  private spoken: { at: number; bytes: number } | null = null;
  private picture: number | undefined;

  /** Returns the limits by a statistics report, taken at `at` ms. */
  look(stats: Iterable<Stat>, at: number): Limits {
    let available = 0;
    let bytes = 0;
    for (const one of stats) {
      if (one.type === "candidate-pair")
        available = Math.max(available, Number(one.availableOutgoingBitrate ?? 0));
      if (one.type === "outbound-rtp" && one.kind === "audio")
        bytes += Number(one.bytesSent ?? 0) + Number(one.headerBytesSent ?? 0);
    }
    const before = this.spoken;
    this.spoken = { at, bytes };
    this.thin = available > 0 && available < (this.thin ? WIDE_BPS : THIN_BPS);
    if (!this.thin) {
      this.picture = undefined;
    } else if (before !== null && at > before.at) {
      const speech = Math.max(0, (8000 * (bytes - before.bytes)) / (at - before.at));
      const wanted = Math.max(LEAST_PICTURE_BPS, USED * available - speech);
      const now = this.picture;
      if (now === undefined || Math.abs(wanted - now) > STEP * now)
        this.picture = Math.round(wanted);
    }
    return { speech: this.thin ? SPEECH_BPS : undefined, picture: this.picture };
  }
}

/** Sets what has changed of the limits. A browser that does not take them sends as it likes. */
export async function limit(peer: RTCPeerConnection, limits: Limits): Promise<void> {
  for (const sender of peer.getSenders()) {
    const most = sender.track?.kind === "audio" ? limits.speech : limits.picture;
    const parameters = sender.getParameters();
    const first = parameters.encodings?.[0];
    if (!sender.track || first === undefined || first.maxBitrate === most) continue;
    if (most === undefined) delete first.maxBitrate;
    else first.maxBitrate = most;
    await sender.setParameters(parameters).catch(() => {});
  }
}
