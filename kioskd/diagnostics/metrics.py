"""The status as metrics: Prometheus's text format 0.0.4, for any collector that reads files.

No port is opened: `kioskctl metrics` prints them, and node_exporter's textfile collector or the
like takes them from there. Nothing in them tells who anybody is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from kioskd.control.api import EarFigures, ScoreTotals, Status
from kioskd.errors import Reason
from kioskd.visit.words import EndReason, Scene

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]

_SCORES: Final = "kioskd_call_mos"
_NONE: Final[Labels] = {}


def text(status: Status) -> str:
    """Return all metrics."""
    families = [*_kiosk(status), *_now(status), *_calls(status)]
    return "".join(f"{line}\n" for family in families for line in family)


def _kiosk(status: Status) -> Iterable[list[str]]:
    usable = [
        ("", {"device": one.kind.value}, float(one.state.usable))
        for one in status.devices
        if one.reason is not Reason.NOT_CONFIGURED
    ]
    yield _family("kioskd_uptime_seconds", "gauge", "Since the daemon's start.", status.uptime_s)
    yield _family(
        "kioskd_broker_online", "gauge", "1 while the broker answers.", status.broker_online
    )
    yield _family(
        "kioskd_loop_lag_p99_seconds",
        "gauge",
        "How late the daemon's loop woke, over the last minute.",
        status.loop_lag_p99_ms / 1000,
    )
    yield _family("kioskd_device_usable", "gauge", "1 while a device can be used.", usable)


def _now(status: Status) -> Iterable[list[str]]:
    call = status.call
    yield _family("kioskd_in_call", "gauge", "1 while people talk.", call.scene is Scene.TALKING)
    if call.so_far is None:
        return
    yield _family("kioskd_call_bars", "gauge", "0 to 4, as both pages show.", call.bars)
    ways = _both(call.so_far.to_agent, call.so_far.to_kiosk, "mos")
    yield _family(f"{_SCORES}_now", "gauge", "Score of the last seconds, 1.0 to 4.5.", ways)
    yield _family(
        "kioskd_call_round_trip_seconds", "gauge", "Round trip of the call.", call.round_trip_s
    )


def _calls(status: Status) -> Iterable[list[str]]:
    totals = status.call_totals
    ended = [("", {"end": one.value}, float(totals.ended.get(one, 0))) for one in EndReason]
    yield _family("kioskd_calls_total", "counter", "Calls that are over, by how they ended.", ended)
    for name, help_, value in (
        ("talked_seconds", "Length of all calls.", totals.talked_s),
        ("poor_seconds", "Of it, with a line that was called weak.", totals.poor_s),
        ("reconnections", "New legs in the middle of a call.", totals.reconnections),
    ):
        yield _family(f"kioskd_call_{name}_total", "counter", help_, value)
    samples = [
        one
        for way, scores in (("to-agent", totals.to_agent), ("to-kiosk", totals.to_kiosk))
        for one in _histogram(scores, {"direction": way})
    ]
    yield _family(_SCORES, "histogram", "Median score of each call, 1.0 to 4.5.", samples)
    if status.calls:
        last = status.calls[0].figures
        yield _family(
            "kioskd_last_call_mos",
            "gauge",
            "Median score of the last call.",
            _both(last.to_agent, last.to_kiosk, "mos_median"),
        )


def _both(to_agent: EarFigures, to_kiosk: EarFigures, name: str) -> list[Sample]:
    found = {"to-agent": getattr(to_agent, name), "to-kiosk": getattr(to_kiosk, name)}
    return [("", {"direction": way}, one) for way, one in found.items() if one is not None]


def _histogram(scores: ScoreTotals, labels: Labels) -> Iterable[Sample]:
    for step, number in scores.upto.items():
        yield "_bucket", {**labels, "le": step}, number
    yield "_bucket", {**labels, "le": "+Inf"}, scores.count
    yield "_sum", labels, scores.sum
    yield "_count", labels, scores.count


def _family(name: str, kind: str, help_: str, value: float | Sequence[Sample] | None) -> list[str]:
    """Return the lines of one metric; none where there is no value."""
    if value is None:
        return []
    samples = value if isinstance(value, Sequence) else [("", _NONE, float(value))]
    if not samples:
        return []
    head = [f"# HELP {name} {help_}", f"# TYPE {name} {kind}"]
    return head + [f"{name}{end}{_labels(labels)} {one:.12g}" for end, labels, one in samples]


def _labels(labels: Labels) -> str:
    # No value of ours needs escaping: they are words of enumerations and numbers.
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""
