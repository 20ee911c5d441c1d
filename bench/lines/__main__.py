"""`make bench-lines`: the same call by three kinds of kiosk, over each line.

Every call is between a kiosk's end and a page in Chromium, which is the agent's. The kiosk's end
is stock aiortc, kioskd's leg, or such a page too. Both ends say the same speech and show the same
clip; the two meet at the relay, and what they write down is compared afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import async_playwright
from rich.console import Console

from bench.lines import clip, report
from bench.lines.browser import ARGUMENTS, Studio
from bench.lines.goals import Goal, goals
from bench.lines.lines import LINES, Line
from bench.lines.result import Call
from bench.lines.run import KINDS, Rehearsal, call, rehearse
from tests.e2e.stage import chromium

SEED: Final = 1


async def _hold(
    lines: list[Line], kinds: list[str], seed: int, progress: Console
) -> tuple[list[Call], Rehearsal]:
    calls = []
    with tempfile.TemporaryDirectory(prefix="kioskd-lines-", dir="/dev/shm") as name:
        folder = Path(name)
        await asyncio.to_thread(clip.make, folder / "clip")
        async with Studio(folder / "clip").open() as studio, async_playwright() as playwright:
            browser = await chromium(playwright, *ARGUMENTS)
            rehearsal = await rehearse(browser, studio)
            await browser.close()
            for line in lines:
                for kind in kinds:
                    progress.print(f"{line.title}: {report.NAMES[kind]}...", highlight=False)
                    browser = await chromium(playwright, *ARGUMENTS)
                    calls.append(await call(line, kind, seed, browser, studio, folder))
                    await browser.close()
                # Half a table is better than none, should the rest fail.
                report.keep(calls, judge(lines, calls), seed, rehearsal)
    return calls, rehearsal


def judge(lines: list[Line], calls: list[Call]) -> list[Goal]:
    """Return the goals of all lines on which kioskd and Chromium have been tried."""
    held = {(one.line, one.kind): one for one in calls}
    return [
        goal
        for line in lines
        if (line.name, "kioskd") in held and (line.name, "chromium") in held
        for goal in goals(line, held[line.name, "kioskd"], held[line.name, "chromium"])
    ]


def main() -> None:
    """Hold the calls, print the tables, write the file and the plots."""
    parser = argparse.ArgumentParser(prog="bench.lines", description=__doc__)
    parser.add_argument("--line", action="append", choices=sorted(LINES))
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--show", action="store_true", help="print the last run's file again")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    lines = [line for name, line in LINES.items() if not given.line or name in given.line]
    kinds = [kind for kind in KINDS if not given.kind or kind in given.kind]
    if given.show:
        calls, rehearsal = report.kept()
    else:
        calls, rehearsal = asyncio.run(_hold(lines, kinds, given.seed, Console(file=sys.stderr)))
    console = Console(width=170)
    report.show(console, lines, calls)
    console.print(
        f"a page that hears and sees itself: {rehearsal.mouth_to_ear_ms} ms mouth to ear, "
        f"{rehearsal.glass_to_glass_ms} ms glass to glass"
    )
    found = judge(lines, calls)
    if not given.show:
        written = [report.keep(calls, found, given.seed, rehearsal), *report.plot(lines, calls)]
        console.print("written: " + ", ".join(str(path) for path in written), highlight=False)
    report.conclude(console, found)


if __name__ == "__main__":
    main()
