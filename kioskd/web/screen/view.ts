// The shape of what the daemon sends: kioskd/screen/messages.py is its source.

export interface ServiceView {
  id: string;
  name: string;
  description: Record<string, string>;
  colour: string;
  icon: string;
  open: boolean;
  opens: string | null;
}

export interface PagePicture {
  number: number;
  url: string;
  hidden: number;
}

/** A part of a page, in fractions of its width and height. */
export interface Area {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface ScanView {
  stage:
    "asking" | "declined" | "scanning" | "preview" | "sending" | "sent" | "cancelled" | "failed";
  requested_by_agent: boolean;
  pages: PagePicture[];
  done: number;
  reason: string | null;
  button: boolean;
}

export interface PrintView {
  stage:
    "checking" | "asking" | "declined" | "printing" | "held" | "printed" | "cancelled" | "failed";
  name: string;
  pages: PagePicture[];
  printed: number;
  reasons: string[];
}

export interface View {
  type: "view";
  scene: "choosing" | "closed" | "waiting" | "connecting" | "talking" | "ended";
  kiosk: string;
  language: string;
  online: boolean;
  services: ServiceView[];
  service: string | null;
  place: number | null;
  waited_s: number;
  agent: string | null;
  organisation: string | null;
  refused: string | null;
  agent_media: { audio: boolean; video: boolean };
  call_s: number;
  line: "good" | "poor" | "lost";
  bars: number | null;
  microphone_on: boolean;
  camera_on: boolean;
  volume: number;
  testing: string | null;
  maintenance: boolean;
  devices: { kind: string; state: string; reason: string | null }[];
  scan: ScanView | null;
  print: PrintView | null;
  end: { reason: string; seconds: number; pages_sent: number; pages_printed: number } | null;
}

/** A button of the panel was pressed: keys.ts. */
export interface Key {
  type: "key";
  key: "next" | "previous" | "press";
}

/** What a button does: an action for the daemon, or a change of what is shown here. */
export type Action =
  | { action: "choose"; service: string }
  | { action: "language"; language: string }
  | { action: "scan-remove"; page: number }
  | { action: "scan-hide"; page: number; area: Area }
  | { action: "scan-show"; page: number }
  | { action: "media"; audio: boolean; video: boolean }
  | { action: "volume"; volume: number }
  | { action: "turn-pages"; step: -1 | 1 }
  | { action: "hide-page"; page: number | null }
  | { action: PlainAction };

export type PlainAction =
  | "hang-up"
  | "back"
  | "scan-offer"
  | "scan-start"
  | "scan-more"
  | "scan-decline"
  | "scan-send"
  | "scan-close"
  | "print-accept"
  | "print-decline"
  | "print-close"
  | "keyframe"
  | "drawn";

export type Say = (key: string, values?: Record<string, string | number>) => string;
