// What this browser hears and sees of the resident: `hearing` of docs/protocol.md, by getStats.

import type { Message } from "./line";
import type { Stat } from "./quality";

export interface Totals {
  at: number;
  /** Samples of sound played, and of them those that were made up, in so many runs. */
  samples: number;
  concealed: number;
  gaps: number;
  /** Seconds that all samples together waited, and how many they are. */
  waited: number;
  emitted: number;
  frozen: number;
}

const SAMPLES_A_MS = 48;
const number = (value: unknown): number => (typeof value === "number" ? value : 0);
const share = (part: number, whole: number): number => Math.min(1, Math.max(0, part / whole));

/**
 * Compares a report of getStats, taken at `at` ms, with the `last` one; null for the first of a
 * leg. There is no message where no sound has come since.
 */
export function hearing(
  stats: Iterable<Stat>,
  last: Totals | null,
  at: number,
): { message: Message | null; now: Totals } {
  const now = { at, samples: 0, concealed: 0, gaps: 0, waited: 0, emitted: 0, frozen: 0 };
  let fps: number | null = null;
  let height: number | null = null;
  for (const one of stats) {
    if (one.type !== "inbound-rtp") continue;
    if (one.kind === "audio") {
      now.samples += number(one.totalSamplesReceived);
      now.concealed += number(one.concealedSamples);
      now.gaps += number(one.concealmentEvents);
      now.waited += number(one.jitterBufferDelay);
      now.emitted += number(one.jitterBufferEmittedCount);
    } else if (one.kind === "video") {
      now.frozen += number(one.totalFreezesDuration);
      if (typeof one.framesPerSecond === "number") fps = one.framesPerSecond;
      if (typeof one.frameHeight === "number") height = one.frameHeight;
    }
  }
  if (last === null || now.samples <= last.samples || at <= last.at) return { message: null, now };
  const concealed = Math.max(0, now.concealed - last.concealed);
  const gaps = now.gaps - last.gaps;
  const emitted = now.emitted - last.emitted;
  const message = {
    type: "hearing",
    seconds: Math.min(60, (at - last.at) / 1000),
    concealed: share(concealed, now.samples - last.samples),
    gap_ms: gaps > 0 ? Math.min(60_000, concealed / gaps / SAMPLES_A_MS) : null,
    buffer_ms: emitted > 0 ? Math.min(60_000, (1000 * (now.waited - last.waited)) / emitted) : null,
    fps,
    // A freeze counts once it is over, and may be longer than the time since the last look.
    frozen: height === null ? null : share(1000 * (now.frozen - last.frozen), at - last.at),
    height,
  };
  return { message, now };
}
