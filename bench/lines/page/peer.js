// One end of a call in a browser: says speech, shows pictures with a strip, and writes down what
// it hears and sees. The strip is that of drivers/camera/picture.py, the media settings are those
// of kioskd/web/agent/call.ts.

import { hearAnew, waitLonger } from "./jitter.js";
import { sendsRed, withoutFec } from "./speech.js";
import { limit, Thin } from "./thin.js";

const RATE = 48000;
const FPS = 30;
const WIDTH = 640;
const HEIGHT = 480;
const COLUMNS = 24;
const BITS = 48;
const WRAP = 2 ** 32;
const CHUNK = 64 * 1024;
const THIN_MS = 2000; // as kioskd/web/agent/callview.ts

const peer = new RTCPeerConnection();
const context = new AudioContext({ sampleRate: RATE });
const painted = [];
const shown = [];
const stats = [];
const states = [];
const documents = [];
let mouth = null;
let ear = null;
let local = null;
let scanner = null;
let thin = null; // what the agent's page of kioskd does; the peer is Chromium by itself

const wall = () => performance.timeOrigin + performance.now();
const fetched = async (path) => (await fetch(path)).arrayBuffer();

peer.onconnectionstatechange = () => states.push([wall() / 1000, peer.connectionState]);
peer.ondatachannel = ({ channel }) => {
  channel.onmessage = ({ data }) => {
    if (channel.label === "control") return hear(JSON.parse(data));
    if (documents.length === 0 && thin !== null) waitLonger(peer, true); // as the agent's page
    documents.push([wall() / 1000, data.byteLength ?? data.length]);
  };
};
peer.ontrack = ({ track }) => {
  if (track.kind === "video") return watch(track);
  const stream = new MediaStream([track]);
  // Chromium decodes a remote track only where an element plays it; a muted one will do.
  const element = document.getElementById("remote");
  element.srcObject = stream;
  element.play();
  context.createMediaStreamSource(stream).connect(ear);
};

// As the agent's page does; the totals before it are kept, for those after it begin anew.
async function hear(message) {
  if (message.type !== "queue-gone") return;
  stats.push(counters(await peer.getStats()));
  if (await hearAnew(peer)) states.push([wall() / 1000, "hears anew"]);
}

function blocks(width, height, bit) {
  const row = Math.floor(bit / COLUMNS);
  const column = bit % COLUMNS;
  return [
    Math.round((row * height) / 16),
    Math.round(((row + 1) * height) / 16),
    Math.round((column * width) / COLUMNS),
    Math.round(((column + 1) * width) / COLUMNS),
  ];
}

function bitsOf(number, milliseconds) {
  return [
    ...number.toString(2).padStart(16, "0").slice(-16),
    ...milliseconds.toString(2).padStart(32, "0"),
  ].map(Number);
}

function draw(luma, bits) {
  for (let bit = 0; bit < BITS; bit++) {
    const [top, bottom, left, right] = blocks(WIDTH, HEIGHT, bit);
    for (let y = top; y < bottom; y++) {
      luma.fill(bits[bit] ? 225 : 24, y * WIDTH + left, y * WIDTH + right);
    }
  }
}

function read(luma, stride, width, height) {
  let number = 0;
  let milliseconds = 0;
  for (let bit = 0; bit < BITS; bit++) {
    const [top, bottom, left, right] = blocks(width, height, bit);
    const high = Math.floor((bottom - top) / 4);
    const wide = Math.floor((right - left) / 4);
    let sum = 0;
    for (let y = top + high; y < bottom - high; y++) {
      for (let x = left + wide; x < right - wide; x++) sum += luma[y * stride + x];
    }
    const area = (bottom - top - 2 * high) * (right - left - 2 * wide);
    const one = sum / area > 125 ? 1 : 0;
    if (bit < 16) number = number * 2 + one;
    else milliseconds = milliseconds * 2 + one;
  }
  return [number, milliseconds];
}

function camera(clip) {
  const size = (WIDTH * HEIGHT * 3) / 2;
  const count = clip.byteLength / size;
  const track = new MediaStreamTrackGenerator({ kind: "video" });
  const writer = track.writable.getWriter();
  const begun = performance.now();
  let number = 0;
  const next = () => {
    const due = begun + (number * 1000) / FPS;
    const now = performance.now();
    if (now < due) return setTimeout(next, due - now);
    const turn = number % (2 * count);
    const place = turn < count ? turn : 2 * count - 1 - turn;
    const picture = new Uint8Array(clip, place * size, size);
    const milliseconds = Math.round(performance.timeOrigin + due) % WRAP;
    draw(picture, bitsOf(number, milliseconds));
    painted.push([number, milliseconds]);
    writer.write(
      new VideoFrame(picture, {
        format: "I420",
        codedWidth: WIDTH,
        codedHeight: HEIGHT,
        timestamp: Math.round(due * 1000),
      }),
    );
    number = Math.max(number + 1, Math.floor(((now - begun) / 1000) * FPS));
    setTimeout(next, 0);
  };
  next();
  return track;
}

