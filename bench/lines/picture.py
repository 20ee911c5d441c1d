"""How smooth, how late and how large the picture is at the far end, and how it goes with sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.lines.recording import Shown
from bench.lines.sound import Moment

WRAP: Final = 1 << 32
FREEZE_S: Final = 0.2
LONG_FREEZE_S: Final = 1.0
LIP_S: Final = 0.3
"""A picture and a moment of sound are of one time when they are at most this far apart."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A picture that is new and was truly sent: when it was shown, and its delay in seconds."""

    at: float
    delay: float


@dataclass(frozen=True, slots=True)
class PictureQuality:
    """Of one direction, over a stretch of time; seconds, pictures a second, pixels.

    A gap counts from one new picture to the next, and the ends of the stretch count as
    pictures: a picture that never comes is one gap. `frozen_s` is the sum of the gaps of more
    than 200 ms. `size` is that shown most often; delays are None without any picture.
    """

    fps: float
    freezes: int
    long_freezes: int
    longest_s: float
    frozen_s: float
    delay_p50: float | None
    delay_p95: float | None
    size: tuple[int, int] | None
    unreadable: int


def sights(shown: Sequence[Shown], painted: Mapping[int, int]) -> list[Sight]:
    """Return the new pictures among those shown; repeated, late and unreadable ones are not."""
    found: list[Sight] = []
    newest = -1
    for one in shown:
        if painted.get(one.number) != one.painted_ms or one.number <= newest:
            continue
        newest = one.number
        found.append(Sight(one.at, _delay(one)))
    return found


def measure(
    shown: Sequence[Shown], painted: Mapping[int, int], start: float, end: float
) -> PictureQuality:
    """Measure a direction from `start` to `end`, in seconds of the wall clock."""
    new = [one for one in sights(shown, painted) if start <= one.at < end]
    inside = [one for one in shown if start <= one.at < end]
    gaps = np.diff([start, *(one.at for one in new), end])
    frozen = gaps[gaps > FREEZE_S]
    delays = [one.delay for one in new]
    sizes = Counter((one.width, one.height) for one in inside)
    return PictureQuality(
        fps=len(new) / (end - start),
        freezes=len(frozen),
        long_freezes=int((gaps > LONG_FREEZE_S).sum()),
        longest_s=float(gaps.max()),
        frozen_s=float(frozen.sum()),
        delay_p50=float(np.percentile(delays, 50)) if delays else None,
        delay_p95=float(np.percentile(delays, 95)) if delays else None,
        size=sizes.most_common(1)[0][0] if sizes else None,
        unreadable=sum(painted.get(one.number) != one.painted_ms for one in inside),
    )


def lip_sync(moments: Sequence[Moment], new: Sequence[Sight]) -> list[float]:
    """Return by how much sound is later than the picture of the same time, in seconds.

    What was said and shown at one instant is apart at the far end by the difference of the two
    delays; a beep and a flash would show the same, once a beep. Positive: the sound is late.
    """
    times = np.array([one.at for one in new])
    offsets = []
    for moment in moments:
        if moment.delay is None or not len(times):
            continue
        nearest = int(np.argmin(np.abs(times - moment.at)))
        if abs(times[nearest] - moment.at) <= LIP_S:
            offsets.append(moment.delay - new[nearest].delay)
    return offsets


def _delay(one: Shown) -> float:
    late = (round(one.at * 1000) - one.painted_ms) % WRAP
    return (late - WRAP if late > WRAP // 2 else late) / 1000
