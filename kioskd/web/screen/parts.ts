// What every scene is made of.

import { el } from "../common/dom";
import { icon } from "./icons";
import type { Action, Say } from "./view";

export type Kind = "primary" | "go" | "danger" | "plain";

export interface Button {
  label: string;
  testid: string;
  kind: Kind;
  action: Action;
  icon?: string;
  disabled?: boolean;
  /** What a screen reader says, where the label needs its surroundings to be understood. */
  said?: string;
}

/** A button carries its action as data: one listener on the page sends it. */
export function button(one: Button): HTMLButtonElement {
  return el(
    "button",
    {
      class: one.kind,
      type: "button",
      "data-testid": one.testid,
      "data-action": JSON.stringify(one.action),
      disabled: one.disabled ?? false,
      "aria-label": one.said ?? false,
    },
    one.icon !== undefined && icon(one.icon),
    el("span", {}, one.label),
  );
}

/** A time that main.ts counts on. */
export function timer(of: "waited" | "call"): HTMLElement {
  return el("span", { class: "timer", "data-timer": of });
}

/** When a service opens, in words; empty when that is not known. */
export function when(opens: string | null, say: Say): string {
  if (opens === null) return "";
  const [first = "", hour] = opens.split(" ");
  return hour ? say("at", { day: say(`day-${first}`), hour }) : say("today", { hour: first });
}

export function emblem(name: string, kind: "good" | "bad" | "calm"): HTMLElement {
  return el("div", { class: `emblem ${kind}`, "data-key": name }, icon(name));
}
