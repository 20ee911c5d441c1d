// A PDF for the resident: checked, sent, followed until it is on paper.

import type { Call } from "./call";
import { el } from "./dom";
import { newId } from "./ids";
import type { Message } from "./line";
import { say, sayReasons } from "./text";
import { SEND_LIMIT } from "./transfer";

const OVER = ["declined", "printed", "cancelled", "failed"];
const PDF_START = "%PDF-";
const PDF_HEAD = 1024; // readers look for the start within these first bytes

/** Reasons that somebody at the printer can do something about. */
const MENDABLE = ["paper-out", "paper-jam", "cover-open", "ink-out", "output-full", "offline"];

function whatToDo(stage: string, reasons: unknown): string {
  const all: unknown[] = Array.isArray(reasons) ? reasons : [];
  if (stage === "failed" && all.includes("job-lost")) return say("print-lost-hint");
  if (!all.some((one) => MENDABLE.includes(String(one)))) return "";
  if (stage === "held") return say("print-held-hint");
  return stage === "failed" ? say("print-mend-hint") : "";
}

async function isPdf(file: File): Promise<boolean> {
  const head = await file.slice(0, PDF_HEAD).arrayBuffer();
  return new TextDecoder("latin1").decode(head).includes(PDF_START);
}

export class PrintCard {
  readonly root: HTMLElement;
  /** How many documents came out of the printer. */
  count = 0;
  private readonly input: HTMLInputElement;
  private readonly name = el("p", { class: "file-name", hidden: true });
  private readonly line = el("p", {
    class: "stage",
    role: "status",
    "data-testid": "print-status",
  });
  private readonly help = el("p", { class: "hint", hidden: true, "data-testid": "print-help" });
  private readonly bar = el("progress", { max: "1", hidden: true, "aria-label": say("progress") });
  private readonly cancelButton: HTMLButtonElement;
  private document = "";

  constructor(
    private readonly call: Call,
    private readonly warn: (text: string) => void,
  ) {
    this.input = el("input", {
      type: "file",
      accept: "application/pdf",
      disabled: true,
      class: "unseen",
      "data-testid": "print-file",
      change: () => void this.send(this.input.files?.[0]),
    });
    this.cancelButton = el(
      "button",
      { class: "plain", hidden: true, "data-testid": "print-cancel", click: () => this.cancel() },
      say("cancel"),
    );
    const hint = el("span", { class: "hint" }, say("send-hint"));
    const zone = el("label", { class: "drop" }, this.input, el("b", {}, say("send-choose")), hint);
    this.root = el(
      "section",
      {
        class: "card",
        dragover: (event) => this.drag(event, true),
        dragleave: (event) => this.drag(event, false),
        drop: (event) => {
          this.drag(event, false);
          void this.send((event as DragEvent).dataTransfer?.files[0]);
        },
      },
      el("h2", {}, say("send")),
      zone,
      this.name,
      this.line,
      this.help,
      this.bar,
      this.cancelButton,
    );
  }

  opened(): void {
    this.input.disabled = false;
    const sender = this.call.sender;
    if (sender === null) return;
    sender.onProgress = (done) => {
      if (this.line.dataset.stage === "sending") this.showSending(done);
    };
    sender.onRefused = (reason) => this.show("failed", say("print-failed"), [reason]);
  }

  /** Takes the kiosk's print-status. */
  status(message: Message): void {
    const stage = String(message.stage);
    if (message.document !== this.document) return;
    if (stage === "printed" && this.line.dataset.stage !== stage) this.count += 1;
    const [printed, pages] = [Number(message.printed), Number(message.pages)];
    const counted = stage === "printing" && printed > 0 && pages > 0;
    const text = counted ? say("print-pages", { printed, pages }) : say(`print-${stage}`);
    this.show(stage, text, message.reasons);
    const partly = stage === "failed" && printed > 0 ? say("print-partly", { printed, pages }) : "";
    this.help.textContent = [partly, whatToDo(stage, message.reasons)].join(" ").trim();
    this.help.hidden = this.help.textContent === "";
  }

  /** After the call nothing more can be sent; the kiosk has dropped what was not printed. */
  over(): void {
    this.input.disabled = true;
    this.cancelButton.hidden = true;
    this.bar.hidden = true;
    this.help.hidden = true;
    const stage = this.line.dataset.stage;
    if (stage !== undefined && !OVER.includes(stage)) this.line.textContent = say("print-broken");
  }

  private drag(event: Event, over: boolean): void {
    event.preventDefault();
    this.root.classList.toggle("over", over && !this.input.disabled);
  }

  private show(stage: string, text: string, reasons: unknown): void {
    const why = sayReasons(reasons);
    this.line.dataset.stage = stage;
    this.line.textContent = why ? `${text} (${why})` : text;
    this.help.hidden = true;
    const over = OVER.includes(stage);
    this.bar.hidden = true;
    this.cancelButton.hidden = over;
    this.input.disabled = !over;
  }

  private showSending(done: number): void {
    this.help.hidden = true;
    this.line.dataset.stage = "sending";
    this.line.textContent = say("send-progress", { percent: Math.round(done * 100) });
    this.bar.hidden = false;
    this.bar.value = done;
  }

  private async send(file: File | undefined): Promise<void> {
    if (file === undefined || this.input.disabled) return;
    this.input.disabled = true;
    const fault = await this.fault(file);
    this.input.value = ""; // the same file can be chosen again
    if (fault !== null) {
      this.input.disabled = false;
      return this.warn(fault);
    }
    this.document = newId();
    this.name.textContent = file.name;
    this.name.hidden = false;
    this.cancelButton.hidden = false;
    this.showSending(0);
    this.root.scrollIntoView({ block: "nearest" });
    try {
      await this.call.sender?.send(file, this.document);
    } catch {
      this.show("failed", say("unreadable"), []); // removed or changed since it was chosen
    }
  }

  private async fault(file: File): Promise<string | null> {
    if (file.size > SEND_LIMIT) return say("too-large");
    try {
      return (await isPdf(file)) ? null : say("not-pdf");
    } catch {
      return say("unreadable");
    }
  }

  private cancel(): void {
    this.call.sender?.cancel();
    this.call.say({ type: "print-cancel", document: this.document });
    if (this.line.dataset.stage === "sending") this.show("cancelled", say("print-cancelled"), []);
  }
}
