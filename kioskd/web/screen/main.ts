// The resident's page: draws what the daemon says, and tells it what was pressed.

import { clock, el, fill } from "../common/dom";
import en from "./messages/en.json";
import fr from "./messages/fr.json";
import { Keys } from "./keys";
import { drawLevels } from "./levels";
import { morph } from "./morph";
import { inkOn } from "./ink";
import { watchStrokes } from "./hide";
import { change, isOwn } from "./paper";
import { LEVELS, Pictures } from "./pictures";
import * as scenes from "./scenes";
import { talking } from "./talking";
import type { Action, Key, Say, View } from "./view";

const MESSAGES: Record<string, Record<string, string>> = { fr, en };
const RETRY_MS = [300, 600, 1000, 2000];
const TICK_MS = 250;
const DRAWN_MS = 1000;

const part = (id: string) => document.getElementById(id) as HTMLElement;
const [header, main, live, offline] = ["header", "main", "live", "offline"].map(part) as [
  HTMLElement,
  HTMLElement,
  HTMLElement,
  HTMLElement,
];

let socket: WebSocket | null = null;
let view: View | null = null;
let receivedAt = 0;
let attempt = 0;
let fetched = 0;
let pressedBefore: string | null = null;

const pictures = new Pictures(() => send({ action: "keyframe" }));
const keys = new Keys(main, header);

const say: Say = (key, values) => {
  const language = view?.language ?? "fr";
  return fill(MESSAGES[language]?.[key] ?? MESSAGES.fr?.[key] ?? key, values);
};

function send(action: Action): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(action));
}

function connect(): void {
  // The query names this page: ?screen=NAME, where a keeper looks after it.
  const address = new URL(`ws${location.search}`, location.href.replace(/^http/, "ws"));
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    attempt = 0;
  };
  socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
    if (typeof event.data === "string") {
      take(JSON.parse(event.data) as View | Key);
    } else if (new DataView(event.data).getUint8(0) === LEVELS) {
      drawLevels(event.data);
    } else {
      pictures.take(event.data);
    }
  };
  socket.onclose = () => {
    pictures.clear();
    setOffline(true);
    setTimeout(connect, RETRY_MS[Math.min(attempt++, RETRY_MS.length - 1)]);
  };
}

function take(message: View | Key): void {
  if (message.type === "key") {
    keys.take(message.key);
    return;
  }
  view = message;
  receivedAt = performance.now();
  setOffline(false);
  draw(view);
}

/** Covers the page while the daemon is away; it is back when its first view is here. */
function setOffline(away: boolean): void {
  if (offline.hidden === !away) return;
  offline.hidden = !away;
  offline.textContent = away ? say("restarting") : "";
  main.inert = header.inert = away;
}

function draw(next: View): void {
  document.documentElement.lang = next.language;
  document.body.dataset.scene = next.scene;
  if (next.scene !== "talking" && next.scene !== "connecting") pictures.clear();
  morph(header, headerOf(next));
  morph(main, sceneOf(next));
  finish();
  tick();
  announce();
  keys.redrawn();
}

function headerOf(next: View): Node[] {
  const languages = Object.entries(MESSAGES).map(([code, texts]) =>
    el(
      "button",
      {
        class: "plain",
        type: "button",
        lang: code,
        "data-testid": `language-${code}`,
        "data-action": JSON.stringify({ action: "language", language: code }),
        "aria-pressed": String(code === next.language),
      },
      texts.language ?? code,
    ),
  );
  const testing = { class: "testing", role: "status", "data-testid": "testing" };
  return [
    el("p", { class: "brand" }, "Visioservices"),
    ...(next.testing ? [el("p", testing, say(`test-${next.testing}`))] : []),
    el("div", { class: "languages" }, ...languages),
  ];
}

function sceneOf(next: View): Node[] {
  switch (next.scene) {
    case "choosing":
      return next.maintenance ? scenes.maintenance(say) : scenes.choosing(next, say);
    case "closed":
      return scenes.closed(next, say);
    case "waiting":
      return scenes.waiting(next, say);
    case "connecting":
      return scenes.connecting(next, say);
    case "talking":
      return talking(next, say);
    case "ended":
      return scenes.ended(next, say);
  }
}

/** Sets what `morph` leaves alone: pictures, colours, addresses of images. */
function finish(): void {
  for (const [name, canvas] of Object.entries({ remote: pictures.remote, own: pictures.own })) {
    const slot = main.querySelector(`[data-slot="${name}"]`);
    if (slot !== null && canvas.parentNode !== slot) slot.replaceChildren(canvas);
  }
  for (const tile of main.querySelectorAll<HTMLElement>("[data-colour]")) {
    const colour = tile.dataset.colour ?? "";
    tile.style.setProperty("--colour", colour);
    tile.style.setProperty("--on-colour", inkOn(colour));
  }
  for (const image of main.querySelectorAll<HTMLImageElement>("img[data-src]")) {
    // Page 1 of this visit must never come from a cache that holds page 1 of the last.
    const address = image.dataset.src ?? "";
    if (image.dataset.shown === address) continue;
    image.dataset.shown = address;
    image.src = `${address}${address.includes("?") ? "&" : "?"}${++fetched}`;
  }
}

/** Counts the times on. */
function tick(): void {
  if (view === null) return;
  const since = (performance.now() - receivedAt) / 1000;
  for (const timer of main.querySelectorAll<HTMLElement>("[data-timer]")) {
    const start = timer.dataset.timer === "call" ? view.call_s : view.waited_s;
    const text = clock(start + since);
    if (timer.textContent !== text) timer.textContent = text;
  }
}

/** Tells a screen reader what is new: the title, the place in the line, the notices. */
function announce(): void {
  const panel = main.querySelector("h2") ?? main.querySelector("h1");
  const more = main.querySelectorAll(".notice, .place, .wiped, .panel .large");
  const words = [panel, ...more].map((one) => one?.textContent ?? "").join(" ");
  if (live.textContent !== words) live.textContent = words;
}

/**
 * Tells that touches could come in and drawings go out: a lock takes Chromium's browser process
 * to answer, a frame the one that draws.
 */
function drawn(): void {
  void navigator.locks.request("drawn", { ifAvailable: true }, () => {
    requestAnimationFrame(() => send({ action: "drawn" }));
  });
}

/** One listener for all buttons: see `button` in parts.ts. */
function pressed(event: MouseEvent): void {
  const target = event.target instanceof Element ? event.target.closest("[data-action]") : null;
  const name = target?.getAttribute("data-testid") ?? null;
  // Hands that tap twice must not press what appears under the finger in between.
  const stray = event.detail > 1 && name !== pressedBefore;
  if (!stray) pressedBefore = name;
  if (target === null || stray) return;
  const action = JSON.parse(target.getAttribute("data-action") ?? "") as Action;
  if (!isOwn(action)) {
    send(action);
    return;
  }
  change(action);
  if (view !== null) draw(view);
}

document.addEventListener("click", pressed);
watchStrokes(main, send);
document.addEventListener("contextmenu", (event) => event.preventDefault()); // a long press
setInterval(tick, TICK_MS);
if (location.search !== "") setInterval(drawn, DRAWN_MS);
connect();
