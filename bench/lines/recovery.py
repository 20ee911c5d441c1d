"""How soon a call is itself again after its line has changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from bench.lines.picture import Sight
from bench.lines.sound import Moment

STEADY_S: Final = 2.0
"""What is well must stay well for this long."""
BEFORE_S: Final = 5.0
"""The stretch before the change that tells what is usual."""
MORE_S: Final = 0.1
"""Delay of sound beyond the usual that still counts as recovered."""
GAP_S: Final = 0.5
"""Longest gap between pictures that counts as a moving picture."""
STEP_S: Final = 0.1


def sound(moments: Sequence[Moment], before: float, since: float, until: float) -> float | None:
    """Return the seconds from `since` until sound is heard, no later than usual, and stays so.

    What is usual is measured before `before`, when the line changed for the worse; None when
    it does not recover by `until`.
    """
    usual = [
        one.delay
        for one in moments
        if before - BEFORE_S <= one.at < before and one.delay is not None
    ]
    if not usual:
        return None
    limit = float(np.median(usual)) + MORE_S
    bad = [
        one.at
        for one in moments
        if since <= one.at < until and (one.delay is None or one.delay > limit)
    ]
    return _first_calm(bad, [one.at for one in moments], since, until)


def picture(new: Sequence[Sight], since: float, until: float) -> float | None:
    """Return the seconds from `since` until the picture moves, and stays so."""
    times = [since, *(one.at for one in new if since <= one.at < until), until]
    bad = [
        at
        for begin, end in pairwise(times)
        if end - begin > GAP_S
        for at in np.arange(begin, end, STEP_S)
    ]
    return _first_calm([float(one) for one in bad], times, since, until)


def _first_calm(
    bad: Sequence[float], known: Sequence[float], since: float, until: float
) -> float | None:
    if not any(since <= one < until for one in known):
        return None
    for at in np.arange(since, until - STEADY_S + 1e-6, STEP_S):
        if not any(at <= one < at + STEADY_S for one in bad):
            return float(at - since)
    return None
