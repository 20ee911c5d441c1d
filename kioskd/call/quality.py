"""How good a call is, now and as a whole. Pure: figures go in, bars and a summary come out.

The score of each direction is the E-model's (`mos.py`), of the last WINDOW_S. The bars are those
of the worse direction, fewer where the picture stands still or had to be made small; they fall
soon and rise late, so that they do not flicker.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from kioskd.call import mos
from kioskd.call.mos import Codec
from kioskd.call.statistics import CHUNK_S, LegStats, SoundStats
from kioskd.sound.ladder import FULL_BIT_RATE

WINDOW_S: Final = 6.0
"""What the score is of: three messages of the agent's page, and no hiccup alone."""
WARM_S: Final = 2.0
"""How a call begins is not counted: buffers fill. The agent's page leaves its first 2 s out too."""
FALL_S: Final = 2.0
RISE_S: Final = 6.0
"""So long bars stand at least before they fall, and so long it must be better before they rise."""
MARGIN: Final = 0.1
"""How much better than needed the score must be for more bars."""
HEAR_S: Final = 1.0
HEAR_AT_ONCE: Final = 3
"""The agent's page tells each 2 s. More than one each HEAR_S is not taken, but for so many at once:
on a line that loses, several arrive together.
"""
STEPS: Final = (
    mos.NEARLY_ALL_DISSATISFIED,
    mos.MANY_DISSATISFIED,
    mos.SOME_DISSATISFIED,
    mos.SATISFIED,
)
MOST_BARS: Final = len(STEPS)
POOR_BARS: Final = 2
"""With so many and fewer the line is called weak: many people are dissatisfied (G.109)."""

DEVICES_S: Final = 0.065
"""An **assumption** for what nobody measures: 20 ms of the microphone's chunk, 6.5 of Opus's
look-ahead, 20 to 30 that wait at the speaker, and some of the sound cards."""
FAR_BIT_RATE: Final = FULL_BIT_RATE
"""Chromium sends speech at 32 kbit/s where nobody asks for anything else (libwebrtc, mono)."""

FROZEN: Final = 0.1
VERY_FROZEN: Final = 0.3
"""Shares of the time in which the picture stood still; with these 2 bars at most, or 1."""
SLIDES_FPS: Final = 5
"""Fewer pictures a second are no movement: 1 bar at most."""
SMALL_LINES: Final = 270
SMALL_S: Final = 10.0
"""A picture of so few lines for so long, that had more before in this call, makes room for speech:
2 bars at most. A call begins small, hence the time."""


class Way(StrEnum):
    """A direction of the call, by who hears."""

    TO_AGENT = "to-agent"
    TO_KIOSK = "to-kiosk"


