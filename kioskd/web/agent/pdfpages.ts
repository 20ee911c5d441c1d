// The pages of a scan, for a look: a kiosk's PDF holds each page as one JPEG as it is.

const START = [0xff, 0xd8, 0xff];
const BEGIN_STREAM = "stream\n";
const END_STREAM = "endstream";

/** Returns the JPEG pictures in a PDF that a kiosk assembled, in order. */
export function jpegsOf(pdf: Uint8Array): Blob[] {
  const found: Blob[] = [];
  const text = new TextDecoder("latin1").decode(pdf); // one character for each byte
  let at = 0;
  for (;;) {
    const stream = text.indexOf(BEGIN_STREAM, at);
    if (stream < 0) return found;
    const start = stream + BEGIN_STREAM.length;
    const end = text.indexOf(END_STREAM, start);
    if (end < 0) return found;
    if (START.every((byte, index) => pdf[start + index] === byte)) {
      found.push(new Blob([pdf.slice(start, end)], { type: "image/jpeg" }));
    }
    at = end + END_STREAM.length;
  }
}
