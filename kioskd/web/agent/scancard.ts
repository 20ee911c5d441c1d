// The resident's paper: asked for, followed, received, looked at, kept as a PDF.

import type { Call } from "./call";
import { el } from "./dom";
import { newId } from "./ids";
import type { Message } from "./line";
import { jpegsOf } from "./pdfpages";
import { say, sayCount, sayReasons } from "./text";
import type { Received } from "./transfer";

const OVER = ["declined", "sent", "cancelled", "failed"];

function choice(testid: string, text: string, options: [string, string][]): HTMLSelectElement {
  const made = options.map(([value, name]) => el("option", { value }, name));
  return el("select", { "data-testid": testid, "aria-label": text, title: text }, ...made);
}

export class ScanCard {
  readonly root: HTMLElement;
  /** How many documents have arrived. */
  count = 0;
  private readonly source = choice("scan-source", say("source"), [
    ["auto", say("source-auto")],
    ["flatbed", say("source-flatbed")],
    ["feeder", say("source-feeder")],
  ]);
  private readonly mode = choice("scan-mode", say("mode"), [
    ["colour", say("mode-colour")],
    ["grey", say("mode-grey")],
  ]);
  private readonly dpi = choice("scan-dpi", say("dpi"), [
    ["150", "150 dpi"],
    ["200", "200 dpi"],
    ["300", "300 dpi"],
  ]);
  private readonly button: HTMLButtonElement;
  private readonly cancelButton: HTMLButtonElement;
  private readonly line = el("p", { class: "stage", role: "status", "data-testid": "scan-status" });
  private readonly bar = el("progress", { max: "1", hidden: true, "aria-label": say("progress") });
  private readonly received = el("div", { class: "received" });
  private readonly viewer = el("dialog", { class: "viewer", "aria-label": say("page-large") });
  private readonly urls: string[] = [];
  private request = "";

  constructor(
    private readonly call: Call,
    private readonly warn: (text: string) => void,
  ) {
    this.dpi.value = "200";
    this.button = el(
      "button",
      { class: "primary", disabled: true, "data-testid": "scan-request", click: () => this.ask() },
      say("scan-request"),
    );
    this.cancelButton = el(
      "button",
      { class: "plain", hidden: true, "data-testid": "scan-cancel", click: () => this.cancel() },
      say("cancel"),
    );
    this.viewer.addEventListener("click", () => this.viewer.close());
    this.root = el(
      "section",
      { class: "card" },
      el("h2", {}, say("paper")),
      el("div", { class: "options" }, this.source, this.mode, this.dpi),
      el("div", { class: "row" }, this.button, this.cancelButton),
      this.line,
      this.bar,
      this.received,
      this.viewer,
    );
  }

  opened(): void {
    this.button.disabled = false;
    const receiver = this.call.receiver;
    if (receiver === null) return;
    receiver.onProgress = (received, size) => this.progress(size > 0 ? received / size : null);
    receiver.onReceived = (document) => void this.show(document);
    receiver.onFailed = (reason) => this.warn(say("not-received", { why: sayReasons(reason) }));
  }

  /** Takes the kiosk's scan-status; the scan may also be the resident's own idea. */
  status(message: Message): void {
    const stage = String(message.stage);
    const over = OVER.includes(stage);
    this.request = over ? "" : String(message.request);
    const why = sayReasons(message.reason);
    const text = sayCount(`scan-${stage}`, Number(message.pages));
    this.line.dataset.stage = stage;
    this.line.textContent = why ? `${text} (${why})` : text;
    this.button.disabled = !over;
    this.cancelButton.hidden = over;
    if (stage === "scanning") this.progress(Number(message.done));
    else if (stage !== "sending") this.progress(null);
  }

  /** After the call: what has arrived stays, nothing more can be asked for. */
  over(): void {
    this.button.disabled = true;
    this.cancelButton.hidden = true;
    this.progress(null);
    const stage = this.line.dataset.stage;
    if (stage !== undefined && !OVER.includes(stage)) this.line.textContent = say("scan-broken");
  }

  /** Lets the pages go: nothing of a visit stays in the browser's memory. */
  release(): void {
    for (const url of this.urls) URL.revokeObjectURL(url);
    this.received.replaceChildren();
  }

  private progress(done: number | null): void {
    this.bar.hidden = done === null;
    this.bar.value = done ?? 0;
  }

  private ask(): void {
    this.request = newId();
    this.button.disabled = true;
    this.cancelButton.hidden = false;
    this.line.dataset.stage = "asking";
    this.line.textContent = say("scan-asking");
    this.call.say({
      type: "scan-request",
      request: this.request,
      source: this.source.value,
      mode: this.mode.value,
      dpi: Number(this.dpi.value),
    });
  }

  private cancel(): void {
    this.call.receiver?.cancel();
    this.call.say({ type: "scan-cancel", request: this.request });
  }

  private url(data: Blob): string {
    const url = URL.createObjectURL(data);
    this.urls.push(url);
    return url;
  }

  private async show(document: Received): Promise<void> {
    const pictures = jpegsOf(new Uint8Array(await document.data.arrayBuffer()));
    const pages = document.pages ?? pictures.length;
    const size = document.data.size;
    this.count += 1;
    const thumbnails = pictures.map((picture, index) => this.thumbnail(picture, index + 1));
    const name = say("file-name", { number: this.count });
    const item = el(
      "article",
      {
        "data-testid": "received-document",
        "data-pages": String(pages),
        "data-size": String(size),
      },
      el("p", {}, sayCount("pages", pages), ` · ${say("size", { size: Math.ceil(size / 1000) })}`),
      el("div", { class: "thumbnails" }, ...thumbnails),
      el(
        "a",
        {
          class: "button",
          href: this.url(document.data),
          download: name,
          "data-testid": "received-download",
        },
        say("download"),
      ),
    );
    this.received.prepend(item);
    item.scrollIntoView({ block: "nearest" });
  }

  private thumbnail(picture: Blob, number: number): HTMLElement {
    const src = this.url(picture);
    const alt = say("page", { number });
    const open = (): void => {
      const close = el("button", { class: "plain" }, say("close"));
      this.viewer.replaceChildren(el("img", { src, alt }), close);
      this.viewer.showModal();
    };
    const image = el("img", { src, alt, "data-testid": "received-page" });
    return el("button", { class: "thumbnail", title: say("page-large"), click: open }, image);
  }
}
