"""Tells how good the call is: the resident's page, the agent's, the technician, the log."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Final

import structlog

from kioskd.call import control
from kioskd.call.history import CallLog, CallRecord, Scores
from kioskd.call.quality import QualityMeter, Report, Shown
from kioskd.call.statistics import LegStats
from kioskd.control import api
from kioskd.visit import events as ev
from kioskd.visit.events import Event
from kioskd.visit.state import Visit
from kioskd.visit.words import EndReason, LineQuality, Scene

log = structlog.get_logger(__name__)

WORTH_TELLING: Final = 0.2
"""A score that has moved by so much is told to the agent, also where the bars are the same."""


class CallQuality:
    """Follows each call, and keeps the figures of the last ones: no name, no word of anybody.

    `filmed()` tells whether the resident's own picture is sent; what changes is posted to the
    visit and said to the agent by `say`.
    """

    def __init__(
        self,
        *,
        post: Callable[[Event], None],
        visit: Callable[[], Visit],
        say: Callable[[control.ToAgent], None],
        filmed: Callable[[], bool],
    ) -> None:
        self._post = post
        self._visit = visit
        self._say = say
        self._filmed = filmed
        self._meter: QualityMeter | None = None
        self._began = 0.0
        self._service = ""
        self._told = Shown()
        self._log = CallLog()
        self.refused = 0
        """Reports of the agent's page, in this call, that were too many."""

    @property
    def bars(self) -> int | None:
        """What both pages show; None outside a call."""
        return None if self._meter is None else self._meter.shown.bars

    def hear(self, message: control.Hearing) -> None:
        """Take what the agent's page says of what it hears."""
        report = Report(
            concealed=message.concealed,
            seconds=message.seconds,
            gap_s=_seconds(message.gap_ms),
            buffer_s=_seconds(message.buffer_ms),
            fps=message.fps,
            frozen=message.frozen,
            height=message.height,
        )
        if self._meter is None or self._meter.hear(report, time.monotonic()):
            return
        self.refused += 1
        if self.refused == 1:
            log.warning("hearing.too_often")

    def look(self, stats: LegStats, reconnections: int) -> None:
        """Judge the call by a measurement of its leg, and tell what has changed."""
        visit, now = self._visit(), time.monotonic()
        if visit.scene is not Scene.TALKING or visit.talking_since is None:
            return
        if self._meter is None:
            self._meter = QualityMeter(visit.talking_since)
            self._began = time.time() - (now - visit.talking_since)
            self._service = visit.service
        lost = visit.line is LineQuality.LOST
        shown = self._meter.look(
            stats, now, lost=lost, reconnections=reconnections, picture=self._filmed()
        )
        line = LineQuality.POOR if shown.poor else LineQuality.GOOD
        wanted = ev.LineChanged(LineQuality.LOST if lost else line, shown.bars)
        if (visit.line, visit.bars) != (wanted.quality, wanted.bars):
            self._post(wanted)
        if not lost:  # else nobody hears it, and the page sees for itself
            self._tell_agent(shown)

    def said(self) -> list[control.ToAgent]:
        """Return what was said last: on a new leg it is said again."""
        return [] if self._meter is None else [_message(self._told)]

    def end(self, reason: EndReason) -> None:
        """Keep the figures of the call that is over, if it ever stood."""
        meter, self._meter = self._meter, None
        self._told, self.refused = Shown(), 0
        if meter is None:
            return
        figures = meter.summary(time.monotonic())
        self._log.add(CallRecord(self._began, self._service, reason, figures))
        log.info(
            "call.quality",
            end=reason.value,
            duration_s=figures.duration_s,
            poor_s=figures.poor_s,
            reconnections=figures.reconnections,
            mos_to_agent=figures.to_agent.mos_median,
            mos_to_kiosk=figures.to_kiosk.mos_median,
        )

    # -- for the technician ----------------------------------------------------------

    def so_far(self) -> api.CallFigures | None:
        """Return the figures of the call under way."""
        if self._meter is None:
            return None
        summary = self._meter.summary(time.monotonic())
        return api.CallFigures.model_validate(dataclasses.asdict(summary))

    def lately(self) -> list[api.CallRecord]:
        """Return the last calls, newest first."""
        return [
            api.CallRecord.model_validate(dataclasses.asdict(one) | {"began": round(one.began)})
            for one in self._log.lately
        ]

    def totals(self) -> api.CallTotals:
        """Return what all calls since the start add up to."""
        one = self._log.totals
        return api.CallTotals(
            ended=dict(one.ended),
            talked_s=round(one.talked_s, 1),
            poor_s=round(one.poor_s, 1),
            reconnections=one.reconnections,
            to_agent=_scores(one.to_agent),
            to_kiosk=_scores(one.to_kiosk),
        )

    def _tell_agent(self, shown: Shown) -> None:
        before, moved = self._told, False
        if shown.mos is not None and before.mos is not None:
            moved = abs(shown.mos - before.mos) >= WORTH_TELLING
        same = (shown.bars, shown.way) == (before.bars, before.way)
        if moved or not same:
            self._told = shown
            self._say(_message(shown))


def _message(shown: Shown) -> control.Quality:
    return control.Quality(bars=shown.bars, mos=shown.mos, poor=shown.poor, direction=shown.way)


def _scores(one: Scores) -> api.ScoreTotals:
    upto = {str(step): number for step, number in one.upto.items()}
    return api.ScoreTotals(upto=upto, count=one.count, sum=round(one.sum, 2))


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
