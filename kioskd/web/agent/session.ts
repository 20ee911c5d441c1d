// An agent's shift: the waiting line, and one call at a time out of it.

import { Call, localMedia } from "./call";
import { CallView } from "./callview";
import { Chime } from "./chime";
import type { Config } from "./config";
import { el } from "./dom";
import type { Message, Waiting } from "./line";
import { LineView } from "./lineview";
import type { Page } from "./page";
import { Signalling } from "./signalling";
import { say } from "./text";

const CONNECT_MS = 10_000; // docs/protocol.md: the kiosk gives up after as long
const REDRAW_MS = 1000;

/** The call under way: made when it is asked for, dropped when it is over on this side. */
interface Active {
  entry: Waiting;
  call: Call;
  view: CallView;
  limit: number;
}

export class Session {
  private readonly signalling: Signalling;
  private readonly lineView: LineView;
  private readonly chime = new Chime();
  private readonly timer: number;
  private readonly leaveButton: HTMLButtonElement;
  private active: Active | null = null;
  private view: CallView | null = null; // also shown after the call, until the agent goes back
  private taking = false;
  private left = false;
  private known = new Set<string>();

  constructor(
    private readonly config: Config,
    private readonly page: Page,
    name: string,
    services: string[],
    private readonly onLeft: () => void,
  ) {
    this.lineView = new LineView(config.services, (entry) => void this.take(entry));
    this.signalling = new Signalling(config, name, services);
    this.signalling.onLine = () => this.draw();
    this.signalling.onLink = () => this.draw();
    this.signalling.onMessage = (kiosk, message) => void this.hear(kiosk, message);
    this.leaveButton = el("button", { class: "plain", click: () => this.leave() }, say("signout"));
    page.setHeader(el("span", { class: "who" }, name), this.leaveButton);
    this.timer = window.setInterval(() => this.draw(), REDRAW_MS);
    this.showLine();
  }

  key(event: KeyboardEvent): void {
    if (this.active !== null) this.active.view.key(event);
  }

  /** Ends the call and the shift: on request, or because the page goes away. */
  leave(): void {
    this.left = true;
    clearInterval(this.timer);
    if (this.active !== null) this.end("hang-up", true);
    this.view?.release();
    this.signalling.onLine = this.signalling.onLink = () => {};
    this.signalling.leave();
    this.chime.close();
    this.onLeft();
  }

  private draw(): void {
    const waiting = this.signalling.line.list();
    const come = waiting.filter((one) => !this.known.has(one.call));
    this.known = new Set(waiting.map((one) => one.call));
    if (this.view === null) {
      const first = come[0];
      if (first !== undefined) {
        this.chime.play();
        this.lineView.announce(first);
      }
      this.lineView.draw(waiting, this.signalling.link);
    }
    const title = this.active === null ? say("line") : say("talking");
    this.page.setTitle(waiting.length > 0 ? `(${waiting.length}) ${title}` : title);
  }

  private showLine(): void {
    this.view?.release();
    this.view = null;
    this.leaveButton.hidden = false;
    this.page.show(this.lineView.root);
    this.draw();
  }

  private async take(entry: Waiting): Promise<void> {
    if (this.active !== null || this.taking) return;
    this.taking = true;
    const local = await localMedia();
    this.taking = false;
    if (this.left) {
      for (const track of local?.getTracks() ?? []) track.stop();
      return;
    }
    const call = new Call(this.config.ice_servers, local);
    const view = new CallView(call, entry, {
      hangUp: () => this.end("hang-up", true),
      warn: (text) => this.page.warn(text),
    });
    const limit = window.setTimeout(() => this.end("no-answer", true), CONNECT_MS);
    this.active = { entry, call, view, limit };
    this.view = view;
    this.leaveButton.hidden = true; // first the call is ended, then the shift
    this.page.show(view.root);
    view.setState("claiming");
    call.onOpen = () => {
      clearTimeout(limit);
      view.opened();
    };
    call.onControl = (message) => {
      if (message.type === "hang-up") this.end(String(message.reason), false);
      else view.hear(message);
    };
    call.onInterrupted = (interrupted) => view.setState(interrupted ? "interrupted" : "talking");
    call.onBroken = (reason) => this.end(reason, true);
    this.signalling.claim(entry);
  }

  /** Takes what the kiosk says over the broker about the call under way. */
  private async hear(kiosk: string, message: Message): Promise<void> {
    const active = this.active;
    if (active === null || kiosk !== active.entry.kiosk || message.call !== active.entry.call)
      return;
    if (message.type === "offer") {
      await this.answer(active, message);
    } else if (message.type === "refused") {
      this.drop(null);
      const name = String(message.taken_by ?? "");
      this.showLine();
      this.page.warn(message.reason === "taken" && name ? say("taken", { name }) : say("gone"));
    } else if (message.type === "bye") {
      this.end(String(message.reason), false);
    }
  }

  private async answer(active: Active, message: Message): Promise<void> {
    if (!active.view.connected) active.view.setState("connecting");
    try {
      const sdp = await active.call.answer(String(message.sdp));
      if (sdp === null || this.active !== active) return;
      this.signalling.tell(active.entry, { type: "answer", leg: message.leg, sdp });
    } catch {
      if (this.active === active) this.end("failed", true);
    }
  }

  /** Ends the call on this side; `tell` the kiosk when it does not know yet. */
  private end(reason: string, tell: boolean): void {
    const active = this.active;
    if (active === null) return;
    if (tell) this.signalling.tell(active.entry, { type: "bye", reason });
    this.drop(tell ? reason : null);
    active.view.ended(tell || reason !== "hang-up" ? reason : "resident", () => this.showLine());
    this.draw();
  }

  private drop(reason: string | null): void {
    if (this.active === null) return;
    clearTimeout(this.active.limit);
    this.active.call.close(reason);
    this.active.view.stop();
    this.active = null;
  }
}
