// Who works here today, and for which services.

import type { Service } from "./config";
import { el } from "./dom";
import { say } from "./text";

const NAME_KEY = "agent-name";
const SERVICES_KEY = "agent-services";

/** Makes the form; `done` gets a name and at least one service, `warn` what is missing. */
export function signInForm(
  services: Service[],
  done: (name: string, services: string[]) => void,
  warn: (text: string) => void,
): HTMLFormElement {
  const name = el("input", {
    "data-testid": "signin-name",
    id: "name",
    type: "text",
    required: true,
    maxlength: "60",
    autocomplete: "name",
    value: sessionStorage.getItem(NAME_KEY) ?? "",
  });
  const before = (sessionStorage.getItem(SERVICES_KEY) ?? "").split(" ");
  const boxes = services.map((one) => {
    const checked = before.includes(one.id);
    const testid = `service-${one.id}`;
    return el("input", { type: "checkbox", value: one.id, checked, "data-testid": testid });
  });
  const submit = (event: Event): void => {
    event.preventDefault();
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    const called = name.value.trim();
    if (called === "") return warn(say("need-name"));
    if (chosen.length === 0) return warn(say("need-service"));
    sessionStorage.setItem(NAME_KEY, called);
    sessionStorage.setItem(SERVICES_KEY, chosen.join(" "));
    done(called, chosen);
  };
  const choices = services.map((one, index) => {
    const dot = el("span", { class: "dot" });
    dot.style.setProperty("--colour", one.colour);
    return el("label", { class: "choice" }, boxes[index], dot, one.name);
  });
  return el(
    "form",
    { class: "card signin", submit },
    el("h1", {}, say("signin")),
    el("p", { class: "hint" }, say("signin-hint")),
    el("label", { for: "name", class: "field" }, say("name")),
    name,
    el("fieldset", {}, el("legend", {}, say("services")), ...choices),
    el("button", { class: "primary big", "data-testid": "signin-submit" }, say("start")),
  );
}
