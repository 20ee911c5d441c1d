// The four bars of a line's quality, for both pages: full ones are filled, the others outlines,
// so that they can be told apart without colours.

export const MOST_BARS = 4;
const SVG = "http://www.w3.org/2000/svg";
const FLOOR = 21.5;

/** The outlines of the bars that are full and of those that are empty, in a square of 24. */
export function barPaths(bars: number): { full: string; empty: string } {
  const bar = (place: number): string => {
    const height = 4 + place * 5;
    return `M${1 + place * 6.2} ${FLOOR - height}h3.2v${height}h-3.2Z`;
  };
  const all = Array.from({ length: MOST_BARS }, (_, place) => bar(place));
  return { full: all.slice(0, bars).join(""), empty: all.slice(bars).join("") };
}

/** Draws them in the colour of the text; what they say is to stand beside them in words. */
export function barsPicture(bars: number): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const { full, empty } = barPaths(bars);
  for (const [path, fill] of [
    [full, "currentColor"],
    [empty, "none"],
  ] as const) {
    const drawn = document.createElementNS(SVG, "path");
    drawn.setAttribute("d", path);
    drawn.setAttribute("fill", fill);
    drawn.setAttribute("stroke", "currentColor");
    drawn.setAttribute("stroke-width", "1.3");
    svg.append(drawn);
  }
  return svg;
}
