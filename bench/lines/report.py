"""The tables, the file and the plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.lines.goals import Goal
from bench.lines.lines import WARM_S, Line
from bench.lines.quality import available
from bench.lines.result import Call, Figures
from bench.lines.run import Rehearsal

OUT: Final = Path(__file__).parents[2] / "build" / "bench"
NAMES: Final = {"aiortc": "stock aiortc", "kioskd": "kioskd", "chromium": "Chromium"}
TITLES: Final = {"up": "Kiosk → agent", "down": "Agent → kiosk"}
COLUMNS: Final = (
    "mouth-ear\np50/p95 ms",
    "heard\n%",
    "lost\n%",
    "MOS\nPESQ-WB",
    "fps",
    "size",
    "freezes\n>0.2/>1 s",
    "frozen\ns",
    "glass-glass\np50/p95 ms",
    "lip\nms",
    "sent\nkbit/s",
    "back: sound/\npicture s",
    "scan\nkbit/s, used",
)


def show(console: Console, lines: Sequence[Line], calls: Sequence[Call]) -> None:
    """Print one table for each direction."""
    for direction, title in TITLES.items():
        table = Table(title=title, title_justify="left")
        for name in ("line", "kiosk", *COLUMNS):
            table.add_column(name, justify="left" if name in ("line", "kiosk") else "right")
        for line in lines:
            for one in (call for call in calls if call.line == line.name):
                name = NAMES[one.kind] + (" *" if one.starved else "")
                table.add_row(line.name, name, *_cells(getattr(one, direction)))
            table.add_section()
        console.print(table)
    for one in calls:
        if one.starved:
            console.print(f"* {one.line}, {NAMES[one.kind]}: {'; '.join(one.starved)}")
        if one.error:
            console.print(f"{one.line}, {NAMES[one.kind]}: no call: {one.error}")
    if not available():
        console.print("no score of speech: PESQ is in the extra `bench`")


def conclude(console: Console, goals: Sequence[Goal]) -> None:
    """Print the goals that are not met, and how many are."""
    for goal in goals:
        if not goal.met:
            console.print(f"not met: {goal}", highlight=False)
    console.print(f"lines: {len(goals)} goals, {sum(goal.met for goal in goals)} met")


def keep(calls: Sequence[Call], goals: Sequence[Goal], seed: int, rehearsal: Rehearsal) -> Path:
    """Write lines.json and return its path."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / "lines.json"
    judged = [
        {
            "line": one.line,
            "direction": one.direction,
            "goal": one.name,
            "value": one.value,
            "sense": one.sense,
            "limit": one.limit,
            "met": one.met,
        }
        for one in goals
    ]
    text = {
        "seed": seed,
        "rehearsal": rehearsal.model_dump(),
        "goals": judged,
        "calls": [one.model_dump() for one in calls],
    }
    path.write_text(json.dumps(text, indent=1) + "\n")
    return path


def kept() -> tuple[list[Call], Rehearsal]:
    """Read the last run's lines.json."""
    text = json.loads((OUT / "lines.json").read_text())
    calls = [Call.model_validate(one) for one in text["calls"]]
    return calls, Rehearsal.model_validate(text["rehearsal"])


def plot(lines: Sequence[Line], calls: Sequence[Call]) -> list[Path]:
    """Draw delay and pictures over time for each line; nothing without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return []
    mpl.use("Agg")
    OUT.mkdir(parents=True, exist_ok=True)
    return [
        _draw(line, held)
        for line in lines
        if (held := [one for one in calls if one.line == line.name and one.up is not None])
    ]


def _draw(line: Line, calls: Sequence[Call]) -> Path:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(13, 7), sharex=True, layout="constrained")
    figure.suptitle(line.title)
    for column, direction in enumerate(("up", "down")):
        late, rate = axes[0][column], axes[1][column]
        for one in calls:
            part: Figures = getattr(one, direction)
            times = [at for at, _ in part.delays]
            delays = [float("nan") if delay is None else delay for _, delay in part.delays]
            late.plot(times, delays, label=NAMES[one.kind])
            seconds = [WARM_S + n for n in range(round(line.measured_s))]
            counts = [sum(at <= shown < at + 1 for shown in part.pictures) for at in seconds]
            rate.step(seconds, counts, where="post", label=NAMES[one.kind])
        late.margins(y=0.2)
        late.set(title=TITLES[direction], ylabel="mouth to ear, ms", ylim=(0, None))
        rate.set(xlabel="s", ylabel="new pictures in a second", ylim=(0, 32))
        late.legend()
    path = OUT / f"lines-{line.name}.png"
    figure.savefig(path, dpi=80)
    plt.close(figure)
    return path


def _cells(part: Figures | None) -> list[str]:
    if part is None:
        return ["–"] * len(COLUMNS)
    back = " ".join(f"{_number(r.sound_s, 1)}/{_number(r.picture_s, 1)}" for r in part.recovered)
    return [
        _pair(part.mouth_to_ear_p50_ms, part.mouth_to_ear_p95_ms),
        f"{part.matched * 100:.0f}",
        _number(part.lost_percent, 2),
        _number(part.mos, 2),
        f"{part.fps:.1f}",
        "–" if part.size is None else f"{part.size[0]}x{part.size[1]}",
        f"{part.freezes}/{part.long_freezes}",
        f"{part.frozen_s:.1f}",
        _pair(part.glass_to_glass_p50_ms, part.glass_to_glass_p95_ms),
        _number(part.lip_p50_ms, 0),
        f"{part.kbit_s:.0f}",
        back,
        "" if part.scanned is None else f"{part.scanned.kbit_s:.0f}, {part.scanned.used:.0f} %",
    ]


def _pair(one: float | None, two: float | None) -> str:
    return f"{_number(one, 0)}/{_number(two, 0)}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