@dataclass(frozen=True, slots=True)
class Report:
    """What the agent's browser heard and saw since its last report; None where it has no figure.

    `concealed` and `frozen` are shares from 0 to 1, `gap_s` is the mean length of what was made
    up, `buffer_s` how long sound waited; `fps` and `height` are the picture's. `seconds` is how
    long a time it is of.
    """

    concealed: float
    seconds: float = 2.0
    gap_s: float | None = None
    buffer_s: float | None = None
    fps: float | None = None
    frozen: float | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown: 0 to 4 bars, None while nothing is known; the score of the worse direction;
    and in a poor call which that is, None for both alike.
    """

    bars: int | None = None
    mos: float | None = None
    way: Way | None = None

    @property
    def poor(self) -> bool:
        """Whether the line is to be called weak."""
        return self.bars is not None and self.bars <= POOR_BARS


@dataclass(frozen=True, slots=True)
class EarSummary:
    """One direction of a call: the score now, at its worst and in the middle; the share of all the
    sound that was made up. None where nothing was ever known.
    """

    mos: float | None
    mos_min: float | None
    mos_median: float | None
    concealed: float | None


@dataclass(frozen=True, slots=True)
class CallSummary:
    """A call as a whole. `poor_s` is for how long the line was called weak, interruptions included;
    the round trips are in seconds, None where none was ever measured.
    """

    duration_s: float
    poor_s: float
    reconnections: int
    round_trip_median_s: float | None
    round_trip_worst_s: float | None
    to_agent: EarSummary
    to_kiosk: EarSummary


@dataclass(frozen=True, slots=True)
class _Moment:
    at: float
    seconds: float
    concealed_s: float
    gaps: float
    buffer_s: float


@dataclass(slots=True)
class _Ear:
    """What reaches one ear."""

    mos: float | None = None
    scores: list[float] = field(default_factory=list)
    seconds: float = 0.0
    concealed_s: float = 0.0
    moments: deque[_Moment] = field(default_factory=deque)

    def hear(self, moment: _Moment) -> None:
        self.moments.append(moment)
        self.seconds += moment.seconds
        self.concealed_s += moment.concealed_s

    def judge(self, now: float, round_trip_s: float, codec: Codec, packet_s: float) -> None:
        """Score the last WINDOW_S; nothing heard in them has no score."""
        while self.moments and now - self.moments[0].at >= WINDOW_S:
            self.moments.popleft()
        seconds = sum(one.seconds for one in self.moments)
        if seconds <= 0:
            self.mos = None
            return
        concealed_s = sum(one.concealed_s for one in self.moments)
        gaps = sum(one.gaps for one in self.moments)
        share = concealed_s / seconds
        run = concealed_s / gaps / packet_s if gaps > 0 else 1.0
        buffer_s = sum(one.buffer_s * one.seconds for one in self.moments) / seconds
        heard = mos.Heard(
            concealed=share,
            delay_s=DEVICES_S + packet_s + buffer_s + round_trip_s / 2,
            burst=mos.burst_ratio(run, share),
        )
        self.mos = mos.mos(heard, codec)
        self.scores.append(self.mos)

    def summary(self) -> EarSummary:
        return EarSummary(
            mos=_rounded(self.mos),
            mos_min=_rounded(min(self.scores, default=None)),
            mos_median=_rounded(statistics.median(self.scores) if self.scores else None),
            concealed=round(self.concealed_s / self.seconds, 4) if self.seconds else None,
        )


class Bars:
    """The bars, without flicker."""

    def __init__(self) -> None:
        self.value: int | None = None
        self._changed_at = 0.0
        self._safe: deque[tuple[float, int]] = deque()
        """When, and how many bars would have been shown with MARGIN to spare."""

    def step(self, score: float, most: int, now: float) -> None:
        """Take a score, of which `most` bars may be shown."""
        level = min(bars(score), most)
        self._safe.append((now, min(bars(score - MARGIN), most)))
        while now - self._safe[0][0] > RISE_S:
            self._safe.popleft()
        stood_s = now - self._changed_at
        if self.value is None or (level < self.value and stood_s >= FALL_S):
            self._set(level, now)
        elif stood_s >= RISE_S and (lowest := min(safe for _, safe in self._safe)) > self.value:
            self._set(lowest, now)

    def _set(self, value: int, now: float) -> None:
        self.value, self._changed_at = value, now


class _Picture:
    """How many bars the picture allows, as the agent sees it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Report]] = deque()
        self._largest = 0
        self._small_since: float | None = None

    def see(self, report: Report, now: float) -> None:
        self._seen.append((now, report))
        height = report.height
        self._largest = max(self._largest, height or 0)
        small = height is not None and height <= SMALL_LINES and height < self._largest
        self._small_since = (self._small_since or now) if small else None

    def forget(self) -> None:
        self._seen.clear()
        self._small_since = None

    def most(self, now: float) -> int:
        while self._seen and now - self._seen[0][0] >= WINDOW_S:
            self._seen.popleft()
        frozen = [one.frozen for _, one in self._seen if one.frozen is not None]
        still = statistics.fmean(frozen) if frozen else 0.0
        fps = [one.fps for _, one in self._seen if one.fps is not None]
        if still > VERY_FROZEN or (fps and max(fps) < SLIDES_FPS):
            return 1
        small = self._small_since is not None and now - self._small_since >= SMALL_S
        return 2 if still > FROZEN or small else MOST_BARS


