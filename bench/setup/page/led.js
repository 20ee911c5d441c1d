// Leads the media of the agent's end through the relay, before anything is signed or verified by
// the page that this is put before: the far end is at `setup.far`, and we are at `setup.near`.
// Notes when a connection got where, and when sound and picture came.

(() => {
  const Plain = window.RTCPeerConnection;
  const wall = () => performance.timeOrigin + performance.now();
  const setup = { near: 0, far: 0, stages: [] };
  const note = (stage) => setup.stages.push({ stage, at: wall() / 1000 });

  function led(sdp, port) {
    if (!port || !sdp.includes("a=candidate:")) return sdp; // nothing is gathered yet
    const lines = [];
    for (const line of sdp.split("\r\n")) {
      if (line.startsWith("a=candidate:") || line.startsWith("a=end-of-candidates")) continue;
      lines.push(line);
      if (line.startsWith("a=ice-ufrag:")) {
        lines.push(`a=candidate:1 1 udp 2130706431 127.0.0.1 ${port} typ host`);
        lines.push("a=end-of-candidates");
      }
    }
    return lines.join("\r\n");
  }

  function addressOf(sdp) {
    const found = /^a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host/im.exec(sdp);
    return found === null ? null : [found[1], Number(found[2])];
  }

  window.RTCPeerConnection = class extends Plain {
    constructor(...given) {
      super(...given);
      setup.address = () => addressOf(this.localDescription.sdp);
      this.addEventListener("iceconnectionstatechange", () =>
        note(`ice ${this.iceConnectionState}`),
      );
      this.addEventListener("connectionstatechange", () => note(`dtls ${this.connectionState}`));
      this.addEventListener("icegatheringstatechange", () =>
        note(`gathering ${this.iceGatheringState}`),
      );
      this.addEventListener("datachannel", () => note("channel"));
    }

    async setRemoteDescription(description) {
      note(`${description.type} taken`);
      if (description.type === "offer" && setup.tell) setup.tell(addressOf(description.sdp));
      const sdp = led(description.sdp, setup.far);
      return super.setRemoteDescription({ type: description.type, sdp });
    }

    async setLocalDescription(description) {
      await super.setLocalDescription(description);
      note(`${super.localDescription.type} made`);
    }

    get localDescription() {
      const made = super.localDescription;
      return made && { type: made.type, sdp: led(made.sdp, setup.near) };
    }
  };

  const media = navigator.mediaDevices;
  const open = media.getUserMedia.bind(media);
  media.getUserMedia = async (wanted) => {
    const stream = await open(wanted);
    note("devices open");
    return stream;
  };

  const next = () => new Promise((go) => setTimeout(go, 3));
  let context = null;

  // Resolves with the times of the first picture and the first sound of what `find` finds.
  setup.watch = async (find) => {
    context ??= new AudioContext();
    await context.resume();
    setup.arrived = (async () => {
      let video = null;
      while ((video = find()) === null) await next();
      const picture = new Promise((done) =>
        video.requestVideoFrameCallback(() => done(wall() / 1000)),
      );
      while (!video.srcObject?.getAudioTracks().length) await next();
      const analyser = context.createAnalyser();
      const data = new Float32Array(analyser.fftSize);
      const source = context.createMediaStreamSource(video.srcObject);
      source.connect(analyser);
      do {
        await next();
        analyser.getFloatTimeDomainData(data);
      } while (!data.some((one) => Math.abs(one) > 0.01));
      const sound = wall() / 1000;
      source.disconnect();
      return { picture: await picture, sound };
    })();
  };
  setup.note = note;
  setup.wall = wall;
  window.setup = setup;
})();
