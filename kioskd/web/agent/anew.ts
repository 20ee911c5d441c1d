// The jitter buffer of a browser keeps a long delay for ten seconds and more after the queue that it
// was for is gone (docs/lines.md). A stream with another SSRC has a jitter buffer of its own, and it
// takes none but ourselves to say that the kiosk's voice has another one, and then that it has not.

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

/**
 * Plays the far end's voice as on a line that never had a queue; what waits to be played is lost.
 * Nothing of it reaches the far end. True when it is done: the totals of getStats begin anew.
 */
export async function hearAnew(peer: RTCPeerConnection): Promise<boolean> {
  const offer = peer.currentRemoteDescription;
  if (!hearsAnew() || offer?.type !== "offer" || peer.signalingState !== "stable") return false;
  try {
    await take(peer, withOtherVoice(offer.sdp));
  } finally {
    await take(peer, offer.sdp);
  }
  return true;
}

async function take(peer: RTCPeerConnection, sdp: string): Promise<void> {
  await peer.setRemoteDescription({ type: "offer", sdp });
  await peer.setLocalDescription();
}
