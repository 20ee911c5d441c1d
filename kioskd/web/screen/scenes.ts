// The scenes around the talk, drawn from the view. Nothing here keeps a state.

import { el } from "../common/dom";
import { icon } from "./icons";
import { button, emblem, timer, when } from "./parts";
import { vouched } from "./talking";
import type { Say, ServiceView, View } from "./view";

export function choosing(view: View, say: Say): Node[] {
  return [
    el("h1", {}, say("title")),
    ...(view.online ? [] : [el("p", { class: "notice" }, say("no-calls"))]),
    el("div", { class: "services" }, ...view.services.map((one) => tile(one, view, say))),
  ];
}

export function maintenance(say: Say): Node[] {
  return [
    emblem("tool", "calm"),
    el("h1", { "data-testid": "maintenance" }, say("maintenance-title")),
    el("p", { class: "large" }, say("maintenance-text")),
  ];
}

function tile(service: ServiceView, view: View, say: Say): HTMLElement {
  const text = service.description[view.language] ?? Object.values(service.description)[0] ?? "";
  const opens = when(service.opens, say);
  return el(
    "button",
    {
      class: service.open ? "service" : "service shut",
      type: "button",
      "data-testid": `service-${service.id}`,
      "data-action": JSON.stringify({ action: "choose", service: service.id }),
      "data-colour": service.colour,
      disabled: !view.online,
    },
    el("span", { class: "sign" }, icon(service.icon)),
    el(
      "span",
      { class: "words" },
      el("span", { class: "name" }, service.name),
      el("span", { class: "text" }, text),
      !service.open &&
        el("span", { class: "hours" }, opens ? say("opens", { when: opens }) : say("closed-now")),
    ),
  );
}

function called(view: View): string {
  return view.services.find((one) => one.id === view.service)?.name ?? "";
}

export function closed(view: View, say: Say): Node[] {
  const service = view.services.find((one) => one.id === view.service);
  const opens = when(service?.opens ?? null, say);
  return [
    emblem("clock", "calm"),
    el("h1", {}, say("closed-title", { service: called(view) })),
    el("p", { class: "large" }, opens ? say("closed-text", { when: opens }) : say("no-hours")),
    button({
      label: say("back"),
      testid: "back",
      kind: "primary",
      action: { action: "back" },
      icon: "back",
    }),
  ];
}

export function waiting(view: View, say: Say): Node[] {
  const place =
    view.place === null
      ? say("place-unknown")
      : view.place === 1
        ? say("place-1")
        : say("place", { place: view.place });
  return [
    el("h1", {}, say("waiting-title", { service: called(view) })),
    calling(),
    el("p", { class: "place", "data-testid": "place" }, place),
    el("p", { class: "large" }, say("waited"), " ", timer("waited")),
    ...refused(view, say),
    view.online
      ? el("p", { "data-key": "hint" }, say("camera-later"))
      : el("p", { class: "notice large", "data-key": "cut" }, say("not-online")),
    hangUp(say),
  ];
}

function refused(view: View, say: Say): Node[] {
  if (view.refused === null) return [];
  const words = say(`refused-${view.refused}`);
  const at = { "data-key": "refused", "data-testid": "refused" };
  return [el("p", { class: "notice large", ...at }, words)];
}

export function connecting(view: View, say: Say): Node[] {
  return [
    el("h1", {}, say("connecting-title", { agent: view.agent ?? say("an-agent") })),
    calling(),
    el("p", { class: "large vouched" }, vouched(view, say)),
    el("p", { class: "large" }, say("connecting-text")),
    el("div", { class: "early", "data-key": "early", "data-slot": "remote" }),
    hangUp(say),
  ];
}

function calling(): HTMLElement {
  return el(
    "div",
    { class: "calling", "aria-hidden": "true" },
    el("span", { class: "ring" }),
    el("span", { class: "ring late" }),
    icon("call"),
  );
}

export function hangUp(say: Say): HTMLButtonElement {
  return button({
    label: say("hang-up"),
    testid: "hang-up",
    kind: "danger",
    action: { action: "hang-up" },
    icon: "hang-up",
  });
}

export function ended(view: View, say: Say): Node[] {
  const end = view.end;
  if (end === null) return [];
  const well = end.reason === "hang-up";
  const facts = [
    end.seconds > 0 && say("end-talked", { minutes: Math.max(1, Math.round(end.seconds / 60)) }),
    end.pages_sent > 0 && say("end-sent", { count: end.pages_sent }),
    end.pages_printed > 0 && say("end-printed", { count: end.pages_printed }),
  ].filter((fact) => fact !== false);
  return [
    emblem(well ? "check" : "warning", well ? "good" : "bad"),
    el("h1", {}, say(`end-${end.reason}`)),
    ...(well ? [] : [el("p", { class: "large", "data-key": "again" }, say("end-again"))]),
    el("ul", { class: "facts" }, ...facts.map((fact) => el("li", {}, fact))),
    el("p", { class: "wiped large" }, icon("shield"), el("span", {}, say("end-wiped"))),
    button({
      label: say("back"),
      testid: "back",
      kind: "primary",
      action: { action: "back" },
      icon: "back",
    }),
  ];
}
