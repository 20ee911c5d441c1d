"""The bars and the figures of a call: steady, true, and unharmed by what an agent's page says."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from kioskd.app.quality import CallQuality
from kioskd.call import control
from kioskd.call.quality import (
    FALL_S,
    HEAR_AT_ONCE,
    MOST_BARS,
    RISE_S,
    SMALL_S,
    WINDOW_S,
    Bars,
    QualityMeter,
    Report,
    Shown,
    Way,
    bars,
)
from kioskd.call.statistics import LegStats, SoundStats
from kioskd.sound.playout import Playout
from kioskd.visit.events import Event
from kioskd.visit.machine import step
from kioskd.visit.state import Visit
from kioskd.visit.words import EndReason, LineQuality, Scene

GOOD, FAIR, WEAK, BAD = 4.3, 3.8, 3.3, 1.5
SILENT = SoundStats.of(Playout())


class Line:
    """A call, second by second."""

    def __init__(self) -> None:
        self.now = 0.0
        self.meter = QualityMeter(0.0)
        self.sound = SILENT
        self.lost = False
        self.picture = True
        self.reconnections = 0

    def second(
        self, *, concealed: float | None = 0.0, told: Report | None = None, trip_s: float = 0.04
    ) -> Shown:
        """Go on: `concealed` of what the resident hears, None without an agent's microphone."""
        self.now += 1.0
        heard = 0.0 if concealed is None else concealed
        self.sound = replace(
            self.sound,
            played_s=self.sound.played_s + 1,
            concealed_s=self.sound.concealed_s + heard,
            gaps=self.sound.gaps + round(heard * 50),
            delay_s=0.04,
            packets=self.sound.packets + (concealed is not None) * 50,
        )
        if told is not None:
            self.meter.hear(told, self.now)
        stats = LegStats(trip_s, 0.0, 0.0, 1e6, 1e6, 10_000, self.sound)
        return self.meter.look(
            stats,
            self.now,
            lost=self.lost,
            reconnections=self.reconnections,
            picture=self.picture,
        )

    def seconds(self, count: int, **how: Any) -> list[Shown]:
        return [self.second(**how) for _ in range(count)]


# -- bars ---------------------------------------------------------------------------------


def shown(scores: list[float], most: int = MOST_BARS) -> list[int | None]:
    it, values = Bars(), []
    for now, score in enumerate(scores):
        it.step(score, most, float(now))
        values.append(it.value)
    return values


def test_each_step_of_g109_is_a_bar() -> None:
    assert [bars(one) for one in (1.0, 2.6, 3.2, 3.7, 4.1)] == [0, 1, 2, 3, 4]


def test_bars_fall_soon_and_rise_late() -> None:
    values = shown([GOOD] * 10 + [BAD] * 10 + [GOOD] * 10)
    assert values[9] == 4
    assert values[10] == 0  # they had stood for long: at once
    assert values[20 + RISE_S_STEPS - 1] == 0
    assert values[-1] == 4


RISE_S_STEPS = round(RISE_S)


def test_bars_do_not_flicker_on_a_line_that_comes_and_goes() -> None:
    values = shown([GOOD, BAD] * 60)
    assert len(list(itertools.groupby(values))) <= 3
    # About a step the score may tremble as it likes.
    values = shown([3.62, 3.58] * 60)
    assert len(list(itertools.groupby(values))) <= 2


def test_changes_are_some_seconds_apart() -> None:
    values = shown([GOOD, WEAK, BAD, FAIR, GOOD, BAD, BAD, WEAK, FAIR, GOOD] * 20)
    changes = [n for n, (a, b) in enumerate(itertools.pairwise(values)) if a != b]
    assert all(later - earlier >= FALL_S for earlier, later in itertools.pairwise(changes))


def test_bars_rise_to_what_has_lasted() -> None:
    values = shown([BAD] * 10 + [GOOD] * 3 + [FAIR] + [GOOD] * 4)
    assert values[-1] == 3


# -- the meter ----------------------------------------------------------------------------


def test_a_clean_call_has_all_bars_and_both_scores() -> None:
    line = Line()
    clean = Report(0.0, buffer_s=0.05, fps=30, frozen=0.0, height=480)
    last = [line.second(told=clean if n % 2 else None) for n in range(20)][-1]
    assert last.bars == 4
    assert last.mos == pytest.approx(4.3, abs=0.1)
    assert not last.poor
    summary = line.meter.summary(line.now)
    assert summary.to_agent.mos_median == pytest.approx(4.3, abs=0.1)
    assert summary.to_kiosk.mos_min == pytest.approx(4.3, abs=0.1)
    assert summary.poor_s == 0


def test_nothing_is_shown_before_anything_is_known() -> None:
    line = Line()
    beginning = [line.second(), line.second(concealed=0.6)]  # as buffers fill
    assert beginning == [Shown()] * 2
    assert line.second().bars == 4
    assert line.meter.summary(line.now).to_kiosk.concealed == 0