class QualityMeter:
    """One call, from `began` on; all times are seconds of one monotonic clock."""

    def __init__(self, began: float) -> None:
        self.shown = Shown()
        self._began = self._looked_at = began
        self._ears = {way: _Ear() for way in Way}
        self._picture = _Picture()
        self._bars = Bars()
        self._sound: SoundStats | None = None
        self._round_trips: list[float] = []
        self._heard_at = began
        self._room: float = HEAR_AT_ONCE
        self._lost = False
        self._poor_s = 0.0
        self._reconnections = 0

    def hear(self, report: Report, now: float) -> bool:
        """Take what the agent's page says; False for one too many, which is dropped."""
        self._room = min(HEAR_AT_ONCE, self._room + (now - self._heard_at) / HEAR_S)
        self._heard_at = now
        if self._room < 1:
            return False
        self._room -= 1
        seconds = min(report.seconds, WINDOW_S)
        concealed_s = report.concealed * seconds
        gaps = concealed_s / report.gap_s if report.gap_s else 0.0
        self._ears[Way.TO_AGENT].hear(
            _Moment(now, seconds, concealed_s, gaps, report.buffer_s or 0.0)
        )
        self._picture.see(report, now)
        return True

    def look(
        self, stats: LegStats, now: float, *, lost: bool, reconnections: int, picture: bool
    ) -> Shown:
        """Measure, once a second: `lost` while the line is interrupted, `picture` while the
        resident's is sent. Return what is to be shown.
        """
        self._poor_s += now - self._looked_at if self.shown.poor else 0.0
        self._looked_at, self._reconnections = now, reconnections
        if stats.round_trip_s is not None and not lost:
            self._round_trips.append(stats.round_trip_s)
        self._listen(stats.sound, now)
        own = stats.sound
        trip = self._round_trips[-1] if self._round_trips else 0.0
        to_agent, to_kiosk = self._ears[Way.TO_AGENT], self._ears[Way.TO_KIOSK]
        codec = mos.opus(own.own_bit_rate if own else FULL_BIT_RATE)
        to_agent.judge(now, trip, codec, own.own_packet_s if own else CHUNK_S)
        to_kiosk.judge(now, trip, mos.opus(FAR_BIT_RATE), CHUNK_S)
        if not picture:
            self._picture.forget()
        self._show(now, lost=lost)
        return self.shown

    def summary(self, now: float) -> CallSummary:
        """Return the figures of the whole call, up to now."""
        trips = self._round_trips
        return CallSummary(
            duration_s=round(now - self._began, 1),
            poor_s=round(self._poor_s, 1),
            reconnections=self._reconnections,
            round_trip_median_s=round(statistics.median(trips), 3) if trips else None,
            round_trip_worst_s=round(max(trips), 3) if trips else None,
            to_agent=self._ears[Way.TO_AGENT].summary(),
            to_kiosk=self._ears[Way.TO_KIOSK].summary(),
        )

    def _listen(self, sound: SoundStats | None, now: float) -> None:
        """Add what the resident heard since the look before."""
        before, self._sound = self._sound, sound
        if sound is None or not sound.packets:
            return  # nobody has spoken yet: an agent may have no microphone
        if before is None or sound.played_s < before.played_s or now - self._began <= WARM_S:
            return  # the first look, also the first at another leg
        self._ears[Way.TO_KIOSK].hear(
            _Moment(
                now,
                sound.played_s - before.played_s,
                sound.concealed_s - before.concealed_s,
                sound.gaps - before.gaps,
                sound.delay_s,
            )
        )

    def _show(self, now: float, *, lost: bool) -> None:
        if lost:
            self._lost, self.shown = True, Shown(bars=0)
            return
        if self._lost:  # what was before the interruption says nothing of the line that is back
            self._lost, self._bars = False, Bars()
            self._picture.forget()
            for ear in self._ears.values():
                ear.moments.clear()
                ear.mos = None
        scores = {way: ear.mos for way, ear in self._ears.items() if ear.mos is not None}
        if not scores:
            self._bars, self.shown = Bars(), Shown()
            return
        worst, before = min(scores.values()), self._bars.value
        most = self._picture.most(now)
        self._bars.step(worst, most, now)
        way = self.shown.way if self._bars.value == before else _worse(scores, most)
        shown = Shown(self._bars.value, _rounded(worst), way)
        self.shown = shown if shown.poor else Shown(shown.bars, shown.mos)


def bars(score: float) -> int:
    """Return how many of the STEPS a score has climbed."""
    return sum(score >= step for step in STEPS)


def _worse(scores: dict[Way, float], most: int) -> Way | None:
    """Return the direction to name; a bad picture is the one to the agent."""
    climbed = {way: bars(score) for way, score in scores.items()}
    if most < min(climbed.values()):
        return Way.TO_AGENT
    if len(climbed) < len(Way) or len(set(climbed.values())) == 1:
        return None
    return min(climbed, key=lambda way: climbed[way])


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 2)
