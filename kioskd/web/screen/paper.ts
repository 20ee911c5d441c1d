// The panel beside the pictures: a paper to send, or a document to print.

import { el } from "../common/dom";
import { hiding } from "./hide";
import { icon } from "./icons";
import { button, emblem, type Kind } from "./parts";
import type { Action, PagePicture, PlainAction, PrintView, Say, ScanView, View } from "./view";

/** How many pages are shown side by side; more are reached with two large buttons. */
const AT_ONCE = 3;

/** What the resident puts right at the scanner, where the printer's needs the reception. */
const AT_SCANNER: readonly string[] = ["paper-jam", "cover-open"];
/** After which pages are likely to be missing: to go on is worth more than to send. */
const INTERRUPTED: readonly string[] = [...AT_SCANNER, "io-error", "no-answer", "crashed"];
const UNREACHABLE: readonly string[] = ["offline", "no-answer", "crashed"];

/** Which pages are shown, and which is shown large: all that the page keeps for itself. */
const shown = { panel: "", count: 0, first: 0, hiding: null as number | null };

type Own = Extract<Action, { action: "turn-pages" | "hide-page" }>;

/** True for what concerns this page alone, and not the daemon. */
export function isOwn(action: Action): action is Own {
  return action.action === "turn-pages" || action.action === "hide-page";
}

export function change(action: Own): void {
  if (action.action === "hide-page") {
    shown.hiding = action.page;
  } else {
    const first = shown.first + action.step * AT_ONCE;
    shown.first = Math.max(0, Math.min(first, lastWindow(shown.count)));
  }
}

/** Returns the panel for what is at hand, or null. */
export function paperPanel(view: View, say: Say): HTMLElement | null {
  if (view.print !== null) return printPanel(view.print, say);
  if (view.scan !== null) return scanPanel(view.scan, say);
  shown.panel = "";
  shown.hiding = null;
  return null;
}

function panel(testid: string, stage: string, title: string, ...parts: (Node | false)[]) {
  return el(
    "aside",
    { class: "panel", "data-testid": testid, "data-stage": stage, "aria-label": title },
    el("h2", {}, title),
    ...parts,
  );
}

function row(...buttons: (Node | false)[]): HTMLElement {
  return el("div", { class: "row", "data-key": "row" }, ...buttons);
}

function text(key: string, words: string): HTMLElement {
  return el("p", { class: "large", "data-key": key }, words);
}

function progress(done: number, label: string): HTMLElement {
  const value = done > 0 ? { value: String(done) } : {};
  return el("progress", { max: "1", "aria-label": label, ...value });
}

function why(reasons: string[], say: Say): HTMLElement | false {
  return reasons.length > 0 && notice([...new Set(reasons.map((one) => say(`reason-${one}`)))]);
}

function notice(words: string[]): HTMLElement {
  return el(
    "p",
    { class: "notice large", "data-key": "why" },
    icon("warning"),
    el("span", {}, words.join(" ")),
  );
}

/** Why a scan has stopped, with what the resident does about it. */
function stopped(reason: string | null, say: Say): HTMLElement | false {
  if (reason === null) return false;
  return notice([say(AT_SCANNER.includes(reason) ? `scan-reason-${reason}` : `reason-${reason}`)]);
}

function scanPanel(scan: ScanView, say: Say): HTMLElement {
  const press = (label: string, name: PlainAction, kind: Kind, sign: string, disabled = false) =>
    button({
      label: say(label),
      testid: name,
      kind,
      action: { action: name },
      icon: sign,
      disabled,
    });
  const decline = (label: string) => press(label, "scan-decline", "plain", "cross");
  const close = press("close", "scan-close", "primary", "check");
  const make = (title: string, ...parts: (Node | false)[]) =>
    panel("scan-panel", scan.stage, say(title), ...parts);
  switch (scan.stage) {
    case "asking":
      return make(
        scan.requested_by_agent ? "scan-asking-agent" : "scan-asking-own",
        emblem("lay-down", "calm"),
        text("how", say("scan-how")),
        text("press", say(scan.button ? "scan-press-button" : "scan-press")),
        row(press("scan-start", "scan-start", "go", "scan"), decline("no")),
      );
    case "scanning":
      return make(
        scan.reason === "warming-up" ? "scan-warming" : "scan-scanning",
        emblem("scan", "calm"),
        text("how", say(scan.reason === null ? "scan-wait" : `reason-${scan.reason}`)),
        progress(scan.done, say("scan-scanning")),
        row(decline("cancel")),
      );
    case "preview": {
      const large = scan.pages.findIndex((page) => page.number === shown.hiding);
      const page = scan.pages[large];
      if (page !== undefined) return make("scan-hide", ...hiding(page, large + 1, say));
      const send = (label: string, kind: Kind) =>
        press(label, "scan-send", kind, "send", scan.pages.length === 0);
      if (scan.reason !== null && INTERRUPTED.includes(scan.reason) && scan.pages.length > 0) {
        return make(
          "scan-interrupted",
          stopped(scan.reason, say),
          text("how", say(scan.reason === "paper-jam" ? "scan-go-on-jam" : "scan-go-on")),
          pages("scan-page", scan.pages, say, true),
          row(
            press("scan-continue", "scan-more", "go", "scan"),
            send("scan-send-so", "plain"),
            decline("cancel"),
          ),
        );
      }
      return make(
        scan.pages.length > 0 ? "scan-preview" : "scan-empty",
        stopped(scan.reason, say),
        scan.reason !== null && scan.pages.length > 0 && text("kept", say("scan-kept")),
        pages("scan-page", scan.pages, say, true),
        text("how", say("scan-nothing-sent")),
        row(
          send("scan-send", "go"),
          press("scan-more", "scan-more", "plain", "plus"),
          decline("cancel"),
        ),
      );
    }
    case "sending":
      return make(
        "scan-sending",
        emblem("send", "calm"),
        progress(scan.done, say("scan-sending")),
        row(decline("cancel")),
      );
    case "failed":
      return make(
        "scan-failed",
        emblem("warning", "bad"),
        stopped(scan.reason, say),
        scan.reason !== null &&
          AT_SCANNER.includes(scan.reason) &&
          text("how", say("scan-put-again")),
        row(press("scan-again", "scan-start", "go", "scan"), close),
      );
    case "sent":
      return make("scan-sent", emblem("check", "good"), row(close));
    default:
      return make(`scan-${scan.stage}`, emblem("paper", "calm"), row(close));
  }
}

