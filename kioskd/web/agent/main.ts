// The agent's page: sign in, then a shift until the agent leaves or the page goes away.

import { type Config, readConfig } from "./config";
import { el } from "./dom";
import { Page } from "./page";
import { Session } from "./session";
import { signInForm } from "./signin";
import { language, say } from "./text";

const page = new Page();
let session: Session | null = null;

function signIn(config: Config): void {
  const done = (name: string, services: string[]): void => {
    session = new Session(config, page, name, services, () => {
      session = null;
      signIn(config);
    });
  };
  page.setHeader();
  page.setTitle(say("product"));
  if (config.identity === null) page.warn(say("unsigned"));
  page.show(signInForm(config.services, done, (text) => page.warn(text)));
  document.querySelector<HTMLInputElement>("#name")?.focus();
}

async function begin(): Promise<void> {
  document.documentElement.lang = language;
  try {
    signIn(await readConfig());
  } catch {
    page.setHeader();
    const again = el("button", { class: "primary", click: () => location.reload() }, say("again"));
    page.show(el("section", { class: "card signin" }, el("h1", {}, say("no-config")), again));
  }
}

// The hang-up leaves on the control channel at once. What goes to the broker may be too late in
// a page that is unloaded: there the will and the expiry of the presence do the same.
addEventListener("pagehide", () => session?.leave());

addEventListener("keydown", (event) => {
  const { target } = event;
  const typing = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
  if (plain && (!typing || event.key === "Escape")) session?.key(event);
});

void begin();
