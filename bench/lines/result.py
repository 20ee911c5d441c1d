"""From two recordings and the relay's counts to the figures of a direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.lines import picture, recovery, sound
from bench.lines.card import missing
from bench.lines.lines import WARM_S, Line
from bench.lines.quality import score
from bench.lines.recording import Concealment, Recording
from bench.lines.relay import BUCKET_S, Direction
from bench.lines.sound import Moment, Talk
from bench.lines.speech import RATE, speech

QUEUE_AFTER_S: Final = 2.0
"""How long after a change the queue may still be that of before."""


class Recovered(BaseModel):
    """Seconds until sound and picture were themselves again; None: not while it was looked.

    `queue_ms` is the longest wait in the relay's queue later than QUEUE_AFTER_S.
    """

    model_config = ConfigDict(frozen=True)

    change: str
    sound_s: float | None
    picture_s: float | None
    queue_ms: float


class Scanned(BaseModel):
    """What a document did to the sound, and what it took of what the media left of the rate.

    Shares in percent, before it and while it was sent; `done` tells whether all of it was.
    """

    model_config = ConfigDict(frozen=True)

    lost_before: float | None
    lost_during: float | None
    used: float
    kbit_s: float
    done: bool


class Figures(BaseModel):
    """One direction of one call, from WARM_S on; None where there was nothing to measure.

    `matched` is the share of the windows with speech in which it was recognised at all,
    `lost_percent` the share of the sound made up or missing, `mos` the mean score of the
    segments in `scores`, `lip_*` how much later the sound was than the picture (the 95th
    percentile is of its size), `kbit_s` what went into the relay, headers included.
    """

    model_config = ConfigDict(frozen=True)

    mouth_to_ear_p50_ms: float | None
    mouth_to_ear_p95_ms: float | None
    matched: float
    lost_percent: float | None
    mos: float | None
    scores: list[float]
    fps: float
    size: tuple[int, int] | None
    freezes: int
    long_freezes: int
    longest_freeze_s: float
    frozen_s: float
    unreadable: int
    glass_to_glass_p50_ms: float | None
    glass_to_glass_p95_ms: float | None
    lip_p50_ms: float | None
    lip_p95_ms: float | None
    kbit_s: float
    packets_lost: float
    recovered: list[Recovered]
    scanned: Scanned | None
    delays: list[tuple[float, float | None]]
    """Mouth to ear in ms over the seconds of the call, for the plots."""
    pictures: list[float]
    """When new pictures were shown, in seconds of the call, for the plots."""


def figures(
    line: Line, near: Recording, far: Recording, started: float, carried: Direction
) -> Figures:
    """Measure what `near` sent to `far` over `carried`, from the script's start at `started`."""
    start, end = started + WARM_S, started + line.call_s
    talk = Talk(near.said_from, far.heard_from, far.heard)
    moments = talk.moments(speech(), start, end)
    delays = [one.delay for one in moments if one.delay is not None]
    seen = picture.measure(far.shown, near.painted, start, end)
    new = picture.sights(far.shown, near.painted)
    offsets = picture.lip_sync(moments, new)
    scores = score(sound.segments(talk, speech(), moments, start, end))
    first, last = round(WARM_S / BUCKET_S), round(line.call_s / BUCKET_S)
    return Figures(
        mouth_to_ear_p50_ms=_ms(delays, 50),
        mouth_to_ear_p95_ms=_ms(delays, 95),
        matched=len(delays) / len(moments) if moments else 0.0,
        lost_percent=_lost(far, start, end),
        mos=float(np.mean(scores)) if scores else None,
        scores=scores,
        fps=seen.fps,
        size=seen.size,
        freezes=seen.freezes,
        long_freezes=seen.long_freezes,
        longest_freeze_s=seen.longest_s,
        frozen_s=seen.frozen_s,
        unreadable=seen.unreadable,
        glass_to_glass_p50_ms=None if seen.delay_p50 is None else seen.delay_p50 * 1000,
        glass_to_glass_p95_ms=None if seen.delay_p95 is None else seen.delay_p95 * 1000,
        lip_p50_ms=_ms(offsets, 50),
        lip_p95_ms=_ms([abs(one) for one in offsets], 95),
        kbit_s=sum(one.sent for one in carried.series[first:last])
        * 8
        / 1000
        / (line.call_s - WARM_S),
        packets_lost=1 - carried.delivered / max(1, carried.offered),
        recovered=_recovered(line, moments, new, started, carried),
        scanned=_scanned(line, far, started, carried),
        delays=[
            (round(one.at - started, 2), None if one.delay is None else round(one.delay * 1000, 1))
            for one in moments
        ],
        pictures=[round(one.at - started, 3) for one in new if start <= one.at < end],
    )