def test_loss_on_the_way_to_the_kiosk_is_named_and_counted() -> None:
    line = Line()
    line.seconds(10, told=Report(0.0))
    for n in range(10):
        last = line.second(concealed=0.2, told=Report(0.0) if n % 2 else None)
    assert last.poor
    assert last.way is Way.TO_KIOSK
    summary = line.meter.summary(line.now)
    assert summary.to_kiosk.concealed == pytest.approx(0.1, abs=0.02)
    assert summary.to_agent.concealed == 0
    assert summary.to_kiosk.mos_min is not None
    assert summary.to_kiosk.mos_min < 2.6
    assert 4 < summary.poor_s < 10


def test_an_agents_page_that_says_nothing_has_no_score() -> None:
    line = Line()
    last = line.seconds(20)[-1]
    assert last.bars == 4
    summary = line.meter.summary(line.now)
    assert summary.to_agent.mos is None
    assert summary.to_agent.concealed is None
    assert summary.to_kiosk.mos is not None


def test_a_page_that_falls_silent_has_no_score_any_more() -> None:
    line = Line()
    assert line.second(told=Report(0.3)).bars == 0
    line.seconds(round(WINDOW_S) + 1)
    assert line.meter.summary(line.now).to_agent.mos is None
    assert line.seconds(round(RISE_S) + 1)[-1].bars == 4


def test_an_agent_without_a_microphone_is_no_bad_line() -> None:
    line = Line()
    last = [line.second(concealed=None, told=Report(0.0) if n % 2 else None) for n in range(20)][-1]
    assert last.bars == 4
    assert line.meter.summary(line.now).to_kiosk.mos is None


def test_a_flood_of_reports_is_not_taken() -> None:
    meter = QualityMeter(0.0)
    taken = [meter.hear(Report(1.0), n / 100) for n in range(1000)]
    assert 10 <= sum(taken) <= 10 + HEAR_AT_ONCE
    meter = QualityMeter(0.0)
    assert all(meter.hear(Report(1.0), n / 2) for n in range(0, 100, 4))
    assert all(meter.hear(Report(1.0), 1000.0) for _ in range(HEAR_AT_ONCE))  # a line that lost


def test_a_picture_that_stands_still_costs_bars() -> None:
    line = Line()
    frozen = Report(0.0, fps=10, frozen=0.5, height=480)
    last = [line.second(told=frozen if n % 2 else None) for n in range(10)][-1]
    assert last.bars == 1
    assert last.way is Way.TO_AGENT
    assert last.mos == pytest.approx(4.3, abs=0.1)  # the score is the sound's
    line.picture = False  # the resident has switched it off
    assert line.seconds(round(RISE_S) + 2)[-1].bars == 4


def test_a_picture_made_small_for_the_sounds_sake_is_a_weak_line() -> None:
    line = Line()
    for n in range(20):
        line.second(told=Report(0.0, fps=30, frozen=0.0, height=480) if n % 2 else None)
    small = Report(0.0, fps=24, frozen=0.0, height=240)
    shown = [line.second(told=small if n % 2 else None) for n in range(20)]
    assert shown[round(SMALL_S) - 2].bars == 4
    assert shown[-1].bars == 2
    assert shown[-1].poor


def test_a_camera_with_few_lines_is_no_weak_line() -> None:
    line = Line()
    small = Report(0.0, fps=30, frozen=0.0, height=240)
    assert [line.second(told=small if n % 2 else None) for n in range(40)][-1].bars == 4


def test_an_interruption_is_no_bars_and_what_was_before_it_does_not_count_after() -> None:
    line = Line()
    line.seconds(5)
    line.seconds(3, concealed=1.0)
    line.lost = True
    assert [one.bars for one in line.seconds(5, concealed=1.0)] == [0] * 5
    line.lost, line.reconnections = False, 1
    line.sound = SILENT  # another leg counts from nothing
    assert line.seconds(3)[-1].bars == 4
    summary = line.meter.summary(line.now)
    assert summary.reconnections == 1
    assert 5 <= summary.poor_s <= 9
    assert summary.duration_s == 16


def test_delay_costs_bars_too() -> None:
    line = Line()
    assert line.seconds(10, trip_s=0.06)[-1].bars == 4
    assert line.seconds(20, trip_s=0.6)[-1].poor
    summary = line.meter.summary(line.now)
    assert summary.round_trip_worst_s == 0.6
    assert summary.round_trip_median_s == 0.6


# -- told to people -----------------------------------------------------------------------


