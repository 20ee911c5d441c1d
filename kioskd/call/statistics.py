"""How well a leg carries: round trip, loss and rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kioskd.hal.microphone import CHUNK_SAMPLES, SAMPLE_RATE
from kioskd.sound.ladder import FULL_BIT_RATE
from kioskd.sound.playout import Playout

CHUNK_S: Final = CHUNK_SAMPLES / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class SoundStats:
    """What became of the agent's voice since the leg began; seconds of sound, and packets.

    `delay_s` is how much later than the fastest packet's sound is played now, `target_s`
    what the line asks for; `gaps` counts the runs of concealed sound. `own_bit_rate` and
    `own_packet_s` are of our own speech, as it goes out now.
    """

    played_s: float
    concealed_s: float
    comfort_s: float
    recovered_fec_s: float
    recovered_red_s: float
    accelerated_s: float
    expanded_s: float
    discarded_s: float
    delay_s: float
    target_s: float
    packets: int
    late_packets: int
    malformed_packets: int
    gaps: int = 0
    own_bit_rate: int = FULL_BIT_RATE
    own_packet_s: float = CHUNK_S

    @classmethod
    def of(cls, playout: Playout) -> SoundStats:
        """Read a jitter buffer's figures."""
        played, arrivals = playout.played, playout.store.arrivals
        return cls(
            played_s=played.total / SAMPLE_RATE,
            concealed_s=played.concealed / SAMPLE_RATE,
            comfort_s=played.comfort / SAMPLE_RATE,
            recovered_fec_s=played.recovered_fec / SAMPLE_RATE,
            recovered_red_s=played.recovered_red / SAMPLE_RATE,
            accelerated_s=played.accelerated / SAMPLE_RATE,
            expanded_s=played.expanded / SAMPLE_RATE,
            discarded_s=played.discarded / SAMPLE_RATE,
            delay_s=playout.delay_s,
            target_s=playout.store.estimator.target_s,
            packets=arrivals.received,
            late_packets=arrivals.late,
            malformed_packets=arrivals.malformed,
            gaps=played.gaps,
        )

    def summary(self) -> dict[str, Any]:
        """Return what a technician looks at, by its name in CallStatus."""
        return {
            "sound_s": round(self.played_s, 2),
            "sound_concealed_s": round(self.concealed_s, 2),
            "sound_recovered_s": round(self.recovered_fec_s + self.recovered_red_s, 2),
            "sound_accelerated_s": round(self.accelerated_s, 2),
            "sound_expanded_s": round(self.expanded_s, 2),
            "sound_discarded_s": round(self.discarded_s, 2),
            "sound_delay_s": round(self.delay_s, 3),
            "sound_late_packets": self.late_packets,
        }


@dataclass(frozen=True, slots=True)
class LegStats:
    """One measurement of a leg; None where nothing is known yet.

    `round_trip_s` in seconds; the losses are shares of packets, 0.0 to 1.0: of ours by
    the agent's last report (the worse of sound and picture), of the agent's since the
    measurement before; the rates are in bits per second since the measurement before,
    documents included. `bytes_received` is a total: a path that is dead no longer adds.
    `sound` has the totals of the agent's voice.
    """

    round_trip_s: float | None
    loss_sent: float | None
    loss_received: float | None
    sent_bps: float | None
    received_bps: float | None
    bytes_received: int
    sound: SoundStats | None


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

    def measure(self, report: Mapping[str, Any], sound: SoundStats | None, now: float) -> LegStats:
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
            sound=sound,
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
