// An agent's shift: the waiting line, and one call at a time out of it.

import { Call, localMedia } from "./call";
import { CallView } from "./callview";
import { Chime } from "./chime";
import type { Config } from "./config";
import { el } from "./dom";
import { type Claimed, Identity } from "./identity";
import type { Message, Waiting } from "./line";
import { LineView } from "./lineview";
import type { Page } from "./page";
import { Refusal, type Verified } from "./proofs";
import { Signalling } from "./signalling";
import { say } from "./text";

const CONNECT_MS = 10_000; // docs/protocol.md: the kiosk gives up after as long
const FAREWELL_MS = 6000; // longer than it takes to find that the kiosk is not heard any more
const REDRAW_MS = 1000;

/** The call under way: made when it is asked for, dropped when it is over on this side. */
interface Active {
  entry: Waiting;
  call: Call;
  view: CallView;
  limit: number;
  claimed: Claimed | null; // null where nobody is verified
  farewell: { reason: string; at: number } | null; // a `bye` that came while the call was up
}

export class Session {
  private readonly signalling: Signalling;
  private readonly lineView: LineView;
  private readonly identity: Identity | null;
  private readonly chime = new Chime();
  private readonly timer: number;
  private readonly leaveButton: HTMLButtonElement;
  private active: Active | null = null;
  private view: CallView | null = null; // also shown after the call, until the agent goes back
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
    this.identity = config.identity && new Identity(config.identity, name, services);
    void this.identity?.prepare().catch(() => page.warn(say("no-token")));
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
      this.lineView.drawUnavailable(this.signalling.line.unavailable());
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
    if (this.active !== null) return;
    // The claim does not wait for the devices, nor does the answer.
    const call = new Call(this.config.ice_servers, localMedia());
    const view = new CallView(call, entry, {
      hangUp: () => this.end("hang-up", true),
      warn: (text) => this.page.warn(text),
    });
    const limit = window.setTimeout(() => this.end("no-answer", true), CONNECT_MS);
    const active: Active = { entry, call, view, limit, claimed: null, farewell: null };
    this.active = active;
    this.view = view;
    void call.equipped.then(() => {
      if (this.active === active) view.equipped();
    });
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
    call.onInterrupted = (interrupted) => {
      const farewell = active.farewell;
      const recent = farewell !== null && performance.now() - farewell.at < FAREWELL_MS;
      if (!interrupted || !recent) return view.setState(interrupted ? "interrupted" : "talking");
      // If somebody else made it up, the kiosk would wait for us.
      this.signalling.tell(entry, { type: "bye", reason: farewell.reason });
      this.end(farewell.reason, false);
    };
    call.onBroken = (reason) => this.end(reason, true);
    await this.claim(active);
  }

  /** Asks the kiosk for the call, with the proof of who asks. */
  private async claim(active: Active): Promise<void> {
    const { entry } = active;
    try {
      active.claimed = (await this.identity?.claim(entry, this.signalling.agent)) ?? null;
    } catch {
      this.page.warn(say("no-token"));
      if (this.active === active) this.end("failed", true);
      return;
    }
    if (this.active === active) this.signalling.claim(entry, active.claimed);
  }

  /** Takes what the kiosk says over the broker about the call under way. */
  private async hear(kiosk: string, message: Message): Promise<void> {
    const active = this.active;
    if (active === null || kiosk !== active.entry.kiosk || message.call !== active.entry.call)
      return;
    if (message.type === "offer") {
      await this.answer(active, message);
    } else if (active.call.up) {
      // These are not signed. A kiosk that hangs up says so in the call too.
      if (message.type === "bye")
        active.farewell = { reason: String(message.reason), at: performance.now() };
    } else if (message.type === "refused") {
      this.drop(null);
      this.showLine();
      this.page.warn(refusal(message));
    } else if (message.type === "bye") {
      this.end(String(message.reason), false);
      if (message.reason === "not-verified") this.page.warn(say(`refused-${message.fault}`));
    }
  }

  private async answer(active: Active, message: Message): Promise<void> {
    if (!active.view.connected) active.view.setState("connecting");
    try {
      const verified = await this.verify(active, message);
      if (this.active !== active) return;
      const sdp = await active.call.answer(Number(message.leg), String(message.sdp));
      if (sdp === null || this.active !== active) return;
      const proof = await this.prove(active, verified, message.leg, sdp);
      if (this.active !== active) return;
      this.signalling.tell(active.entry, { type: "answer", leg: message.leg, sdp, ...proof });
    } catch (error) {
      // In a call only its leg has failed, or somebody has made an offer up: the call goes on.
      if (this.active !== active || active.view.connected) return;
      if (!(error instanceof Refusal)) return this.end("failed", true);
      this.end("not-verified", true, error.fault);
      this.page.warn(say(`kiosk-refused-${error.fault}`));
    }
  }

  /** Checks, before anything of the offer is used, that it is this kiosk's. */
  private async verify(active: Active, message: Message): Promise<Verified | null> {
    if (this.identity === null) return null;
    if (active.claimed === null) throw new Refusal("mismatch"); // an offer before the claim
    const verified = await this.identity.verify(active.claimed, message);
    if (this.active === active) active.view.certified(verified);
    return verified;
  }

  private async prove(
    active: Active,
    verified: Verified | null,
    leg: unknown,
    sdp: string,
  ): Promise<{ proof?: string }> {
    if (this.identity === null || active.claimed === null || verified === null) return {};
    return this.identity.answer(active.claimed, verified, leg, sdp);
  }

  /** Ends the call on this side; `tell` the kiosk when it does not know yet. */
  private end(reason: string, tell: boolean, fault?: string): void {
    const active = this.active;
    if (active === null) return;
    if (tell) this.signalling.tell(active.entry, { type: "bye", reason, fault });
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

/** Why a claim came to nothing, in words. */
function refusal(message: Message): string {
  const name = String(message.taken_by ?? "");
  if (message.reason === "not-verified") return say(`refused-${message.fault}`);
  return message.reason === "taken" && name ? say("taken", { name }) : say("gone");
}
