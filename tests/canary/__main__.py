"""`make canary`: marked visits, and what is left of the marks 10 s after their end.

The last line is for programs: `canary: N states, N hits`; the exit code is 1 where there is one.
"""

from __future__ import annotations

import asyncio
import sys

from rich.console import Console
from rich.table import Table

from tests.canary.canary import STATES, run_state, unit_environment
from tests.canary.search import Hit
from tests.faults import screens
from tests.faults.rig import rig


async def _run(names: list[str]) -> dict[str, list[Hit]]:
    states = [one for one in STATES if not names or any(name in one.name for name in names)]
    async with rig(unit_environment()) as kiosk:
        await screens.on(kiosk)
        return {state.name: await run_state(kiosk, state) for state in states}


def main() -> int:
    """Run the states whose names hold one of the arguments, or all."""
    found = asyncio.run(_run(sys.argv[1:]))
    table = Table("state of the visit", "left of it", title="Canary")
    for name, hits in found.items():
        told = "\n".join(f"{hit.times} x {hit.coding} in {hit.place}" for hit in hits)
        table.add_row(name, told or "nothing")
    Console(width=120).print(table)
    count = sum(hit.times for hits in found.values() for hit in hits)
    print(f"canary: {len(found)} states, {count} hits")
    return int(count > 0 or not found)


if __name__ == "__main__":
    sys.exit(main())
