// One end of a call between two pages, set up as an application that knows its trade would: both
// have their devices open and their connection to the broker; the one that plays the kiosk has its
// offer ready; claim, offer and answer are one message each, with all candidates in it.

const CODECS = /^(video\/(vp8|rtx)|audio\/(opus|red))$/i;
const video = document.getElementById("remote");
let client = null;
let peer = null;
let local = null;

const gathered = async () => {
  while (peer.iceGatheringState !== "complete") {
    await new Promise((go) => peer.addEventListener("icegatheringstatechange", go, { once: true }));
  }
  return peer.localDescription.sdp;
};

function connection() {
  peer = new RTCPeerConnection();
  video.srcObject = new MediaStream();
  peer.ontrack = ({ track }) => video.srcObject.addTrack(track);
  for (const track of local.getTracks()) peer.addTrack(track, local);
  for (const one of peer.getTransceivers()) {
    // The codecs of kioskd's offer.
    const { kind } = one.sender.track;
    const known = RTCRtpReceiver.getCapabilities(kind).codecs;
    one.setCodecPreferences(known.filter((codec) => CODECS.test(codec.mimeType)));
  }
}

// Packed, a description fits the 4 KiB that Mosquitto hands to a page in one piece.
const through = async (data, stream) =>
  new Response(new Blob([data]).stream().pipeThrough(stream)).arrayBuffer();
const pack = async (sdp) =>
  btoa(String.fromCharCode(...new Uint8Array(await through(sdp, new CompressionStream("deflate")))));
const unpack = async (packed) => {
  const bytes = Uint8Array.from(atob(packed), (one) => one.charCodeAt(0));
  return new TextDecoder().decode(await through(bytes, new DecompressionStream("deflate")));
};
const send = (topic, message) => client.publish(topic, JSON.stringify(message), { qos: 1 });

async function hear(topic, message) {
  if (topic === "bench/claim") {
    send("bench/offer", { sdp: await pack(await gathered()) });
  } else if (topic === "bench/offer") {
    await peer.setRemoteDescription({ type: "offer", sdp: await unpack(message.sdp) });
    await peer.setLocalDescription(await peer.createAnswer());
    send("bench/answer", { sdp: await pack(await gathered()) });
  } else {
    await peer.setRemoteDescription({ type: "answer", sdp: await unpack(message.sdp) });
  }
}

window.peer = {
  async prepare(broker, topics) {
    local = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      video: { width: 640, height: 480, frameRate: 30 },
    });
    client = mqtt.connect(broker, { protocolVersion: 5 });
    client.on("message", (topic, payload) => void hear(topic, JSON.parse(payload.toString())));
    await new Promise((done) => client.on("connect", done));
    await client.subscribeAsync(topics, { qos: 1 });
  },

  /** Before a call: `offers` for the end that plays the kiosk. */
  async ready(offers) {
    connection();
    if (offers) {
      peer.createDataChannel("control");
      await peer.setLocalDescription(await peer.createOffer());
      await gathered();
    }
    await setup.watch(() => video);
  },

  claim() {
    const at = setup.wall() / 1000;
    send("bench/claim", {});
    return at;
  },

  close: () => peer.close(),
};