function printPanel(job: PrintView, say: Say): HTMLElement {
  const press = (label: string, name: PlainAction, kind: Kind, sign: string) =>
    button({ label: say(label), testid: name, kind, action: { action: name }, icon: sign });
  const decline = (label: string) => press(label, "print-decline", "plain", "cross");
  const close = press("close", "print-close", "primary", "check");
  const lost = job.stage === "failed" && job.reasons.includes("job-lost");
  const make = (...parts: (Node | false)[]) =>
    panel("print-panel", job.stage, say(lost ? "print-lost" : `print-${job.stage}`), ...parts);
  const total = job.pages.length;
  switch (job.stage) {
    case "checking":
      return make(
        emblem("paper", "calm"),
        progress(0, say("print-checking")),
        row(decline("cancel")),
      );
    case "asking":
      return make(
        pages("print-page", job.pages, say, false),
        row(press("print-accept", "print-accept", "go", "printer"), decline("no")),
      );
    case "printing":
      return make(
        emblem("printer", "calm"),
        job.printed > 0 &&
          total > 0 &&
          text("count", say("print-count", { printed: job.printed, total })),
        progress(total > 0 ? job.printed / total : 0, say("print-printing")),
        why(job.reasons, say),
        row(decline("cancel")),
      );
    case "held":
      return make(
        emblem("printer", "bad"),
        why(job.reasons, say),
        text("how", say(goesOnByItself(job) ? "print-held-how" : "print-held-wait")),
        row(decline("cancel")),
      );
    case "printed":
      return make(emblem("check", "good"), text("take", say("print-take")), row(close));
    case "failed":
      return make(
        emblem("warning", "bad"),
        why(job.reasons, say),
        job.printed > 0 &&
          total > 0 &&
          text("count", say("print-partly", { printed: job.printed, total })),
        row(close),
      );
    default:
      return make(emblem("paper", "calm"), row(close));
  }
}

/** True where somebody at the printer can help; a printer without an answer may be gone. */
function goesOnByItself(job: PrintView): boolean {
  return !job.reasons.some((one) => UNREACHABLE.includes(one));
}

/** The pages to look at, and the buttons to turn them when there are many. */
function pages(testid: string, all: PagePicture[], say: Say, removable: boolean): HTMLElement {
  if (shown.panel !== testid) Object.assign(shown, { panel: testid, count: 0, first: 0 });
  if (shown.count > 0 && all.length > shown.count) shown.first = lastWindow(all.length);
  shown.count = all.length;
  shown.first = Math.min(shown.first, lastWindow(all.length));
  const window = all.slice(shown.first, shown.first + AT_ONCE);
  const turn = (step: -1 | 1, disabled: boolean) =>
    all.length > AT_ONCE && turner(step, say, disabled);
  return el(
    "div",
    { class: "pages", "data-key": "pages" },
    turn(-1, shown.first === 0),
    ...window.map((page) => sheet(testid, page, all.indexOf(page) + 1, say, removable)),
    turn(1, shown.first === lastWindow(all.length)),
  );
}

function lastWindow(count: number): number {
  return Math.max(0, count - AT_ONCE);
}

function sheet(testid: string, page: PagePicture, nth: number, say: Say, removable: boolean) {
  return el(
    "figure",
    { class: "sheet", "data-key": String(page.number) },
    el("img", { "data-src": page.url, alt: say("page", { page: nth }), "data-testid": testid }),
    !removable && el("figcaption", {}, say("page", { page: nth })),
    removable &&
      el(
        "div",
        { class: "acts", "data-key": "acts" },
        button({
          label: say("remove"),
          said: say("scan-remove", { page: nth }),
          testid: `scan-remove-${page.number}`,
          kind: "plain",
          action: { action: "scan-remove", page: page.number },
          icon: "cross",
        }),
        button({
          label: say("hide"),
          said: say("scan-hide-page", { page: nth }),
          testid: `scan-hide-${page.number}`,
          kind: "plain",
          action: { action: "hide-page", page: page.number },
          icon: "hide",
        }),
      ),
  );
}

function turner(step: -1 | 1, say: Say, disabled: boolean): HTMLElement {
  const name = step < 0 ? "pages-before" : "pages-after";
  return button({
    label: say(name),
    testid: name,
    kind: "plain",
    action: { action: "turn-pages", step },
    icon: step < 0 ? "back" : "next",
    disabled,
  });
}
