// The bars that show how loud the voices are: the resident sees that the kiosk hears.

const HEADER = 10;
const FULL = 255;
const STALE_MS = 500;

let stale: ReturnType<typeof setTimeout> | undefined;

/** Draws what a binary frame of kind 3 says; see kioskd/screen/messages.py. */
export function drawLevels(buffer: ArrayBuffer): void {
  const [own = 0, agent = 0] = new Uint8Array(buffer, HEADER);
  clearTimeout(stale);
  stale = setTimeout(() => show(0, 0), STALE_MS); // nothing is heard when nothing comes
  show(own, agent);
}

function show(own: number, agent: number): void {
  for (const [voice, value] of Object.entries({ own, agent })) {
    const meter = document.querySelector<HTMLElement>(`[data-testid="${voice}-level"]`);
    const percent = String(Math.round((100 * value) / FULL));
    meter?.setAttribute("aria-valuenow", percent);
    meter?.style.setProperty("--level", `${percent}%`);
  }
}
