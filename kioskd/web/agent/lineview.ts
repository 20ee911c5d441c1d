// What an agent sees between two calls: who waits, where, for what and since when.

import type { Service } from "./config";
import { el } from "./dom";
import type { Unavailable, Waiting } from "./line";
import type { Link } from "./signalling";
import { say, sayCount, sayLanguage, sayUnavailable } from "./text";

const CLOSED_SHOWN = 8; // kiosks that are not available: an agent needs no list of all of them
const LONG_MIN = 10; // minutes of waiting from which the row says so in colour

interface Row {
  root: HTMLElement;
  waited: HTMLElement;
  take: HTMLButtonElement;
  entry: Waiting;
}

export class LineView {
  readonly root: HTMLElement;
  private readonly rows = new Map<string, Row>();
  private readonly list = el("ul", { class: "line" });
  private readonly count = el("span", { class: "count" });
  private readonly notice = el("p", { class: "notice", role: "status", hidden: true });
  private readonly news = el("p", { class: "unseen", role: "status" });
  private readonly empty = el(
    "div",
    { class: "empty" },
    el("p", { class: "lead" }, say("line-empty")),
    el("p", { class: "hint" }, say("line-empty-hint")),
  );

  private readonly closed = el("ul", {});
  private readonly closedPart = el(
    "section",
    { class: "closed", "data-testid": "unavailable", hidden: true },
    el("h2", {}, say("unavailable")),
    this.closed,
  );
  private closedShown = "";

  constructor(
    private readonly services: Service[],
    private readonly take: (entry: Waiting) => void,
  ) {
    this.root = el(
      "section",
      { class: "card wide" },
      el("div", { class: "heading" }, el("h1", {}, say("line")), this.count),
      el("span", { class: "unseen", "data-testid": "call-state", "data-state": "idle" }),
      this.notice,
      this.news,
      this.list,
      this.empty,
      this.closedPart,
    );
    this.list.addEventListener("keydown", (event) => this.move(event));
  }

  /** Draws the line as it is now; rows that stay keep their place and focus. */
  draw(waiting: Waiting[], link: Link): void {
    const here = new Set(waiting.map((one) => one.call));
    for (const [call, row] of this.rows) {
      if (here.has(call)) continue;
      row.root.remove();
      this.rows.delete(call);
    }
    waiting.forEach((entry, index) => {
      const row = this.rows.get(entry.call) ?? this.add(entry);
      row.entry = entry;
      row.take.disabled = link !== "online";
      this.sayWaited(row);
      const there = this.list.children[index];
      if (there !== row.root) this.list.insertBefore(row.root, there ?? null);
    });
    this.empty.hidden = waiting.length > 0;
    this.count.textContent = waiting.length > 0 ? sayCount("count", waiting.length) : "";
    this.notice.hidden = link === "online";
    if (link !== "online") this.notice.textContent = say(`broker-${link}`);
    if (this.root.isConnected && document.activeElement === document.body) this.focusFirst();
  }

  /** Says which kiosks take no calls, and why. */
  drawUnavailable(kiosks: Unavailable[]): void {
    const shown = JSON.stringify(kiosks);
    if (shown === this.closedShown) return;
    this.closedShown = shown;
    this.closedPart.hidden = kiosks.length === 0;
    const rows = kiosks.slice(0, CLOSED_SHOWN).map((one) => {
      const why = sayUnavailable(one.reason);
      const where = el("span", {}, el("b", {}, one.town), " ", one.name);
      return el("li", { "data-kiosk": one.kiosk }, where, el("span", { class: "why" }, why));
    });
    const left = kiosks.length - rows.length;
    const more = left > 0 ? [el("li", {}, say("unavailable-more", { count: left }))] : [];
    this.closed.replaceChildren(...rows, ...more);
  }

  /** Tells a screen reader who has come. */
  announce(entry: Waiting): void {
    const service = this.service(entry)?.name ?? entry.service;
    this.news.textContent = say("arrived", { town: entry.town, service });
  }

  focusFirst(): void {
    this.list.querySelector<HTMLButtonElement>("button:enabled")?.focus();
  }

  private service(entry: Waiting): Service | undefined {
    return this.services.find((one) => one.id === entry.service);
  }

  private add(entry: Waiting): Row {
    const service = this.service(entry);
    const badge = el("span", { class: "badge" }, service?.name ?? entry.service);
    if (service !== undefined) badge.style.setProperty("--colour", service.colour);
    const waited = el("span", { class: "waited" });
    const take = el(
      "button",
      {
        class: "go big",
        "data-testid": "take",
        "data-kiosk": entry.kiosk,
        "aria-label": say("take-from", { town: entry.town, name: entry.name }),
        click: () => this.take(row.entry),
      },
      say("take"),
    );
    const root = el(
      "li",
      { "data-testid": "line-row", "data-kiosk": entry.kiosk },
      badge,
      el("span", { class: "where" }, el("b", {}, entry.town), el("span", {}, entry.name)),
      el("span", { class: "language" }, sayLanguage(entry.language)),
      waited,
      take,
    );
    const row: Row = { root, waited, take, entry };
    this.rows.set(entry.call, row);
    return row;
  }

  private sayWaited(row: Row): void {
    const minutes = Math.floor((Date.now() / 1000 - row.entry.since) / 60);
    const text = minutes < 1 ? say("waits-now") : say("waits", { minutes });
    if (row.waited.textContent !== text) row.waited.textContent = text;
    row.waited.classList.toggle("long", minutes >= LONG_MIN);
  }

  /** The arrow keys go from row to row. */
  private move(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    const buttons = [...this.list.querySelectorAll("button")];
    const next = buttons[buttons.indexOf(event.target as HTMLButtonElement) + step];
    next?.focus();
    event.preventDefault();
  }
}