class Call:
    """CallQuality with a visit that is talking; what it says and posts is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.line = Line()
        self.visit = Visit(scene=Scene.TALKING, service="caf", talking_since=0.0)
        self.said: list[dict[str, Any]] = []
        self.quality = CallQuality(
            post=self._post,
            visit=lambda: self.visit,
            say=lambda one: self.said.append(one.model_dump(mode="json")),
            filmed=lambda: True,
        )
        monkeypatch.setattr("kioskd.app.quality.time.monotonic", lambda: self.line.now)

    def _post(self, event: Event) -> None:
        self.visit, _ = step(self.visit, event, self.line.now)

    def second(self, concealed: float = 0.0, told: float | None = None) -> None:
        self.line.second(concealed=concealed)
        if told is not None:
            self.quality.hear(control.Hearing(seconds=2, concealed=told))
        self.quality.look(LegStats(0.04, 0.0, 0.0, 1e6, 1e6, 1, self.line.sound), 2)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    return Call(monkeypatch)


def test_the_visit_and_the_agent_are_told_of_changes_alone(call: Call) -> None:
    for _ in range(20):
        call.second()
    assert (call.visit.line, call.visit.bars) == (LineQuality.GOOD, 4)
    assert [one["bars"] for one in call.said] == [4]
    for _ in range(10):
        call.second(concealed=0.3)
    assert (call.visit.line, call.visit.bars) == (LineQuality.POOR, 0)
    assert call.said[-1] == {
        "type": "quality",
        "bars": 0,
        "mos": call.said[-1]["mos"],
        "poor": True,
        "direction": None,  # the other is not known
    }
    assert len(call.said) <= 10
    assert [one.model_dump(mode="json") for one in call.quality.said()] == call.said[-1:]


def test_an_interruption_stays_told_until_the_path_is_back(call: Call) -> None:
    for _ in range(5):
        call.second()
    call.visit = replace(call.visit, line=LineQuality.LOST, bars=None)
    call.second()
    assert (call.visit.line, call.visit.bars) == (LineQuality.LOST, 0)
    assert call.said[-1]["bars"] == 4
    call.visit = replace(call.visit, line=LineQuality.GOOD, bars=None)
    for _ in range(3):
        call.second()
    assert (call.visit.line, call.visit.bars) == (LineQuality.GOOD, 4)


def test_the_figures_of_a_call_are_kept_and_nothing_of_who_spoke(call: Call) -> None:
    for _ in range(12):
        call.second(concealed=0.01, told=0.02)
    so_far = call.quality.so_far()
    assert so_far is not None
    assert so_far.to_agent.mos is not None
    call.quality.end(EndReason.HANG_UP)
    assert call.quality.so_far() is None
    assert call.quality.bars is None
    assert call.quality.said() == []
    (record,) = call.quality.lately()
    assert (record.service, record.end) == ("caf", EndReason.HANG_UP)
    assert record.figures.duration_s == 12
    assert record.figures.reconnections == 2
    assert record.figures.to_kiosk.concealed == pytest.approx(0.01, abs=0.001)
    assert set(record.model_dump()) == {"began", "service", "end", "figures"}
    totals = call.quality.totals()
    assert totals.ended == {EndReason.HANG_UP: 1}
    assert totals.to_agent.count == 1
    assert totals.to_agent.upto["4.5"] == 1
    call.quality.end(EndReason.HANG_UP)  # a call that never stood
    assert len(call.quality.lately()) == 1


def test_only_the_last_calls_are_kept_and_all_are_counted(call: Call) -> None:
    for _ in range(30):
        call.second()
        call.second()
        call.quality.end(EndReason.LOST)
    assert len(call.quality.lately()) == 20
    assert call.quality.totals().ended == {EndReason.LOST: 30}


def test_nothing_is_measured_before_people_talk(call: Call) -> None:
    call.visit = replace(call.visit, scene=Scene.CONNECTING, talking_since=None)
    call.second(told=0.5)
    assert call.quality.so_far() is None
    assert call.said == []


# -- an agent's page may say anything -------------------------------------------------------


def test_a_flood_is_refused_and_told_once(call: Call) -> None:
    call.second()
    for _ in range(500):
        call.quality.hear(control.Hearing(seconds=2, concealed=1.0))
    assert call.quality.refused == 500 - HEAR_AT_ONCE
    assert call.line.now == 1.0


HEARING = {"type": "hearing", "seconds": 2, "concealed": 0.1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"concealed": 1.5},
        {"concealed": -0.1},
        {"concealed": None},
        {"concealed": "much"},
        {"concealed": [0.1]},
        {"seconds": 0},
        {"seconds": 3600},
        {"gap_ms": -1},
        {"gap_ms": 1e12},
        {"buffer_ms": 1e300},
        {"fps": -3},
        {"frozen": 2},
        {"height": 10**9},
        {"height": 1.5},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="hearing"):
        control.parse_from_agent(json.dumps(HEARING | wrong))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(number: str) -> None:
    for name in ("seconds", "concealed", "gap_ms", "buffer_ms", "fps", "frozen"):
        text = json.dumps(HEARING | {name: "@"}).replace('"@"', number)
        with pytest.raises(ValueError, match=name):
            control.parse_from_agent(text)


def test_the_extremes_that_are_taken_break_nothing(call: Call) -> None:
    for n in range(20):
        call.line.now = float(2 * n)
        call.quality.hear(
            control.Hearing(
                seconds=60, concealed=1.0, gap_ms=0.0, buffer_ms=60_000, fps=0, frozen=1.0, height=0
            )
        )
        call.second()
    assert call.visit.bars == 0
    call.quality.end(EndReason.HANG_UP)
    assert call.quality.lately()[0].figures.to_agent.mos_min == 1.0
