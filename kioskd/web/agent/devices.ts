// The kiosk's devices and what can be expected of them, in words.

import { el } from "./dom";
import { say, sayReasons } from "./text";

interface Device {
  kind: string;
  state: string;
  reason: string | null;
}

const SHOWN = ["camera", "microphone", "speaker", "scanner", "printer"];

/** One list item for each device that matters to an agent. */
export function deviceList(devices: unknown): HTMLElement[] {
  if (!Array.isArray(devices)) return [];
  return (devices as Device[])
    .filter((one) => SHOWN.includes(one.kind))
    .map((one) => {
      const reason = sayReasons(one.reason);
      const state = reason ? `${say(`state-${one.state}`)} (${reason})` : say(`state-${one.state}`);
      return el(
        "li",
        { "data-kind": one.kind, "data-state": one.state },
        el("span", {}, say(one.kind)),
        el("span", {}, state),
      );
    });
}

/** What is wrong with the kiosk's microphone while it works, in words; empty when nothing is. */
export function microphoneTrouble(devices: unknown): string {
  const all = Array.isArray(devices) ? (devices as Device[]) : [];
  const silent = all.some((one) => one.kind === "microphone" && one.reason === "silent");
  return silent ? say("resident-silent") : "";
}
