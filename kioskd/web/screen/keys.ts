// The panel's buttons move a focus over the page: all of it can be reached without a touch.

import type { Key } from "./view";

/** A button that came under the focus by itself is not pressed before it can be read. */
const READ_MS = 800;
/** Where a scene begins: what it is there for. */
const FIRST = [".go", ".service:not(.shut)", ".primary"];

export class Keys {
  private at: HTMLButtonElement | null = null;
  private scene = "";
  private stage = "";
  private movedAt = -Infinity;

  constructor(
    private readonly main: HTMLElement,
    private readonly header: HTMLElement,
  ) {
    document.addEventListener("pointerdown", () => this.focus(null), true);
  }

  take(key: Key["key"]): void {
    if (key === "press") this.press();
    else this.step(key === "next" ? 1 : -1);
  }

  /** Looks after the focus once the page was drawn anew. */
  redrawn(): void {
    const scene = document.body.dataset.scene ?? "";
    const stage = this.main.querySelector<HTMLElement>(".panel")?.dataset.stage ?? "";
    const fresh =
      scene !== this.scene || (stage !== this.stage && this.at?.closest(".panel") != null);
    this.scene = scene;
    this.stage = stage;
    if (this.at === null) return;
    const buttons = this.buttons();
    const kept = !fresh && buttons.includes(this.at);
    if (!kept) this.movedAt = performance.now();
    this.focus(kept ? this.at : first(buttons));
  }

  private step(by: 1 | -1): void {
    const buttons = this.buttons();
    const from = this.at === null ? -1 : buttons.indexOf(this.at);
    const start = buttons.indexOf(first(buttons) as HTMLButtonElement);
    const to = from < 0 ? start : (from + by + buttons.length) % buttons.length;
    this.focus(buttons[to] ?? null);
  }

  private press(): void {
    if (this.at !== null) {
      if (performance.now() - this.movedAt >= READ_MS) this.at.click();
      return;
    }
    const buttons = this.buttons();
    const open = buttons.filter((one) => one.matches(".service:not(.shut)"));
    if (open.length === 1) open[0]?.click();
    else this.focus(first(buttons));
  }

  /** Those that can be pressed now, in reading order; the header's are rarely wanted. */
  private buttons(): HTMLButtonElement[] {
    return [this.main, this.header]
      .flatMap((part) => [...part.querySelectorAll<HTMLButtonElement>("button:enabled")])
      .filter((one) => one.checkVisibility({ visibilityProperty: true }));
  }

  /**
   * Null: the panel is not in use, and no ring is shown. The ring hangs on an attribute:
   * without a keyboard the window may never become the active one, and :focus never match.
   */
  private focus(button: HTMLButtonElement | null): void {
    const left = this.at;
    this.at = button;
    if (left !== button) left?.removeAttribute("data-focus");
    if (button === null) left?.blur();
    button?.setAttribute("data-focus", "");
    if (document.activeElement !== button) button?.focus();
  }
}

function first(buttons: HTMLButtonElement[]): HTMLButtonElement | null {
  const wanted = FIRST.map((kind) => buttons.find((one) => one.matches(kind)));
  return wanted.find((one) => one !== undefined) ?? buttons[0] ?? null;
}
