import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { Thin } = await load("thin");

/** A second after a second of a line by calculation; speech takes so many bits of it. */
function* seconds(thin, speech) {
  let bytes = 0;
  let available = yield;
  for (let at = 1000; ; at += 1000) {
    bytes += speech / 8;
    const stats = [
      // Only the pair in use says it (webrtc-stats), be it the one that was nominated or not.
      { type: "candidate-pair", nominated: false, availableOutgoingBitrate: available },
      { type: "candidate-pair", nominated: true },
      { type: "outbound-rtp", kind: "audio", bytesSent: bytes * 0.7, headerBytesSent: bytes * 0.3 },
      { type: "outbound-rtp", kind: "video", bytesSent: 1e9 },
    ];
    available = yield thin.look(stats, at);
  }
}

function line(speech) {
  const one = seconds(new Thin(), speech);
  one.next();
  return (available) => one.next(available).value;
}

test("a line that is wide enough is the browser's", () => {
  const look = line(90_000);
  for (const available of [2_000_000, 600_000, 300_000])
    assert.deepEqual(look(available), { speech: undefined, picture: undefined });
});

test("a browser that knows no rate is left alone", () => {
  assert.deepEqual(line(90_000)(undefined), { speech: undefined, picture: undefined });
});

test("on a thin line speech is small, and the picture has what it leaves", () => {
  const look = line(65_000);
  look(600_000);
  assert.deepEqual(look(200_000), { speech: 20_000, picture: 125_000 });
});

test("small changes are not followed, larger ones are, down to a least picture", () => {
  const look = line(60_000);
  look(600_000);
  assert.equal(look(200_000).picture, 130_000);
  assert.equal(look(206_000).picture, 130_000);
  assert.equal(look(230_000).picture, 158_500);
  assert.equal(look(50_000).picture, 40_000);
});

test("a line that varies about the limit does not go to and fro", () => {
  const look = line(60_000);
  look(600_000);
  assert.equal(look(290_000).speech, 20_000);
  assert.equal(look(400_000).speech, 20_000);
  assert.deepEqual(look(430_000), { speech: undefined, picture: undefined });
  assert.equal(look(400_000).speech, undefined);
});
