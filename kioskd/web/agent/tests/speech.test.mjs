import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { sendsRed, withoutFec } = await load("speech");

const offer = (fec) =>
  [
    "m=audio 9 UDP/TLS/RTP/SAVPF 63 96",
    "a=rtpmap:96 opus/48000/2",
    `a=fmtp:96 minptime=10;useinbandfec=${fec}`,
    "a=rtpmap:63 red/48000/2",
    "a=fmtp:63 96/96",
    "",
  ].join("\r\n");

function inBrowserWith(mimeTypes) {
  globalThis.RTCRtpSender = {
    getCapabilities: (kind) =>
      kind === "audio" ? { codecs: mimeTypes.map((mimeType) => ({ mimeType })) } : null,
  };
}

test("speech that is sent twice has no FEC", () => {
  inBrowserWith(["audio/opus", "audio/red"]);
  assert.equal(withoutFec(offer(1), sendsRed()), offer(0));
});

test("a browser without RED sends FEC", () => {
  inBrowserWith(["audio/opus"]);
  assert.equal(withoutFec(offer(1), sendsRed()), offer(1));
});

test("an offer without FEC is taken as it is", () => {
  assert.equal(withoutFec(offer(0), true), offer(0));
});
