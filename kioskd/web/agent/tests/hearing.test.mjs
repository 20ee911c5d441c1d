import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { hearing } = await load("hearing");
const audio = (samples, concealed, gaps, waited, emitted) => ({
  ...{ type: "inbound-rtp", kind: "audio", totalSamplesReceived: samples },
  ...{ concealedSamples: concealed, concealmentEvents: gaps },
  ...{ jitterBufferDelay: waited, jitterBufferEmittedCount: emitted },
});
const video = (frozen, fps, frameHeight) => ({
  ...{ type: "inbound-rtp", kind: "video", totalFreezesDuration: frozen },
  ...{ framesPerSecond: fps, frameHeight },
});

test("figures are those since the last look", () => {
  const first = hearing([audio(48_000, 9600, 7, 2000, 48_000), video(3, 30, 480)], null, 1000);
  assert.equal(first.message, null); // nobody knows of what time those are
  const next = [audio(144_000, 14_400, 12, 6800, 144_000), video(3.5, 24, 240)];
  assert.deepEqual(hearing(next, first.now, 3000).message, {
    ...{ type: "hearing", seconds: 2, concealed: 0.05, gap_ms: 20, buffer_ms: 50 },
    ...{ fps: 24, frozen: 0.25, height: 240 },
  });
});

test("what there is not is null, and without sound nothing is said", () => {
  const first = hearing([], null, 0);
  assert.equal(hearing([video(0, 30, 480)], first.now, 2000).message, null);
  const { message } = hearing([audio(96_000, 0, 0, 0, 0)], first.now, 2000);
  assert.deepEqual(message, {
    ...{ type: "hearing", seconds: 2, concealed: 0, gap_ms: null, buffer_ms: null },
    ...{ fps: null, frozen: null, height: null },
  });
});

test("shares stay shares, as the kiosk wants them", () => {
  const first = hearing([audio(48_000, 0, 0, 0, 0), video(0, 0, 480)], null, 0);
  const late = [audio(49_000, 96_000, 1, 0, 0), video(9, 0, 480)]; // a long freeze has just ended
  const { message } = hearing(late, first.now, 2000);
  assert.equal(message.concealed, 1);
  assert.equal(message.frozen, 1);
});
