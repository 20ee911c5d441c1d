"""The live view: devices, call, rates and the loop's lag, with what they were a minute ago."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from kioskd.control.api import Status
from kioskd.diagnostics import glance
from kioskd.diagnostics.terminal import width

SAMPLES: Final = 40
"""As many as fit beside a name and a figure at 80 columns."""


class History:
    """The last SAMPLES looks; a figure that there is not is a gap."""

    def __init__(self) -> None:
        self.rows: dict[str, deque[float | None]] = {}

    def add(self, status: Status) -> None:
        """Take a look in."""
        call = status.call
        loss = [one for one in (call.loss_sent, call.loss_received) if one is not None]
        for name, value in {
            "out": call.sent_bps,
            "in": call.received_bps,
            "round trip": None if call.round_trip_s is None else call.round_trip_s * 1000,
            "lost": max(loss) * 100 if loss else None,
            "loop lag": status.loop_lag_p99_ms,
        }.items():
            self.rows.setdefault(name, deque(maxlen=SAMPLES)).append(value)


def sparkline(values: Iterable[float | None], bars: str, top: float) -> str:
    """Draw values from 0 to `top`, each one column; a gap is a blank."""
    last = len(bars) - 1
    return "".join(
        " " if one is None else bars[min(last, int(one / top * len(bars)) if top > 0 else 0)]
        for one in values
    )


def picture(status: Status, history: History, console: Console, *, clock: str) -> RenderableType:
    """Return the whole view."""
    return Group(
        glance.head(status, console),
        _connections(status),
        Text(),
        _figures(history, console),
        Text(),
        glance.devices(status, console, brief=True),
        Text(),
        _process(status, clock),
    )


def _connections(status: Status) -> RenderableType:
    told = Text.assemble(("visit     ", "dim"), glance.visit(status))
    for name, well in (("broker", status.broker_online), ("screen", status.screen_connected)):
        told.append(f"   {name} ", "dim")
        told.append("yes" if well else "NO", "green" if well else "bold red")
    if status.stuck:
        told.append(f"   STUCK: {', '.join(status.stuck)}", "bold red")
    if status.safe_mode:
        told.append("   SAFE MODE", "bold yellow")
    return told


_SAY: Final[dict[str, Callable[[float], str]]] = {
    "out": glance.rate,
    "in": glance.rate,
    "round trip": lambda one: f"{one:.0f} ms",
    "lost": lambda one: f"{one:.1f} %",
    "loop lag": lambda one: f"{one:.0f} ms",
}
_LEAST: Final = {"out": 1e5, "in": 1e5, "round trip": 50.0, "lost": 2.0, "loop lag": 20.0}
"""What fills a bar at the least: a quiet line must not look like a storm."""
_BAD: Final = {"round trip": 400.0, "lost": 5.0, "loop lag": 100.0}
"""From here on people notice (ITU-T G.114 for the delay)."""


def _figures(history: History, console: Console) -> RenderableType:
    bars = glance.signs(console).bars
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, width=10, style="dim")
    grid.add_column(no_wrap=True, width=SAMPLES)
    grid.add_column(no_wrap=True, justify="right", width=12)
    grid.add_column(no_wrap=True, justify="right", style="dim")
    grid.width = width(console)
    for name, values in history.rows.items():
        seen = [one for one in values if one is not None]
        top = max([*seen, _LEAST[name]])
        now = values[-1]
        bad = now is not None and now >= _BAD.get(name, float("inf"))
        line = sparkline(values, bars, top).rjust(SAMPLES)
        grid.add_row(
            name,
            Text(line, "bold yellow" if bad else "green"),
            Text("-" if now is None else _SAY[name](now), "bold yellow" if bad else "bold"),
            f"max {_SAY[name](max(seen))}" if seen else "",
        )
    return grid


def _process(status: Status, clock: str) -> RenderableType:
    one = status.process
    told = f"{one.rss_kb / 1024:.0f} MB, {one.fds} files, {one.threads} threads"
    more = f"{one.tasks} tasks, {one.children} children"
    return Text(f"kioskd    {told}, {more}\n{clock}   q quits", "dim")
