"""`kioskctl call` and `kioskctl metrics`: tables in 80 columns, and metrics that can be read."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kioskd.control.api import Status
from kioskd.diagnostics import call_table, glance, metrics
from kioskd.visit.words import EndReason
from tests.unit.sample_status import sample
from tests.unit.test_glance import COLUMNS, Paper

EAR = {"mos": 4.21, "mos_min": 2.94, "mos_median": 4.18, "concealed": 0.0123}
UNKNOWN: dict[str, Any] = dict.fromkeys(EAR)
FIGURES = {
    "duration_s": 754.0,
    "poor_s": 31.0,
    "reconnections": 1,
    "round_trip_median_s": 0.048,
    "round_trip_worst_s": 0.31,
    "to_agent": EAR,
    "to_kiosk": UNKNOWN,
}
TOTALS = {
    "ended": {"hang-up": 2, "lost": 1},
    "talked_s": 1_234_567.5,
    "poor_s": 31.0,
    "reconnections": 1,
    "to_agent": {"upto": {"3.0": 0, "4.5": 3}, "count": 3, "sum": 12.3},
    "to_kiosk": {"upto": {"3.0": 0, "4.5": 0}, "count": 0, "sum": 0.0},
}


def talking() -> Status:
    call = sample().call.model_dump() | {
        "bars": 2,
        "so_far": FIGURES,
        "sound_s": 187.0,
        "sound_concealed_s": 0.4,
        "sound_recovered_s": 2.1,
        "sound_delay_s": 0.05,
        "sound_late_packets": 3,
    }
    ends = list(EndReason)
    calls = [
        {"began": 1.7e9 + 900 * n, "service": "france-travail", "end": one, "figures": FIGURES}
        for n, one in enumerate(ends)
    ]
    return sample(call=call, calls=calls, call_totals=TOTALS)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_calls_fit_80_columns_and_can_be_written(encoding: str) -> None:
    paper = Paper(encoding)
    text = paper.print(call_table.picture(talking(), paper.console))
    assert max(len(line) for line in text.splitlines()) <= COLUMNS
    for words in ("2 of 4, weak", "4.2 (2.9)", "12:34", "0:31", "48 ms", "1.2 %", "kiosk-stopped"):
        assert words in text, text
    if encoding == "ascii":
        assert "##.. 2 of 4" in text


def test_the_glance_tells_how_good_the_call_is() -> None:
    paper = Paper()
    text = paper.print(glance.glance(talking(), paper.console))
    assert "2 of 4 bars; score 4.2 at the agent's" in text
    assert "of 4 bars" not in Paper().print(glance.glance(sample(), paper.console))


def test_without_calls_it_says_so() -> None:
    paper = Paper()
    text = paper.print(call_table.picture(sample(), paper.console))
    assert "no call since kioskd was started" in text


LINE = re.compile(
    r'^(# (HELP|TYPE) [a-z_0-9]+ .+|[a-z_0-9]+(\{([a-z]+="[^"\\\n]*",?)+\})? -?[0-9.e+-]+)$'
)


@pytest.mark.parametrize("status", [talking(), sample()], ids=["calls", "none"])
def test_the_metrics_are_of_prometheus_text_format(status: Status) -> None:
    text = metrics.text(status)
    assert text.endswith("\n")
    lines = text.splitlines()
    assert all(LINE.match(line) for line in lines), [one for one in lines if not LINE.match(one)]
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    samples = [line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")]
    assert len(samples) == len(set(samples))


def test_the_scores_are_in_the_metrics() -> None:
    lines = metrics.text(talking()).splitlines()
    for line in (
        'kioskd_calls_total{end="hang-up"} 2',
        'kioskd_calls_total{end="failed"} 0',
        "kioskd_call_poor_seconds_total 31",
        "kioskd_call_talked_seconds_total 1234567.5",
        'kioskd_device_usable{device="printer"} 0',
        "kioskd_call_bars 2",
        'kioskd_call_mos_now{direction="to-agent"} 4.21',
        'kioskd_call_mos_bucket{direction="to-agent",le="3.0"} 0',
        'kioskd_call_mos_bucket{direction="to-agent",le="+Inf"} 3',
        'kioskd_call_mos_count{direction="to-agent"} 3',
        'kioskd_last_call_mos{direction="to-agent"} 4.18',
    ):
        assert line in lines
    assert not any("to-kiosk" in line and "mos_now" in line for line in lines)
