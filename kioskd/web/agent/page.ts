// The frame that all views share: header, main part, and the alert above them.

import { el } from "./dom";
import { say } from "./text";

const TOAST_MS = 8000;

export class Page {
  private readonly header = part("header");
  private readonly main = part("main");
  private readonly toast = part("toast");
  private timer = 0;

  show(...content: Node[]): void {
    this.main.replaceChildren(...content);
  }

  setHeader(...content: Node[]): void {
    this.header.replaceChildren(el("strong", { class: "brand" }, say("product")), ...content);
  }

  setTitle(text: string): void {
    if (document.title !== text) document.title = text;
  }

  /** Says a trouble in words, also to a screen reader, for some seconds. */
  warn(text: string): void {
    this.toast.textContent = text;
    this.toast.hidden = false;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      this.toast.hidden = true;
    }, TOAST_MS);
  }
}

function part(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`index.html has no #${id}`);
  return found;
}
