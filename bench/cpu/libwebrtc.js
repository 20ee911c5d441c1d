// The kiosk's end of a call by libwebrtc (@roamhq/wrtc for node):
//
//     node bench/cpu/libwebrtc.js libwebrtc FOLDER WIDTH HEIGHT BPS
//
// As every end here: it says its offer, hears the answer, and ends with its stdin; JSON by the
// line. What it receives is decoded by libwebrtc itself and handed to nobody.

const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const wrtc = require("@roamhq/wrtc");

const { RTCVideoSource, RTCAudioSource } = wrtc.nonstandard;
const [folder, width, height] = process.argv.slice(3, 6);
const size = (width * height * 3) / 2;
const CHUNK = 480; // 10 ms, which is all that it takes
const FPS = 30;

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

function feed(seconds, give) {
  const begun = performance.now();
  let number = 0;
  const next = () => {
    give(number++);
    setTimeout(next, Math.max(0, begun + number * seconds * 1000 - performance.now()));
  };
  next();
}

function camera() {
  const data = fs.readFileSync(path.join(folder, "pictures"));
  const source = new RTCVideoSource();
  const count = data.length / size;
  // A buffer of its own for each: it takes no part of a larger one.
  const pictures = Array.from({ length: count }, (_, number) =>
    Uint8ClampedArray.from(data.subarray(number * size, (number + 1) * size)),
  );
  feed(1 / FPS, (number) => {
    source.onFrame({ width: Number(width), height: Number(height), data: pictures[number % count] });
  });
  return source.createTrack();
}

function microphone() {
  const file = fs.readFileSync(path.join(folder, "speech"));
  const data = new Int16Array(file.buffer.slice(file.byteOffset, file.byteOffset + file.length));
  const source = new RTCAudioSource();
  const count = Math.floor(data.length / CHUNK);
  feed(CHUNK / 48000, (number) => {
    const first = (number % count) * CHUNK;
    source.onData({
      samples: data.slice(first, first + CHUNK),
      sampleRate: 48000,
      bitsPerSample: 16,
      channelCount: 1,
      numberOfFrames: CHUNK,
    });
  });
  return source.createTrack();
}

async function main() {
  const peer = new wrtc.RTCPeerConnection({});
  const stream = new wrtc.MediaStream();
  peer.addTrack(microphone(), stream);
  peer.addTrack(camera(), stream);
  await peer.setLocalDescription(await peer.createOffer());
  while (peer.iceGatheringState !== "complete") await new Promise((go) => setTimeout(go, 20));
  say({ offer: peer.localDescription.sdp });
  const lines = readline.createInterface({ input: process.stdin });
  lines.once("line", async (line) => {
    // Its rate is in the answer, as in the offer to Chromium.
    await peer.setRemoteDescription({ type: "answer", sdp: JSON.parse(line).answer });
  });
  lines.once("close", () => {
    peer.close();
    say({});
    process.exit(0);
  });
}

main();
