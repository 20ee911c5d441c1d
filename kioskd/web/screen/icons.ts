// The pictograms, drawn here: no font and no file is loaded.

const HANDSET =
  "M7 3.5 9.5 3l2 5-2.3 1.8a12 12 0 0 0 5 5L16 12.5l5 2-.5 2.5c-.3 2-1.8 3.5-4 3.5C9.5 20.5 3.5 14.5 3.5 7.5c0-2.2 1.5-3.7 3.5-4Z";
const CAMERA =
  "M3 7.5A1.5 1.5 0 0 1 4.5 6h9A1.5 1.5 0 0 1 15 7.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 3 16.5Zm12 3 6-3.5v10l-6-3.5";
const MICROPHONE =
  "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM6 11a6 6 0 0 0 12 0M12 17v4m-3.5 0h7";
const SPEAKER = "M4 9.5h3L12 5v14l-5-4.5H4Z";
const STRUCK = "M4 3.5 20 20.5";
const SHEET = "M6 3h8l4 4v14H6Zm8 0v4h4";

const PATHS: Record<string, string> = {
  family:
    "M8.5 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm8 2a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.6ZM3 20v-2.5a5.5 5.5 0 0 1 11 0V20Zm11 0h7v-1.8a4 4 0 0 0-7-2.6",
  health: "M9 4h6v5h5v6h-5v5H9v-5H4V9h5Z",
  farm: "M12 21v-9m0 0c0-4.5-3-7-8-7 0 4.5 3 7 8 7Zm0 3.5c0-3.5 2.5-6 7.5-6 0 3.5-2.5 6-7.5 6Z",
  work: "M9 7V4.5h6V7M3.5 7h17v12.5h-17Zm0 5.5h17M12 11v3",
  post: "M3 6h18v12.5H3Zm0 .5 9 7 9-7",
  call: HANDSET,
  "hang-up": "M3 15.5v-2.3C3 10.6 7 9 12 9s9 1.6 9 4.2v2.3l-5 .8v-3a15 15 0 0 0-8 0v3Z",
  microphone: MICROPHONE,
  "microphone-off": MICROPHONE + STRUCK,
  camera: CAMERA,
  "camera-off": CAMERA + STRUCK,
  quieter: `${SPEAKER}M16 12h5`,
  louder: `${SPEAKER}M15.5 12h6m-3-3v6`,
  paper: `${SHEET}M9 12h6m-6 4h6`,
  "lay-down": "M3 15h18v5H3Zm2 0L7 9h10l2 6M12 2v8m-3-3 3 3 3-3M6 17.5h3",
  scan: "M4 8V4h4m8 0h4v4m0 8v4h-4m-8 0H4v-4M3 12h18",
  printer: "M7 8V3.5h10V8M7 17H4V8h16v9h-3M7 13.5h10v7H7ZM16.5 10.8h.5",
  send: "M3.5 12 21 4l-5 16-4.5-6.5ZM21 4l-9.5 9.5",
  plus: "M12 5v14M5 12h14",
  hide: `${SHEET}M8.5 12h7v3h-7Z`,
  cross: "m6 6 12 12M18 6 6 18",
  check: "m4.5 12.5 5 5 10-11",
  warning: "M12 4 2.5 20h19Zm0 5.5v5m0 2.7v.3",
  shield: "M12 3 5 6v5.5c0 4.5 3 8 7 9.5 4-1.5 7-5 7-9.5V6Zm-3 9 2.3 2.3L15.5 10",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-8 9a8 8 0 0 1 16 0",
  tool: "M14.5 6.5a4.5 4.5 0 0 1 5.6-4.3l-3 3 .5 2.2 2.2.5 3-3a4.5 4.5 0 0 1-5.9 5.5L7 20.3a2.3 2.3 0 0 1-3.3-3.3l9.9-9.9Z",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-14v5l3.5 2",
  back: "M20 12H5m6-6.5L4.5 12l6.5 6.5",
  next: "M4 12h15m-6-6.5 6.5 6.5-6.5 6.5",
};
const GENERIC = "M4 5h16v11H9l-5 4Z";
const SVG = "http://www.w3.org/2000/svg";

/** Returns a pictogram; one that is not known is a speech balloon. */
export function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name] ?? GENERIC);
  svg.append(path);
  return svg;
}
