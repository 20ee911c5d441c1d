import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { Pace } = await load("pace");

/** A browser by calculation: so much available, and media that sends so much of it. */
class Browser {
  ms = 0;
  available = 1_000_000;
  media = 600_000;

  now() {
    return this.ms;
  }

  async stats() {
    return new Map([
      ["P", { type: "candidate-pair", nominated: true, availableOutgoingBitrate: this.available }],
      ["V", { type: "outbound-rtp", bytesSent: (this.media * this.ms) / 8000 }],
    ]);
  }

  /** Sends what there is room for, and returns its rate over so many seconds. */
  async use(pace, seconds) {
    let sent = 0;
    for (const end = this.ms + seconds * 1000; this.ms < end; this.ms += 50) {
      const room = pace.room();
      if (Number.isFinite(room)) {
        pace.took(room);
        sent += room;
      }
      await new Promise(setImmediate);
    }
    return (sent * 8) / seconds;
  }
}

test("a document has what the media leave, and a quarter at least", async () => {
  const browser = new Browser();
  const pace = new Pace(browser);
  await browser.use(pace, 2);
  assert.ok(Math.abs((await browser.use(pace, 10)) - 400_000) < 20_000);
  browser.media = 1_000_000;
  await browser.use(pace, 1);
  assert.ok(Math.abs((await browser.use(pace, 10)) - 250_000) < 15_000);
});

test("a browser that knows no rate does not hold a document up", async () => {
  const browser = new Browser();
  browser.available = undefined;
  const pace = new Pace(browser);
  assert.equal(await browser.use(pace, 1), 0);
  assert.equal(pace.room(), Infinity);
});
