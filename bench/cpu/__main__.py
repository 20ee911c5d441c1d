"""`make bench-cpu`: what the kiosk's end of the same call costs, held by kioskd and by others.

Each end sends the same picture and the same speech, raw, to a page in Chromium, and gets the
same back; both ways at a rate that is held. docs/cost.md says how. A kind that this machine
cannot hold is left out, and named.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import Error as BrowserError
from rich.console import Console
from rich.table import Table

from bench.cpu import source
from bench.cpu.call import ENDS, LOGS, Measured, call, missing

GOAL: Final = 0.8
GOAL_LAG_MS: Final = 10.0
PEERS: Final = ("gstreamer", "libwebrtc")
RATES: Final = {"640x480": 1_000_000, "1280x720": 1_500_000}
NAMES: Final = {
    "kioskd": "kioskd",
    "kioskd-decoding": "kioskd, and decoding",
    "aiortc": "stock aiortc",
    "gstreamer": "GStreamer webrtcbin",
    "gstreamer-passing": "GStreamer, not decoding",
    "libwebrtc": "libwebrtc (node)",
}
Runs = dict[str, list[Measured]]


async def _measure(size: str, kinds: list[str], repeats: int, seconds: float) -> Runs:
    runs: Runs = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="kioskd-cpu-", dir="/dev/shm") as name:
        folder, pixels = Path(name), source.SIZES[size]
        await asyncio.to_thread(source.make, folder, *pixels)
        for turn in range(repeats):
            for kind in kinds:
                print(f"{size} {turn + 1}/{repeats}: {NAMES[kind]}", file=sys.stderr, end=" ")
                try:
                    one = await call(kind, folder, pixels, RATES[size], seconds)
                except (RuntimeError, TimeoutError, ValueError, KeyError, BrowserError) as error:
                    print(f"failed: {type(error).__name__}: {error}", file=sys.stderr)
                    continue
                print(f"{one.cpu:.1f} %", file=sys.stderr)
                runs[kind].append(one)
    return runs


def cpu(runs: Runs, kind: str) -> float | None:
    """Return the median of a kind; None where it was not measured."""
    return statistics.median(one.cpu for one in runs[kind]) if runs.get(kind) else None


def show(console: Console, size: str, runs: Runs) -> None:
    """Print the table of one size."""
    table = Table(title=f"The kiosk's end, VP8 {size}x30 and Opus both ways; CPU in % of one core")
    heads = ("end", "CPU", "from - to", "of it kioskd", "sent", "received", "sound", "lag", "busy")
    for head in heads:
        table.add_column(head, justify="left" if head == "end" else "right")
    own = cpu(runs, "kioskd")
    for kind, ones in runs.items():
        middle = cpu(runs, kind)
        if middle is None:
            continue
        one = min(ones, key=lambda one: abs(one.cpu - middle))
        table.add_row(
            NAMES[kind],
            f"{middle:.1f}",
            f"{min(o.cpu for o in ones):.1f} - {max(o.cpu for o in ones):.1f}",
            "" if own is None else f"{own / middle:.2f}",
            *(
                f"{way.size} {way.fps:.1f}/s {way.video_bps / 1000:.0f} kbit/s"
                for way in (one.up, one.down)
            ),
            f"{one.up.audio_bps / 1000:.0f}/{one.down.audio_bps / 1000:.0f}",
            "" if one.lag_ms is None else f"{statistics.median(lags(ones)):.1f}",
            f"{one.machine:.0f}",
        )
    console.print(table)


def lags(ones: list[Measured]) -> list[float]:
    """Return the loop's lag, 99th percentile, of each call, in ms."""
    return [one.lag_ms[0] for one in ones if one.lag_ms is not None]


def conclude(console: Console, runs: Runs, lacking: dict[str, str]) -> None:
    """Print which goals are met, and the closing line."""
    own = cpu(runs, "kioskd")
    for peer in PEERS:
        other = cpu(runs, peer)
        if own is not None and other is not None:
            met = "met" if own <= GOAL * other else "NOT met"
            console.print(
                f"{own / other:.2f} of {NAMES[peer]}; goal {GOAL}: {met}", highlight=False
            )
    if late := lags(runs.get("kioskd", [])):
        lag = statistics.median(late)
        met = "met" if lag <= GOAL_LAG_MS else "NOT met"
        console.print(f"loop lag p99 {lag:.1f} ms; goal {GOAL_LAG_MS:.0f}: {met}", highlight=False)
    words = []
    for kind in ("kioskd", *PEERS):
        percent = cpu(runs, kind)
        why = "not installed" if kind in lacking else "not measured"
        words.append(f"{kind} {why if percent is None else f'{percent:.1f} %'}")
    console.print(f"cpu: {', '.join(words)} (same resolution, codec and rate)", highlight=False)


def main() -> None:
    """Hold the calls, print the tables, write the file."""
    parser = argparse.ArgumentParser(prog="bench.cpu", description=__doc__)
    parser.add_argument("--size", action="append", choices=source.SIZES)
    parser.add_argument("--kind", action="append", choices=ENDS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    console = Console(width=170)
    lacking = asyncio.run(missing())
    kinds = [one for one in ENDS if one not in lacking and (not given.kind or one in given.kind)]
    for kind, what in lacking.items():
        console.print(f"left out: {NAMES[kind]}: without {what}", highlight=False)
    # The first size is what the closing line is about, so it comes last.
    sizes = [size for size in source.SIZES if not given.size or size in given.size][::-1]
    written = {}
    for size in sizes:
        runs = asyncio.run(_measure(size, kinds, given.repeats, given.seconds))
        show(console, size, runs)
        written[size] = {kind: [dataclasses.asdict(o) for o in ones] for kind, ones in runs.items()}
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / "cpu.json").write_text(json.dumps(written, indent=1))
    conclude(console, runs, lacking)


if __name__ == "__main__":
    main()
