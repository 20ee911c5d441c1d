"""The call and the last ones, for a terminal of 80 columns."""

from __future__ import annotations

import time
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from kioskd.control.api import CallFigures, CallRecord, EarFigures, Status
from kioskd.diagnostics import glance

MOST_BARS: Final = 4


def picture(status: Status, console: Console) -> RenderableType:
    """Return the call under way, and the table of those before."""
    parts: list[RenderableType] = [_now(status, console)]
    if status.call.so_far is not None:
        parts += [Text(), _ears(status.call.so_far)]
    parts.append(Text())
    if status.calls:
        parts.append(_lately(status.calls))
    else:
        parts.append(Text("no call since kioskd was started", "dim"))
    return Group(*parts)


def _now(status: Status, console: Console) -> RenderableType:
    rows = Table.grid(padding=(0, 1))
    rows.add_column(no_wrap=True, width=9, style="dim")
    rows.add_column(overflow="fold")
    rows.add_row("visit", glance.visit(status))
    call, figures = status.call, status.call.so_far
    if figures is None:
        return rows
    rows.add_row("line", _bars(call.bars, console))
    rows.add_row("rates", glance.call(status))
    poor, again = glance.ago(figures.poor_s), figures.reconnections
    rows.add_row("so far", f"weak for {poor}, reconnected: {again}, {_trips(figures)}")
    if call.sound_s is not None:
        told = [
            f"{name} {value:g} s"
            for name, value in (
                ("concealed", call.sound_concealed_s),
                ("recovered", call.sound_recovered_s),
                ("played faster", call.sound_accelerated_s),
                ("slower", call.sound_expanded_s),
                ("cut", call.sound_discarded_s),
            )
            if value is not None
        ]
        rows.add_row("voice", f"of {call.sound_s:g} s of the agent's: {', '.join(told)}")
        waits = None if call.sound_delay_s is None else call.sound_delay_s * 1000
        late = call.sound_late_packets
        rows.add_row("", f"waits {_number(waits, '.0f')} ms; {late} packets came too late")
    return rows


def _bars(bars: int | None, console: Console) -> Text:
    if bars is None:
        return Text("not known yet", "dim")
    full, empty = ("#", ".") if console.options.ascii_only else ("▮", "▯")
    drawn = full * bars + empty * (MOST_BARS - bars)
    weak = bars * 2 <= MOST_BARS
    told = f"{drawn} {bars} of {MOST_BARS}{', weak' if weak else ''}"
    return Text(told, "yellow" if weak else "")


def _ears(figures: CallFigures) -> RenderableType:
    table = _table("heard", "score", "lowest", "median", "made up")
    for name, one in (("by the agent", figures.to_agent), ("here", figures.to_kiosk)):
        table.add_row(
            name,
            _number(one.mos, ".1f"),
            _number(one.mos_min, ".1f"),
            _number(one.mos_median, ".1f"),
            _percent(one),
        )
    return table


def _lately(records: list[CallRecord]) -> RenderableType:
    table = _table(
        "began", "service", "for", "ended", "to agent", "to kiosk", "weak", "trip", "new"
    )
    for one in records:
        figures = one.figures
        trip = figures.round_trip_median_s
        table.add_row(
            time.strftime("%d %H:%M", time.localtime(one.began)),
            one.service,
            _clock(figures.duration_s),
            one.end.value,
            _score(figures.to_agent),
            _score(figures.to_kiosk),
            _clock(figures.poor_s),
            "-" if trip is None else f"{trip * 1000:.0f} ms",
            str(figures.reconnections),
        )
    key = "scores: median (lowest), 4.5 is perfect; new: connections made anew"
    return Group(table, Text(key, "dim"))


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, overflow="fold")
    return table


def _score(one: EarFigures) -> str:
    if one.mos_median is None:
        return "-"
    return f"{one.mos_median:.1f} ({_number(one.mos_min, '.1f')})"


def _trips(figures: CallFigures) -> str:
    middle, worst = figures.round_trip_median_s, figures.round_trip_worst_s
    if middle is None or worst is None:
        return "round trip -"
    return f"round trip {middle * 1000:.0f} ms, {worst * 1000:.0f} at worst"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _percent(one: EarFigures) -> str:
    return "-" if one.concealed is None else f"{one.concealed * 100:.1f} %"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
