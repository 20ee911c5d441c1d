// Which ink can be read on a colour.

const DARK = "#14213a";
const LIGHT = "#ffffff";
/** WCAG 2.1, 1.4.3: the least contrast of a text. */
const LEAST = 4.5;

/** Returns white where it can be read on `colour` ("#rrggbb"), else a dark ink. */
export function inkOn(colour: string): string {
  const parts = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255);
  const [r = 0, g = 0, b = 0] = parts.map((part) =>
    part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4,
  );
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return 1.05 / (luminance + 0.05) >= LEAST ? LIGHT : DARK;
}
