// A perfect mouth and a perfect ear in the audio thread. Each block of 128 samples is stamped
// with the wall clock; how stamps become times of samples is in bench/lines/browser.py.

class Mouth extends AudioWorkletProcessor {
  constructor(options) {
    super();
    this.speech = options.processorOptions.speech;
    this.position = 0;
    this.stamps = [];
    this.port.onmessage = () => this.port.postMessage(this.stamps);
  }

  process(_, [[out]]) {
    for (let i = 0; i < out.length; i++) out[i] = this.speech[this.position++ % this.speech.length];
    this.stamps.push(Date.now());
    return true;
  }
}

class Ear extends AudioWorkletProcessor {
  constructor() {
    super();
    this.blocks = [];
    this.stamps = [];
    this.port.onmessage = () => this.port.postMessage([this.stamps, this.blocks]);
  }

  process([input]) {
    if (input.length === 0 && this.stamps.length === 0) return true; // nobody to listen to yet
    const block = new Int16Array(128);
    const heard = input[0] ?? [];
    for (let i = 0; i < heard.length; i++) {
      block[i] = Math.max(-32768, Math.min(32767, Math.round(heard[i] * 32768)));
    }
    this.stamps.push(Date.now());
    this.blocks.push(block);
    return true;
  }
}

registerProcessor("mouth", Mouth);
registerProcessor("ear", Ear);
