import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { load } from "./load.mjs";

const { hearAnew, waitLonger, withOtherVoice } = await load("jitter");

const offer = [
  "v=0",
  "m=audio 9 UDP/TLS/RTP/SAVPF 96",
  "a=ssrc:1000 cname:x",
  "m=video 9 UDP/TLS/RTP/SAVPF 97",
  "a=ssrc:2000 cname:x",
  "",
].join("\r\n");
const other = offer.replace("ssrc:1000", "ssrc:1001");

class Peer {
  taken = [];
  signalingState = "stable";
  currentRemoteDescription = { type: "offer", sdp: offer };

  async setRemoteDescription({ sdp }) {
    this.taken.push(sdp);
    if (sdp === this.refused) throw new Error("no");
  }

  async setLocalDescription() {
    this.taken.push("answer");
  }
}

function inBrowser(brand) {
  const userAgentData = brand ? { brands: [{ brand }] } : undefined;
  Object.defineProperty(globalThis, "navigator", { value: { userAgentData }, configurable: true });
}

beforeEach(() => inBrowser("Chromium"));

test("only the voice gets another number", () => {
  assert.equal(withOtherVoice(offer), other);
  assert.equal(withOtherVoice(withOtherVoice(offer)), offer);
});

test("of 32 bits none is a sign", () => {
  const high = offer.replace("ssrc:1000", "ssrc:4294967294");
  assert.equal(withOtherVoice(high), offer.replace("ssrc:1000", "ssrc:4294967295"));
});

test("only the voice waits longer, and then as it likes", () => {
  const receivers = ["audio", "video"].map((kind) => ({
    track: { kind },
    jitterBufferTarget: null,
  }));
  const peer = { getReceivers: () => receivers };
  waitLonger(peer, true);
  assert.deepEqual(
    receivers.map((one) => one.jitterBufferTarget > 100),
    [true, false],
  );
  waitLonger(peer, false);
  assert.deepEqual(
    receivers.map((one) => one.jitterBufferTarget),
    [null, null],
  );
});

test("the offer that was taken holds in the end", async () => {
  const peer = new Peer();
  assert.equal(await hearAnew(peer), true);
  assert.deepEqual(peer.taken, [other, "answer", offer, "answer"]);
});

test("one at a time, and then again", async () => {
  const peer = new Peer();
  assert.deepEqual(await Promise.all([hearAnew(peer), hearAnew(peer)]), [true, false]);
  assert.equal(peer.taken.length, 4);
  assert.equal(await hearAnew(peer), true);
});

test("it holds too where the browser does not take the other one", async () => {
  const peer = new Peer();
  peer.refused = other;
  await assert.rejects(hearAnew(peer));
  assert.deepEqual(peer.taken, [other, offer, "answer"]);
});

test("nothing is tried with another browser, or while something is under way", async () => {
  const busy = new Peer();
  busy.signalingState = "have-remote-offer";
  assert.equal(await hearAnew(busy), false);
  inBrowser(undefined);
  const peer = new Peer();
  assert.equal(await hearAnew(peer), false);
  assert.deepEqual([...busy.taken, ...peer.taken], []);
});