def concealed_percent(counts: Sequence[Concealment], start: float, end: float) -> float | None:
    """Return the share of concealed samples between the counts nearest to `start` and `end`.

    A receiver that plays nothing at all any more has lost all of it; None without counts.
    """
    if len(counts) < 2:
        return None
    first = min(counts, key=lambda one: abs(one.at - start))
    last = min(counts, key=lambda one: abs(one.at - end))
    played = last.total - first.total
    if played < 0.5 * RATE * (end - start):
        return 100 * (1 - (played - last.concealed + first.concealed) / (RATE * (end - start)))
    return 100 * (last.concealed - first.concealed) / played


def _lost(far: Recording, start: float, end: float) -> float | None:
    counted = concealed_percent(far.concealment, start, end)
    if far.real is None:
        return counted
    silent = 100 * missing(far.real, far.heard_from, start, end)
    return max(0.0, silent) + (counted or 0.0)


def _recovered(
    line: Line,
    moments: list[Moment],
    new: list[picture.Sight],
    started: float,
    carried: Direction,
) -> list[Recovered]:
    found = []
    for change in line.changes:
        worse, since, until = (
            started + at for at in (change.worse_s, change.since_s, change.until_s)
        )
        first, last = ((change.since_s + QUEUE_AFTER_S) / BUCKET_S, change.until_s / BUCKET_S)
        waits = [one.wait_ms for one in carried.series[round(first) : round(last)]]
        found.append(
            Recovered(
                change=change.name,
                sound_s=recovery.sound(moments, worse, since, until),
                picture_s=recovery.picture(new, since, until),
                queue_ms=max(waits, default=0.0),
            )
        )
    return found


def _scanned(line: Line, far: Recording, started: float, carried: Direction) -> Scanned | None:
    scan, rate = line.scan, line.script.steps[0].up.rate_bps
    if scan is None or rate is None or not far.documents:
        return None
    begin, size = started + scan.begin_s, sum(count for _, count in far.documents)
    end = min(far.documents[-1][0], started + line.call_s)
    first, last = (round((at - started) / BUCKET_S) for at in (begin, end))
    during = carried.series[first:last]
    data = sum(one.data for one in during) * 8
    media = sum(one.delivered for one in during) * 8 - data
    return Scanned(
        lost_before=_lost(far, started + WARM_S, begin),
        lost_during=_lost(far, begin, end),
        used=100 * data / max(1.0, rate * (end - begin) - media),
        kbit_s=data / 1000 / max(BUCKET_S, end - begin),
        done=size >= scan.size,
    )


def _ms(seconds: Sequence[float], percentile: float) -> float | None:
    return float(np.percentile(seconds, percentile)) * 1000 if len(seconds) else None


class Call(BaseModel):
    """One call of one kind over one line: `up` is what the agent got, `down` the kiosk.

    `cpu` is in percent of one core over the measured time. `starved` names what ran too short
    of it for the figures to be trusted. `error` tells why there are no figures.
    """

    model_config = ConfigDict(frozen=True)

    line: str
    kind: str
    up: Figures | None = None
    down: Figures | None = None
    connected_s: float | None = None
    cpu: dict[str, float] = {}
    starved: list[str] = []
    notes: dict[str, Any] = {}
    error: str | None = None
