"""Makes two ends of a call meet at the relay: candidates in SDP (RFC 8839), rewritten."""

from __future__ import annotations

import re

from bench.lines.relay import Address


def address_of(sdp: str) -> Address:
    """Return the first UDP address of a description; raise ValueError without one."""
    found = re.search(
        r"^a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host",
        sdp,
        re.MULTILINE | re.IGNORECASE,
    )
    if found is None:
        raise ValueError("a description without an IPv4 host candidate for UDP")
    return found[1], int(found[2])


def led_through(sdp: str, port: int) -> str:
    """Return the description with one candidate in each section: 127.0.0.1 and `port`."""
    lines = []
    for line in sdp.splitlines():
        if line.startswith(("a=candidate:", "a=end-of-candidates")):
            continue
        lines.append(line)
        if line.startswith("a=ice-ufrag:"):
            lines.append(f"a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host")
            lines.append("a=end-of-candidates")
    return "\r\n".join(lines) + "\r\n"
