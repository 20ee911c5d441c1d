// The talk: the agent's picture, one's own, and the few things to press.

import { barsPicture } from "../common/bars";
import { el } from "../common/dom";
import { icon } from "./icons";
import { paperPanel } from "./paper";
import { button, timer } from "./parts";
import { hangUp } from "./scenes";
import type { Say, View } from "./view";

const NEEDED = ["camera", "microphone", "speaker"];
const UNUSABLE = ["absent", "failed"];
const VOLUME_STEP = 0.1;
/** What a device that works can be found out to do, and the resident can help. */
const TOLD = ["silent", "black", "covered", "frozen", "slow"];

export function talking(view: View, say: Say): Node[] {
  const panel = paperPanel(view, say);
  const told = el("div", { class: "notices", "data-key": "notices" }, ...notices(view, say));
  if (told.hasChildNodes()) panel?.prepend(told);
  return [
    el("h1", { class: "unseen" }, say("talking-title", { agent: view.agent ?? say("an-agent") })),
    el(
      "section",
      { class: panel ? "stage with-panel" : "stage" },
      el(
        "div",
        { class: "pictures", "data-key": "pictures" },
        el("div", { class: "stand-in", "data-key": "stand-in" }, icon("person")),
        el("div", {
          class: view.agent_media.video ? "slot" : "slot blank",
          "data-slot": "remote",
        }),
        el(
          "div",
          { class: "caption", "data-key": "caption" },
          el("span", { "data-testid": "agent-name" }, view.agent ?? say("an-agent")),
          el("span", { class: "vouched", "data-testid": "agent-vouched" }, vouched(view, say)),
          meter("agent", say("agent-level")),
          timer("call"),
          lineBars(view, say),
        ),
        panel === null && told,
      ),
      panel,
    ),
    el("div", { class: "side" }, own(view, say), controls(view, say)),
  ];
}

/** Who vouches for the agent, in words. */
export function vouched(view: View, say: Say): string {
  if (view.organisation === null) return say("agent-unverified");
  return say("agent-verified", { organisation: view.organisation });
}

function own(view: View, say: Say): HTMLElement {
  return el(
    "figure",
    { class: "own" },
    el("div", { class: "stand-in" }, icon(view.camera_on ? "person" : "camera-off")),
    el("div", { class: view.camera_on ? "slot" : "slot blank", "data-slot": "own" }),
    el(
      "figcaption",
      {},
      el("span", {}, say(view.camera_on ? "you" : "you-unseen")),
      icon(view.microphone_on ? "microphone" : "microphone-off"),
      meter("own", say("own-level")),
    ),
  );
}

/** How good the line is: bars, and a word where they are few. It alarms nobody. */
function lineBars(view: View, say: Say): HTMLElement | false {
  if (view.bars === null) return false;
  const weak = view.line === "poor";
  return el(
    "span",
    {
      class: "line-bars",
      role: "img",
      "aria-label": say(`bars-${view.bars}`),
      "data-testid": "line-bars",
      "data-bars": String(view.bars),
    },
    barsPicture(view.bars),
    weak && el("span", { "data-testid": "line-weak" }, say("line-poor")),
  );
}

/** How loud a voice is, drawn by levels.ts. */
function meter(voice: "own" | "agent", name: string): HTMLElement {
  return el(
    "div",
    {
      class: "meter",
      role: "meter",
      "aria-label": name,
      "aria-valuemin": "0",
      "aria-valuemax": "100",
      "data-testid": `${voice}-level`,
      "data-slot": `${voice}-level`,
    },
    el("div", {}),
  );
}

function notices(view: View, say: Say): HTMLElement[] {
  const notice = (key: string, testid: string) =>
    el("p", { class: "notice", "data-testid": testid }, icon("warning"), el("span", {}, say(key)));
  const shown = [];
  if (view.line === "lost") shown.push(notice("line-lost", "line-notice"));
  if (!view.agent_media.video) shown.push(notice("agent-no-picture", "agent-picture-notice"));
  if (!view.agent_media.audio) shown.push(notice("agent-muted", "agent-sound-notice"));
  for (const device of view.devices) {
    if (UNUSABLE.includes(device.state) && NEEDED.includes(device.kind)) {
      shown.push(notice(`device-${device.kind}`, `${device.kind}-notice`));
    } else if (device.state === "degraded" && TOLD.includes(device.reason ?? "")) {
      shown.push(notice(`reason-${device.reason}`, `${device.kind}-notice`));
    }
  }
  return shown;
}

function controls(view: View, say: Say): HTMLElement {
  const { microphone_on: audio, camera_on: video } = view;
  const scanner = view.devices.find((one) => one.kind === "scanner");
  const volume = (step: number) =>
    Math.round(Math.min(1, Math.max(0, view.volume + step)) * 100) / 100;
  return el(
    "nav",
    { class: "controls", "aria-label": say("controls") },
    scanner !== undefined &&
      !UNUSABLE.includes(scanner.state) &&
      view.scan === null &&
      view.print === null &&
      button({
        label: say("show-paper"),
        testid: "scan-offer",
        kind: "primary",
        action: { action: "scan-offer" },
        icon: "paper",
      }),
    button({
      label: say(audio ? "microphone-on" : "microphone-off"),
      testid: "microphone-toggle",
      kind: "plain",
      action: { action: "media", audio: !audio, video },
      icon: audio ? "microphone" : "microphone-off",
    }),
    button({
      label: say(video ? "camera-on" : "camera-off"),
      testid: "camera-toggle",
      kind: "plain",
      action: { action: "media", audio, video: !video },
      icon: video ? "camera" : "camera-off",
    }),
    button({
      label: say("quieter"),
      testid: "volume-down",
      kind: "plain",
      action: { action: "volume", volume: volume(-VOLUME_STEP) },
      icon: "quieter",
      disabled: view.volume <= 0,
    }),
    button({
      label: say("louder"),
      testid: "volume-up",
      kind: "plain",
      action: { action: "volume", volume: volume(VOLUME_STEP) },
      icon: "louder",
      disabled: view.volume >= 1,
    }),
    el("progress", {
      class: "level",
      max: "1",
      value: String(view.volume),
      "aria-label": say("volume"),
    }),
    hangUp(say),
  );
}
