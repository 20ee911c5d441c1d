// What an agent sees during a call: picture, controls, and the papers beside it.

import { barsPicture } from "../common/bars";
import type { Call } from "./call";
import { deviceList, microphoneTrouble } from "./devices";
import { clock, el, label } from "./dom";
import type { Message, Waiting } from "./line";
import { PrintCard } from "./printcard";
import { type Quality, shown } from "./quality";
import { ScanCard } from "./scancard";
import { decimal, say, sayCount, sayLanguage } from "./text";

const QUALITY_MS = 2000;
const CLOCK_MS = 500;

export interface Hands {
  hangUp: () => void;
  warn: (text: string) => void;
}

function shortcut(button: HTMLElement, key: string): void {
  button.title = say("key", { key });
  button.setAttribute("aria-keyshortcuts", key);
}

export class CallView {
  readonly root: HTMLElement;
  connected = false;
  private readonly video = el("video", {
    autoplay: true,
    playsinline: true,
    "data-testid": "remote-video",
  });
  private readonly status = el("p", {
    class: "status",
    role: "status",
    "data-testid": "call-state",
  });
  private readonly where = el("div", { class: "caption" });
  private readonly badge = el("span", {
    class: "verified",
    hidden: true,
    "data-testid": "kiosk-verified",
  });
  private readonly note = el("p", { class: "note", role: "status", hidden: true });
  private readonly timer = el("span", { class: "timer", "data-testid": "call-timer" }, "0:00");
  private readonly quality = el("div", { class: "quality", "data-testid": "quality" });
  private readonly devices = el("ul", { class: "devices" });
  private readonly devicesCard = el(
    "section",
    { class: "card" },
    el("h2", {}, say("devices")),
    this.devices,
  );
  private readonly muteButton: HTMLButtonElement;
  private readonly cameraButton: HTMLButtonElement;
  private readonly controls: HTMLElement;
  private readonly scene: HTMLElement;
  private readonly confirm: HTMLDialogElement;
  private readonly scan: ScanCard;
  private readonly print: PrintCard;
  private readonly timers: number[] = [];
  private startedAt = 0;
  private unseen = "";
  private weak = "";
  private trouble = "";
  /** How good the call is, as the kiosk says it and as it is measured here. */
  private told: Message | null = null;
  private measured: Quality = { level: "good", rtt: 0, loss: 0, rate: 0 };
  private audio = false;
  private picture = false;
  private readonly own = el("div", { class: "own" });

  constructor(
    private readonly call: Call,
    entry: Waiting,
    private readonly hands: Hands,
  ) {
    this.video.srcObject = call.remote;
    this.muteButton = this.toggle("mute", () => this.mute());
    this.cameraButton = this.toggle("camera-toggle", () => this.toggleCamera());
    this.scan = new ScanCard(call, hands.warn);
    this.print = new PrintCard(call, hands.warn);
    this.confirm = this.confirmDialog();
    this.scene = el(
      "div",
      { class: "scene" },
      this.video,
      this.where,
      this.own,
      this.note,
      this.status,
    );
    const hangUp = el("button", {
      class: "danger",
      "data-testid": "hang-up",
      click: hands.hangUp,
    });
    label(hangUp, "phone", say("hang-up"));
    shortcut(hangUp, "h");
    shortcut(this.muteButton, "m");
    shortcut(this.cameraButton, "v");
    const buttons = [this.muteButton, this.cameraButton, hangUp];
    this.controls = el("nav", { class: "controls" }, this.timer, this.quality, ...buttons);
    const cards = [this.scan.root, this.print.root, this.devicesCard];
    const side = el("div", { class: "side" }, ...cards);
    this.root = el("section", { class: "call" }, this.scene, this.controls, side, this.confirm);
    this.say(entry);
    this.showMedia();
  }

  setState(state: string): void {
    this.status.dataset.state = state;
    this.status.textContent = say(state);
    if (this.connected) this.showQuality();
  }

  /** Camera and microphone are there, or it is known that they are not. */
  equipped(): void {
    this.audio = (this.call.local?.getAudioTracks().length ?? 0) > 0;
    this.picture = (this.call.local?.getVideoTracks().length ?? 0) > 0;
    this.muteButton.disabled = !this.audio;
    this.cameraButton.disabled = !this.picture;
    this.own.replaceChildren(...this.ownPicture());
    if (this.connected) this.tellMedia();
    else this.showMedia();
  }

  opened(): void {
    this.connected = true;
    this.startedAt = performance.now();
    this.setState("talking");
    this.tellMedia();
    this.scan.opened();
    this.print.opened();
    void this.video.play().catch(() => this.hands.warn(say("no-play")));
    this.timers.push(
      window.setInterval(() => {
        this.timer.textContent = this.spent();
      }, CLOCK_MS),
      window.setInterval(() => void this.measure(), QUALITY_MS),
    );
  }

  /** Shows the kiosk and its town as its operator certified them. */
  certified(kiosk: { name: string; town: string }): void {
    this.badge.textContent = say("kiosk-verified", kiosk);
    this.badge.hidden = false;
  }

  /** Takes what the kiosk says on the control channel. */
  hear(message: Message): void {
    switch (message.type) {
      case "hello":
        return this.say(message as unknown as Waiting);
      case "scan-status":
        return this.scan.status(message);
      case "print-status":
        return this.print.status(message);
      case "devices":
        this.trouble = microphoneTrouble(message.devices);
        this.showNote();
        return this.devices.replaceChildren(...deviceList(message.devices));
      case "quality":
        this.told = message;
        return this.showQuality();
      case "media":
        return this.noteMedia(message.audio === true, message.video === true);
    }
  }

