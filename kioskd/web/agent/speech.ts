// How the agent's voice is protected. A browser that sends each packet of speech twice (RED, RFC
// 2198) needs no in-band FEC beside it: both tell of the same packet, and FEC is paid out of the
// rate (docs/lines.md). The kiosk asks for both, since not every browser knows RED.

/** Whether this browser sends RED where it is asked to. */
export function sendsRed(): boolean {
  const codecs = RTCRtpSender.getCapabilities("audio")?.codecs ?? [];
  return codecs.some((one) => one.mimeType.toLowerCase() === "audio/red");
}

/** Returns the kiosk's offer as it is to be taken: without FEC where RED is sent. */
export function withoutFec(offer: string, red: boolean): string {
  return red ? offer.replace(/^(a=fmtp:.*useinbandfec=)1/m, "$10") : offer;
}
