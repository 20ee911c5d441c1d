// How good the connection is: as the kiosk says it, which knows both directions; from a kiosk that
// says nothing, figures of getStats made into one of three levels.

import type { Message } from "./line";

export interface Counters {
  at: number;
  bytes: number;
  lost: number;
  received: number;
}

export interface Quality {
  level: "good" | "fair" | "poor";
  /** Round trip in ms. */
  rtt: number;
  /** Packets lost on the way here since the last look, in percent. */
  loss: number;
  /** What arrives, in kbit/s. */
  rate: number;
}

export type Stat = Record<string, unknown> & { type: string };

const number = (value: unknown): number => (typeof value === "number" ? value : 0);

/** Compares a statistics report, taken at `at` ms, with the `last` one; null without one. */
export function measure(
  stats: Iterable<Stat>,
  last: Counters | null,
  at: number,
): { quality: Quality | null; now: Counters } {
  const now: Counters = { at, bytes: 0, lost: 0, received: 0 };
  const all = [...stats];
  const inUse = selected(all);
  let rtt = 0;
  let outward = 0;
  for (const one of all) {
    if (one.type === "inbound-rtp") {
      now.bytes += number(one.bytesReceived);
      now.lost += number(one.packetsLost);
      now.received += number(one.packetsReceived);
    } else if (one === inUse) {
      rtt = Math.round(number(one.currentRoundTripTime) * 1000);
    } else if (one.type === "remote-inbound-rtp") {
      outward = Math.max(outward, 100 * number(one.fractionLost));
    }
  }
  if (last === null) return { quality: null, now };
  const gone = Math.max(0, now.lost - last.lost);
  const sent = gone + Math.max(0, now.received - last.received);
  const loss = sent > 0 ? Math.round((1000 * gone) / sent) / 10 : 0;
  const rate = Math.max(0, Math.round((8 * (now.bytes - last.bytes)) / Math.max(1, at - last.at)));
  const worst = Math.max(loss, outward);
  const level = worst > 5 || rtt > 500 ? "poor" : worst > 1 || rtt > 250 ? "fair" : "good";
  return { quality: { level, rtt, loss, rate }, now };
}

/** The pair of candidates in use; of those that are nominated there may be several. */
function selected(stats: Stat[]): Stat | undefined {
  const id = stats.find((one) => one.type === "transport")?.selectedCandidatePairId;
  const pairs = stats.filter((one) => one.type === "candidate-pair");
  return pairs.find((one) => one.id === id || one.selected === true); // Firefox marks it
}

/** What is shown: bars from 0 to 4, and the keys of the words beside them and of the note. */
export interface Shown {
  bars: number;
  level: Quality["level"] | "lost";
  notes: string[];
}

const LOCAL_BARS = { good: 4, fair: 3, poor: 1 };

/** `told` is the kiosk's last `quality`, null for none; `level` is what this side measures. */
export function shown(told: Message | null, level: Quality["level"], interrupted: boolean): Shown {
  if (interrupted) return { bars: 0, level: "lost", notes: [] };
  if (typeof told?.bars !== "number") return { bars: LOCAL_BARS[level], level, notes: [] };
  const bars = Math.min(4, Math.max(0, Math.round(told.bars)));
  if (told.poor !== true) return { bars, level: bars > 3 ? "good" : "fair", notes: [] };
  const unheard = told.direction === "to-kiosk";
  return { bars, level: "poor", notes: unheard ? ["line-weak", "speak-slowly"] : ["line-weak"] };
}
