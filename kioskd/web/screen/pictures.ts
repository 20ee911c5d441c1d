// The agent's picture, decoded here by WebCodecs, and the resident's own.

const REMOTE = 1;
/** Kind of the frames that are no picture: see levels.ts. */
export const LEVELS = 3;
const KEY = 1;
const HEADER = 10;
/** Frames that may wait for the decoder: half a second. More is a delay that never goes. */
const QUEUE = 15;
const ASK_EVERY_MS = 1000;

export class Pictures {
  readonly remote = document.createElement("canvas");
  readonly own = document.createElement("canvas");
  private decoder: VideoDecoder | null = null;
  private waitsForKey = true;
  private askedAt = -Infinity;
  private visit = 0;

  constructor(private readonly askForKey: () => void) {
    this.remote.dataset.testid = "remote-picture";
    this.own.dataset.testid = "self-picture";
    this.clear();
  }

  /** Takes one binary frame of the daemon. */
  take(buffer: ArrayBuffer): void {
    const view = new DataView(buffer);
    const data = new Uint8Array(buffer, HEADER);
    if (view.getUint8(0) === REMOTE) {
      this.decode(data, Number(view.getBigUint64(2)), view.getUint8(1) === KEY);
    } else {
      void this.showOwn(data);
    }
  }

  /** Forgets the pictures: nothing of a call stays on the page after it. */
  clear(): void {
    this.stop();
    this.visit += 1;
    for (const canvas of [this.remote, this.own]) canvas.width = canvas.height = 1;
  }

  private decode(data: Uint8Array, timestamp: number, key: boolean): void {
    if ((this.decoder?.decodeQueueSize ?? 0) > QUEUE) this.stop();
    if (this.waitsForKey && !key) {
      this.ask();
      return;
    }
    this.decoder ??= this.start();
    this.waitsForKey = false;
    try {
      this.decoder.decode(new EncodedVideoChunk({ type: key ? "key" : "delta", timestamp, data }));
    } catch {
      this.recover();
    }
  }

  private start(): VideoDecoder {
    const decoder = new VideoDecoder({
      output: (frame) => {
        draw(this.remote, frame, frame.displayWidth, frame.displayHeight);
        frame.close();
      },
      error: () => {
        if (decoder === this.decoder) this.recover();
      },
    });
    decoder.configure({ codec: "vp8", optimizeForLatency: true });
    return decoder;
  }

  private recover(): void {
    this.stop();
    this.ask();
  }

  private stop(): void {
    if (this.decoder !== null && this.decoder.state !== "closed") this.decoder.close();
    this.decoder = null;
    this.waitsForKey = true;
  }

  private ask(): void {
    if (performance.now() - this.askedAt < ASK_EVERY_MS) return;
    this.askedAt = performance.now();
    this.askForKey();
  }

  private async showOwn(data: Uint8Array): Promise<void> {
    const visit = this.visit;
    const blob = new Blob([data as BlobPart], { type: "image/jpeg" });
    const picture = await createImageBitmap(blob).catch(() => null); // a torn JPEG: the next comes
    if (picture === null) return;
    if (visit === this.visit) draw(this.own, picture, picture.width, picture.height);
    picture.close();
  }
}

function draw(canvas: HTMLCanvasElement, picture: CanvasImageSource, w: number, h: number): void {
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  canvas.getContext("2d")?.drawImage(picture, 0, 0);
}
