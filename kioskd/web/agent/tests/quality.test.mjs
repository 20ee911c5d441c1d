import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { measure } = await load("quality");
const nothing = { at: 0, bytes: 0, lost: 0, received: 0 };
const inbound = (bytesReceived, packetsReceived, packetsLost) => ({
  ...{ type: "inbound-rtp", bytesReceived, packetsReceived, packetsLost },
});
const pair = (seconds, id = "P") => ({
  ...{ type: "candidate-pair", id, nominated: true, currentRoundTripTime: seconds },
});
const transport = { type: "transport", selectedCandidatePairId: "P" };

test("figures are those since the last look", () => {
  const first = measure([inbound(1000, 100, 0)], nothing, 1000);
  const stats = [inbound(251_000, 198, 2), transport, pair(0.08)];
  const { quality } = measure(stats, first.now, 3000);
  assert.deepEqual(quality, { level: "fair", rtt: 80, loss: 2, rate: 1000 });
});

test("a first look has nothing to compare with, the next one has it", () => {
  const first = measure([inbound(1000, 100, 0)], null, 1000);
  assert.equal(first.quality, null);
  assert.equal(measure([inbound(251_000, 200, 0)], first.now, 3000).quality.rate, 1000);
});

test("loss and delay each make the level", () => {
  const level = (...stats) => measure([transport, ...stats], nothing, 1000).quality.level;
  assert.equal(level(inbound(1, 1000, 0), pair(0.05)), "good");
  assert.equal(level(inbound(1, 90, 10)), "poor");
  assert.equal(level(pair(0.3)), "fair");
  assert.equal(level(pair(0.7)), "poor");
  assert.equal(level({ type: "remote-inbound-rtp", fractionLost: 0.1 }), "poor");
});

test("the round trip is that of the pair in use, not of another that was nominated", () => {
  const rtt = (...stats) => measure(stats, nothing, 1000).quality.rtt;
  assert.equal(rtt(pair(0.05), pair(0.7, "Q"), transport), 50);
  assert.equal(rtt({ ...pair(0.05), selected: true }, pair(0.7, "Q")), 50); // Firefox
});