async function watch(track) {
  const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
  let luma = new Uint8Array(0);
  for (;;) {
    const { value: frame, done } = await reader.read();
    if (done) return;
    const at = wall() / 1000;
    const { width, height } = frame.visibleRect;
    const rect = { x: 0, y: 0, width, height: 2 * Math.ceil(height / 16) };
    const room = frame.allocationSize({ rect });
    if (luma.length < room) luma = new Uint8Array(room);
    const [{ offset, stride }] = await frame.copyTo(luma, { rect });
    frame.close();
    shown.push([at, ...read(luma.subarray(offset), stride, width, height), width, height]);
  }
}

function counters(report) {
  const found = { at: wall() / 1000 };
  for (const one of report.values()) {
    if (one.type === "inbound-rtp" || one.type === "outbound-rtp") {
      found[`${one.type}-${one.kind}`] = one;
    }
    if (one.type === "candidate-pair" && one.nominated) found.pair = one;
  }
  return found;
}

async function gathered() {
  while (peer.iceGatheringState !== "complete") await new Promise((go) => setTimeout(go, 20));
  return peer.localDescription.sdp;
}

const asked = (node) =>
  new Promise((resolve) => {
    node.port.onmessage = ({ data }) => resolve(data);
    node.port.postMessage(null);
  });

window.bench = {
  async prepare() {
    await context.audioWorklet.addModule("worklet.js");
    await context.resume();
    const speech = Float32Array.from(new Int16Array(await fetched("speech")), (s) => s / 32768);
    mouth = new AudioWorkletNode(context, "mouth", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { speech },
    });
    ear = new AudioWorkletNode(context, "ear", { channelCount: 1, channelCountMode: "explicit" });
    ear.connect(context.destination); // silent: it is there to be run
    const voice = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
    mouth.connect(voice);
    local = new MediaStream([...voice.stream.getTracks(), camera(await fetched("clip"))]);
    setInterval(async () => stats.push(counters(await peer.getStats())), 1000);
    setInterval(async () => {
      if (thin === null) return;
      const report = await peer.getStats();
      await limit(peer, thin.look([...report.values()], performance.now()));
    }, THIN_MS);
  },

  // Hears and sees itself, without any line: the sound `delay` seconds later.
  async rehearse(seconds, delay) {
    const late = new DelayNode(context, { delayTime: delay });
    context.createMediaStreamSource(local).connect(late).connect(ear);
    watch(local.getVideoTracks()[0]);
    await new Promise((go) => setTimeout(go, seconds * 1000));
  },

  async offer() {
    for (const track of local.getTracks()) peer.addTrack(track, local);
    scanner = peer.createDataChannel("documents-to-agent");
    await peer.setLocalDescription(await peer.createOffer());
    return gathered();
  },

  async answer(sdp, asAgentOfKioskd) {
    if (asAgentOfKioskd) {
      thin = new Thin();
      sdp = withoutFec(sdp, sendsRed());
    }
    await peer.setRemoteDescription({ type: "offer", sdp });
    for (const track of local.getTracks()) peer.addTrack(track, local);
    await peer.setLocalDescription(await peer.createAnswer());
    return gathered();
  },

  accept: (sdp) => peer.setRemoteDescription({ type: "answer", sdp }),

  async connected() {
    while (peer.connectionState !== "connected") await new Promise((go) => setTimeout(go, 20));
  },

  async scan(size) {
    const chunk = new Uint8Array(CHUNK);
    scanner.bufferedAmountLowThreshold = CHUNK;
    for (let sent = 0; sent < size; sent += CHUNK) {
      scanner.send(chunk);
      if (scanner.bufferedAmount > CHUNK) {
        await new Promise((go) => scanner.addEventListener("bufferedamountlow", go, { once: true }));
      }
    }
  },

  async finish(name) {
    const said = await asked(mouth);
    const [heard, blocks] = await asked(ear);
    const text = JSON.stringify({ said, heard, shown, painted, stats, states, documents });
    await fetch(`recording/${name}/words`, { method: "POST", body: text });
    await fetch(`recording/${name}/sound`, { method: "POST", body: new Blob(blocks) });
    peer.close();
  },
};