  key(event: KeyboardEvent): void {
    if (document.querySelector("dialog[open]") !== null) return; // the dialog has the keys
    if (event.key === "m") this.mute();
    else if (event.key === "v") this.toggleCamera();
    else if (event.key === "h") this.hands.hangUp();
    else if (event.key === "Escape") {
      event.preventDefault();
      this.confirm.showModal();
    }
  }

  stop(): void {
    for (const timer of this.timers) clearInterval(timer);
  }

  /** Shows the end; what was received stays until the agent goes back to the line. */
  ended(reason: string, back: () => void): void {
    this.setState("ended");
    this.confirm.close();
    this.video.srcObject = null;
    const summary = [
      this.connected && say("lasted", { time: this.spent() }),
      this.scan.count > 0 && sayCount("summary-received", this.scan.count),
      this.print.count > 0 && sayCount("summary-printed", this.print.count),
    ];
    const outcome = say(`end-${this.connected ? "" : "early-"}${reason}`);
    const button = el(
      "button",
      { class: "primary big", "data-testid": "back", click: back },
      say("back"),
    );
    const list = summary.filter((one) => one !== false).map((one) => el("li", {}, one));
    this.status.replaceChildren(el("b", {}, say("ended")), el("span", {}, outcome));
    this.scene.replaceChildren(this.status, el("ul", { class: "summary" }, ...list), button);
    this.root.classList.add("finished");
    this.controls.remove();
    this.devicesCard.remove();
    this.scan.over();
    this.print.over();
    button.focus();
  }

  /** Lets everything of the visit go. */
  release(): void {
    this.scan.release();
  }

  private toggle(testid: string, click: () => void): HTMLButtonElement {
    return el("button", { class: "plain", disabled: true, "data-testid": testid, click });
  }

  private say(who: { town: string; name: string; language: string }): void {
    this.where.replaceChildren(
      el("b", {}, who.town),
      el("span", {}, `${who.name} · ${sayLanguage(who.language)}`),
      this.badge,
    );
  }

  private ownPicture(): Node[] {
    const own = el("video", { autoplay: true, playsinline: true, "data-testid": "self-video" });
    own.muted = true; // the attribute alone does not mute an element made by script
    own.srcObject = this.call.local;
    const missing = [
      !this.picture && (this.audio ? say("no-camera") : say("no-devices")),
      this.picture && !this.audio && say("no-microphone"),
    ].filter((one) => one !== false);
    const words = el("p", { class: "missing" }, ...missing);
    return [...(this.picture ? [own] : []), ...(missing.length > 0 ? [words] : [])];
  }

  private confirmDialog(): HTMLDialogElement {
    const dialog: HTMLDialogElement = el(
      "dialog",
      { "aria-labelledby": "confirm-title" },
      el("h2", { id: "confirm-title" }, say("confirm-hang-up")),
      el(
        "div",
        { class: "row" },
        el(
          "button",
          { class: "danger", "data-testid": "hang-up-confirm", click: this.hands.hangUp },
          say("hang-up-yes"),
        ),
        el("button", { class: "plain", click: () => dialog.close() }, say("hang-up-no")),
      ),
    );
    return dialog;
  }

  private mute(): void {
    if (this.muteButton.disabled) return;
    this.audio = !this.audio;
    this.tellMedia();
  }

  private toggleCamera(): void {
    if (this.cameraButton.disabled) return;
    this.picture = !this.picture;
    this.tellMedia();
  }

  private tellMedia(): void {
    this.call.setMedia(this.audio, this.picture);
    this.showMedia();
  }

  private showMedia(): void {
    const audio = this.audio ? "mute" : "unmute";
    const picture = this.picture ? "camera-off" : "camera-on";
    label(this.muteButton, this.audio ? "mic" : "mic-off", say(audio));
    label(this.cameraButton, this.picture ? "camera" : "camera-off", say(picture));
    this.muteButton.classList.toggle("off", !this.audio);
    this.cameraButton.classList.toggle("off", !this.picture);
  }

  private noteMedia(audio: boolean, video: boolean): void {
    const missing = audio ? "resident-no-picture" : video ? "resident-muted" : "resident-nothing";
    this.unseen = audio && video ? "" : say(missing);
    this.showNote();
  }

  private showNote(): void {
    const text = [this.weak, this.unseen, this.trouble].filter((one) => one !== "").join(" ");
    if (this.note.textContent !== text) this.note.textContent = text; // is said aloud when set
    this.note.hidden = text === "";
  }

  private spent(): string {
    return clock((performance.now() - this.startedAt) / 1000);
  }

  private async measure(): Promise<void> {
    this.measured = (await this.call.quality()) ?? this.measured;
    this.showQuality();
  }

  private showQuality(): void {
    const interrupted = this.status.dataset.state === "interrupted";
    const { bars, level, notes } = shown(this.told, this.measured.level, interrupted);
    const { rtt, loss, rate } = this.measured;
    const mos = this.told?.mos;
    const score =
      typeof mos === "number" ? `${say("quality-score", { score: decimal(mos) })}, ` : "";
    this.quality.dataset.level = level;
    this.quality.dataset.bars = String(bars);
    this.quality.title = score + say("quality-detail", { rtt, loss, rate });
    this.quality.replaceChildren(barsPicture(bars), el("span", {}, say(`quality-${level}`)));
    this.weak = notes.map((one) => say(one)).join(" ");
    this.showNote();
  }
}
