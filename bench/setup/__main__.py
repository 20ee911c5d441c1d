"""`make bench-setup`: from an agent's claim to sound and picture at both ends.

kioskd with the agent's page and two pages in Chromium set up calls by turns, over the same
broker, at the same round trip: between each end and the broker, and between the two ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
from pathlib import Path
from typing import Any, Final

from playwright.async_api import async_playwright
from rich.console import Console
from rich.table import Table

from bench.setup.ends import ARGUMENTS, KioskdCall, PageCall, Stages
from bench.setup.late import LateTcp
from kioskd.simulation.broker import EmbeddedBroker
from tests.e2e import stage

OUT: Final = Path(__file__).parents[2] / "build" / "bench" / "setup.json"
CALLS: Final = 10
RTT_MS: Final = 60.0
GOAL_S: Final = 1.0
FIRSTS: Final = ("agent: picture", "agent: sound", "kiosk: picture", "kiosk: sound")


async def _measure(
    calls: int, rtt_s: float, kinds: list[str], progress: Console
) -> dict[str, list[Stages]]:
    found: dict[str, list[Stages]] = {kind: [] for kind in kinds}
    with stage.stage_folder() as folder:
        async with contextlib.AsyncExitStack() as stack:
            (folder / "broker").mkdir()
            broker = await stack.enter_async_context(EmbeddedBroker(folder / "broker"))
            mqtt, websocket = [
                await stack.enter_async_context(LateTcp(port, rtt_s / 2).open())
                for port in (broker.port, broker.websocket_port)
            ]
            playwright = await stack.enter_async_context(async_playwright())
            media = stage.agent_media(folder)
            browser = await stage.chromium(playwright, *ARGUMENTS, *media)
            stack.push_async_callback(browser.close)
            ends: dict[str, KioskdCall | PageCall] = {}
            if "kioskd" in kinds:
                ends["kioskd"] = await stack.enter_async_context(
                    KioskdCall.open(browser, rtt_s, folder, mqtt.port, websocket.port)
                )
            if "chromium" in kinds:
                ends["chromium"] = await stack.enter_async_context(
                    PageCall.open(browser, rtt_s, websocket.port)
                )
            # The first call of each is not counted: what is loaded once is loaded then.
            for number in range(calls + 1):
                for kind, end in ends.items():
                    stages = await end.time()
                    took = max(stages[one] for one in FIRSTS)
                    progress.print(f"{kind} {number}: {took * 1000:.0f} ms", highlight=False)
                    if number:
                        found[kind].append(stages)
    return found


def _medians(calls: list[Stages]) -> Stages:
    names = {name for one in calls for name in one}
    return {
        name: statistics.median(one[name] for one in calls if name in one) for name in sorted(names)
    }


def _table(found: dict[str, Stages]) -> Table:
    ours, theirs = found.get("kioskd", {}), found.get("chromium", {})
    table = Table("from the claim to the first", "kioskd", "Chromium", "ratio")
    for name in FIRSTS:
        a, b = ours.get(name), theirs.get(name)
        table.add_row(
            name,
            "" if a is None else f"{a * 1000:.0f} ms",
            "" if b is None else f"{b * 1000:.0f} ms",
            "" if a is None or b is None else f"{a / b:.2f}",
        )
    return table


def _stages(kind: str, medians: Stages) -> Table:
    table = Table(f"{kind}: stage", "ms")
    for name, at in sorted(medians.items(), key=lambda one: one[1]):
        table.add_row(name, f"{at * 1000:.0f}")
    return table


def _conclude(found: dict[str, Stages], rtt_ms: float) -> str:
    both = {kind: max(one[name] for name in FIRSTS) for kind, one in found.items() if one}
    words = ", ".join(f"{kind} {at * 1000:.0f} ms" for kind, at in both.items())
    ours, theirs = both.get("kioskd"), both.get("chromium")
    met = ours is not None and ours <= GOAL_S and (theirs is None or ours <= theirs)
    return f"setup: {words} to two-way sound and picture at {rtt_ms:.0f} ms: " + (
        "met" if met else "missed"
    )


def main() -> None:
    """Set up the calls, print the tables, write the file."""
    parser = argparse.ArgumentParser(prog="bench.setup", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--rtt", type=float, default=RTT_MS, help="ms")
    parser.add_argument("--kind", action="append", choices=("kioskd", "chromium"))
    given = parser.parse_args()
    kinds = given.kind or ["kioskd", "chromium"]
    measured = asyncio.run(_measure(given.calls, given.rtt / 1000, kinds, Console(file=sys.stderr)))
    found = {kind: _medians(calls) for kind, calls in measured.items()}
    kept: dict[str, Any] = {"rtt_ms": given.rtt, "medians": found, "calls": measured}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(kept, indent=2) + "\n")
    console = Console(width=100)
    for kind, medians in found.items():
        console.print(_stages(kind, medians))
    console.print(_table(found))
    console.print(_conclude(found, given.rtt), highlight=False)


if __name__ == "__main__":
    main()
