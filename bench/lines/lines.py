"""The lines of villages, as a table, and when on each of them what is measured.

Delays are one way, so a "60 ms line" has 30 ms each way. Queues are those of the cheap routers
that stand at such lines: long (Gettys and Nichols, "Bufferbloat", ACM Queue 2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.lines.shape import Burst, Script, Shape, Step

WARM_S: Final = 5.0
"""From the connection to the beginning of what is measured."""
MEASURED_S: Final = 25.0
"""Three segments of speech to score; three calls of it are made in less than three minutes."""


@dataclass(frozen=True, slots=True)
class Change:
    """The line changes for the worse at `worse_s`; recovery counts from `since_s` on.

    They differ for a hole, from whose end on a call can recover. Until `until_s` it must have.
    """

    name: str
    worse_s: float
    since_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Scan:
    """From `begin_s` on the kiosk sends a document of `size` bytes, until the end of the call."""

    begin_s: float
    size: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line, how long a call on it lasts, and its changes; seconds from the connection."""

    name: str
    title: str
    script: Script
    round_trip_ms: float
    changes: tuple[Change, ...] = ()
    measured_s: float = MEASURED_S
    scan: Scan | None = None

    @property
    def call_s(self) -> float:
        """How long a call lasts."""
        return WARM_S + self.measured_s


def _steady(up: Shape, down: Shape) -> Script:
    return Script(steps=(Step(at_s=0, up=up, down=down),))


def _adsl(up_bps: int, down_bps: int, delay_ms: float, loss: float = 0) -> Script:
    up, down = (
        Shape(rate_bps=rate, queue_ms=500, delay_ms=delay_ms, loss=loss)
        for rate in (up_bps, down_bps)
    )
    return _steady(up, down)


def _mobile(rate_bps: int) -> Shape:
    # A burst takes 5 packets on average, 1 % of all.
    return Shape(
        rate_bps=rate_bps,
        queue_ms=400,
        delay_ms=20,
        jitter_ms=20,
        burst=Burst(begin=0.002, end=0.2),
    )


def _plain(rate_bps: int, delay_ms: float, queue_ms: float = 500) -> Shape:
    return Shape(rate_bps=rate_bps, queue_ms=queue_ms, delay_ms=delay_ms)


_WIDE, _NARROW = (_plain(rate, 30, 1000) for rate in (1_000_000, 256_000))
_HOLED = _plain(2_000_000, 30)
_HOLE = _HOLED.model_copy(update={"loss": 1.0})

_TABLE: Final = (
    Line(
        "fibre",
        "fibre, 10 ms",
        _steady(_plain(100_000_000, 5, 100), _plain(100_000_000, 5, 100)),
        10,
    ),
    Line("adsl1m", "ADSL 1 Mbit/s up, 8 down, 40 ms", _adsl(1_000_000, 8_000_000, 20), 40),
    Line("adsl512", "512 kbit/s, 2 % loss, 60 ms", _adsl(512_000, 512_000, 30, 0.02), 60),
    Line("adsl256", "256 kbit/s, 80 ms", _adsl(256_000, 256_000, 40), 80),
    Line(
        "4g",
        "4G 5 Mbit/s up, 15 down, 40-80 ms, bursts",
        _steady(_mobile(5_000_000), _mobile(15_000_000)),
        60,
    ),
    Line(
        "drop",
        "1 Mbit/s, 256 kbit/s, 1 Mbit/s, 60 ms",
        Script(
            steps=(
                Step(at_s=0, up=_WIDE, down=_WIDE),
                Step(at_s=15, up=_NARROW, down=_NARROW),
                Step(at_s=30, up=_WIDE, down=_WIDE),
            )
        ),
        60,
        (Change("down to 256 kbit/s", 15, 15, 30), Change("back to 1 Mbit/s", 15, 30, 40)),
        measured_s=35,
    ),
    Line(
        "hole",
        "2 Mbit/s, 60 ms, nothing for 3 s",
        Script(
            steps=(
                Step(at_s=0, up=_HOLED, down=_HOLED),
                Step(at_s=12, up=_HOLE, down=_HOLE),
                Step(at_s=15, up=_HOLED, down=_HOLED),
            )
        ),
        60,
        (Change("after the hole", 12, 15, 35),),
        measured_s=30,
    ),
    Line(
        "satellite",
        "satellite 2 Mbit/s up, 10 down, 600 ms",
        _steady(_plain(2_000_000, 300), _plain(10_000_000, 300)),
        600,
        measured_s=40,  # stock aiortc gives such a line up after 34 s
    ),
    Line(
        "scan",
        "2 Mbit/s, 60 ms, a scan of 5 MB from the 20th second on",
        _steady(_HOLED, _HOLED),
        60,
        measured_s=40,
        scan=Scan(20, 5_000_000),
    ),
)
LINES: Final = {line.name: line for line in _TABLE}
