// Hiding a part of a page: a finger drawn over it makes it black, for the agent too. The panel's
// buttons choose a band of it instead.

import { el } from "../common/dom";
import type { Action, Area, PagePicture, Say } from "./view";
import { button } from "./parts";

/** A finger on a line of text means the whole line: so much is added around it, of the page. */
const MARGIN = 0.012;
/** A touch that hardly moves is none: at least so much of the page. */
const LEAST = 0.02;
/** Of an A4 page 2.5 cm each: an address or a number takes one or two. */
const BANDS = 12;

interface Stroke {
  sheet: HTMLElement;
  page: number;
  left: number;
  top: number;
  right: number;
  bottom: number;
}

let stroke: Stroke | null = null;

/** One page, large, with what is done to it. */
export function hiding(page: PagePicture, nth: number, say: Say): HTMLElement[] {
  return [
    el("p", { class: "large", "data-key": "how" }, say("scan-hide-how")),
    el(
      "div",
      { class: "hiding", "data-testid": "hide-sheet", "data-page": String(page.number) },
      el("img", { "data-src": page.url, alt: say("page", { page: nth }), draggable: "false" }),
      bands(page, say),
      el("div", { class: "stroke", "data-key": "stroke" }),
    ),
    el(
      "div",
      { class: "row", "data-key": "row" },
      button({
        label: say("scan-hide-done"),
        testid: "hide-done",
        kind: "go",
        action: { action: "hide-page", page: null },
        icon: "check",
      }),
      button({
        label: say("scan-show"),
        testid: "hide-nothing",
        kind: "plain",
        action: { action: "scan-show", page: page.number },
        icon: "cross",
        disabled: page.hidden === 0,
      }),
    ),
  ];
}

/** For the panel's buttons only: a finger goes through them to the page (paper.css). */
function bands(page: PagePicture, say: Say): HTMLElement {
  const band = (_: unknown, nth: number) => {
    const area = { x: 0, y: nth / BANDS, width: 1, height: 1 / BANDS };
    return button({
      label: "",
      said: say("scan-hide-band", { band: nth + 1, bands: BANDS }),
      testid: `hide-band-${nth + 1}`,
      kind: "plain",
      action: { action: "scan-hide", page: page.number, area },
    });
  };
  return el("div", { class: "bands", "data-key": "bands" }, ...Array.from({ length: BANDS }, band));
}

/** Follows a finger, a pen or a mouse over the page; one listener for all of them. */
export function watchStrokes(root: HTMLElement, send: (action: Action) => void): void {
  root.addEventListener("pointerdown", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const sheet = target?.closest<HTMLElement>("[data-testid=hide-sheet]") ?? null;
    if (sheet === null || stroke !== null) return;
    event.preventDefault();
    // Nobody can mean a part of a page that is not seen yet; and the sheet still grows.
    if (!sheet.querySelector("img")?.naturalWidth) return;
    const [x, y] = place(sheet, event);
    stroke = { sheet, page: Number(sheet.dataset.page), left: x, right: x, top: y, bottom: y };
    draw();
  });
  root.addEventListener("pointermove", (event) => {
    // A busy browser tells several moves at once: what lay between is covered too.
    for (const one of event.getCoalescedEvents()) reach(one);
    reach(event);
  });
  window.addEventListener("pointerup", (event) => {
    reach(event);
    end(send);
  });
  window.addEventListener("pointercancel", () => end(() => {}));
}

/** Lets the stroke reach to where the pointer is. */
function reach(event: PointerEvent): void {
  if (stroke === null) return;
  const [x, y] = place(stroke.sheet, event);
  stroke.left = Math.min(stroke.left, x);
  stroke.right = Math.max(stroke.right, x);
  stroke.top = Math.min(stroke.top, y);
  stroke.bottom = Math.max(stroke.bottom, y);
  draw();
}

function end(send: (action: Action) => void): void {
  if (stroke === null) return;
  const { page, left, right, top, bottom } = stroke;
  if (Math.max(right - left, bottom - top) >= LEAST && stroke.sheet.isConnected)
    send({ action: "scan-hide", page, area: area() });
  stroke.sheet.querySelector<HTMLElement>(".stroke")?.style.removeProperty("display");
  stroke = null;
}

/** Where the pointer is, as fractions of the page's width and height. */
function place(sheet: HTMLElement, event: PointerEvent): [number, number] {
  const box = sheet.getBoundingClientRect();
  const within = (value: number) => Math.max(0, Math.min(1, value));
  return [
    within((event.clientX - box.left) / box.width),
    within((event.clientY - box.top) / box.height),
  ];
}

function area(): Area {
  const { left, right, top, bottom } = stroke as Stroke;
  const x = Math.max(0, left - MARGIN);
  const y = Math.max(0, top - MARGIN);
  return { x, y, width: Math.min(1, right + MARGIN) - x, height: Math.min(1, bottom + MARGIN) - y };
}

function draw(): void {
  const { x, y, width, height } = area();
  const mark = stroke?.sheet.querySelector<HTMLElement>(".stroke");
  if (!mark) return;
  Object.assign(mark.style, {
    display: "block",
    left: `${x * 100}%`,
    top: `${y * 100}%`,
    width: `${width * 100}%`,
    height: `${height * 100}%`,
  });
}
