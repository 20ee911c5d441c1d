// What the page does about its browser's jitter buffer of the kiosk's voice (docs/rate.md).

// A document fills a line in its first second, and the queue is 70 ms. A buffer that has come down to
// 20 ms on a calm line would run empty.
const LONGER_MS = 120;

/** Two at a time would each take the other's offer for the kiosk's. */
const busy = new WeakSet<RTCPeerConnection>();

/** Whether this browser is of the one kind on which that has been tried. */
export function hearsAnew(): boolean {
  const { userAgentData } = navigator as { userAgentData?: { brands: { brand: string }[] } };
  return userAgentData?.brands.some((one) => one.brand === "Chromium") ?? false;
}

/** Returns an offer in which the sound has other SSRCs (RFC 5576). */
export function withOtherVoice(offer: string): string {
  return offer
    .split(/^(?=m=)/m)
    .map((section) => (section.startsWith("m=audio") ? renumbered(section) : section))
    .join("");
}

function renumbered(section: string): string {
  return section.replace(/^(a=ssrc:)(\d+)/gm, (_, name: string, ssrc: string) => {
    return name + String((Number(ssrc) ^ 1) >>> 0); // 32 bits without a sign
  });
}

/** Lets the far end's voice wait a little longer, or as it likes. */
export function waitLonger(peer: RTCPeerConnection, longer: boolean): void {
  for (const one of peer.getReceivers()) {
    // Where it is not known yet, setting it does nothing.
    const receiver = one as RTCRtpReceiver & { jitterBufferTarget?: number | null };
    if (one.track.kind === "audio") receiver.jitterBufferTarget = longer ? LONGER_MS : null;
  }
}

/**
 * Plays the far end's voice as on a line that never had a queue. A long delay is kept for ten seconds
 * and more after the queue that it was for is gone; a stream with another SSRC has a buffer of its
 * own, and it takes none but ourselves to say that the voice has another one, and then that it has
 * not. What waits to be played is lost, and the totals of getStats begin anew: true when that is done.
 */
export async function hearAnew(peer: RTCPeerConnection): Promise<boolean> {
  const offer = peer.currentRemoteDescription;
  if (!hearsAnew() || offer?.type !== "offer" || peer.signalingState !== "stable") return false;
  if (busy.has(peer)) return false;
  busy.add(peer);
  try {
    await take(peer, withOtherVoice(offer.sdp));
  } finally {
    await take(peer, offer.sdp).finally(() => busy.delete(peer));
  }
  return true;
}

async function take(peer: RTCPeerConnection, sdp: string): Promise<void> {
  await peer.setRemoteDescription({ type: "offer", sdp });
  await peer.setLocalDescription();
}
