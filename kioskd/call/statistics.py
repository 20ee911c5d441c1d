"""How well a leg carries: round trip, loss and rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LegStats:
    """One measurement of a leg; None where nothing is known yet.

    `round_trip_s` in seconds; the losses are shares of packets, 0.0 to 1.0: of ours by
    the agent's last report (the worse of sound and picture), of the agent's since the
    measurement before; the rates are in bits per second since the measurement before,
    documents included. `bytes_received` is a total: a path that is dead no longer adds.
    """

    round_trip_s: float | None
    loss_sent: float | None
    loss_received: float | None
    sent_bps: float | None
    received_bps: float | None
    bytes_received: int


@dataclass(frozen=True, slots=True)
class _Totals:
    at: float
    sent: int
    received: int
    packets: int
    lost: int


class Meter:
    """Turns the growing totals of aiortc's getStats into a LegStats."""

    def __init__(self) -> None:
        self._before: _Totals | None = None

    def measure(self, report: Mapping[str, Any], now: float) -> LegStats:
        """Return what `report` says; `now` is in seconds of the monotonic clock."""
        remote = [s for s in report.values() if s.type == "remote-inbound-rtp"]
        trips = [s.roundTripTime for s in remote if s.roundTripTime is not None]
        inbound = [s for s in report.values() if s.type == "inbound-rtp"]
        transports = [s for s in report.values() if s.type == "transport"]
        totals = _Totals(
            at=now,
            sent=sum(s.bytesSent for s in transports),
            received=sum(s.bytesReceived for s in transports),
            packets=sum(s.packetsReceived for s in inbound),
            lost=sum(s.packetsLost for s in inbound),
        )
        before, self._before = self._before, totals
        return LegStats(
            round_trip_s=max(0.0, min(trips)) if trips else None,
            # A receiver report counts the share in 256ths (RFC 3550, section 6.4.1).
            loss_sent=max(s.fractionLost for s in remote) / 256 if remote else None,
            loss_received=_share(before, totals),
            sent_bps=_rate(before, totals, "sent"),
            received_bps=_rate(before, totals, "received"),
            bytes_received=totals.received,
        )


def _share(before: _Totals | None, after: _Totals) -> float | None:
    if before is None:
        return None
    lost = max(0, after.lost - before.lost)
    expected = after.packets - before.packets + lost
    return lost / expected if expected > 0 else None


def _rate(before: _Totals | None, after: _Totals, name: str) -> float | None:
    if before is None or after.at <= before.at:
        return None
    change: int = getattr(after, name) - getattr(before, name)
    return max(0, change) * 8 / (after.at - before.at)
