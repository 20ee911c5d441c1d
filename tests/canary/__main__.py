"""`make canary`: marked visits, and what is left of the marks 10 s after their end.

The last line is for programs: `canary: N states, N hits`; the exit code is 1 where there is one.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.canary.canary import STATES, run_state, unit_environment
from tests.canary.search import Hit
from tests.faults import screens
from tests.faults.rig import rig

TRIES: Final = 2


async def _run(names: list[str]) -> dict[str, list[Hit] | None]:
    """Return what is left of each state; None where there was no such visit to be had."""
    states = [one for one in STATES if not names or any(name in one.name for name in names)]
    found: dict[str, list[Hit] | None] = {}
    async with rig(unit_environment()) as kiosk:
        await screens.on(kiosk)
        for state in states:
            found[state.name] = None
            for _ in range(TRIES):
                try:
                    found[state.name] = await run_state(kiosk, state)
                except AssertionError as error:  # a slow machine loses a call
                    print(f"{state.name}: {error}", flush=True)
                    await kiosk.restore()
                else:
                    print(f"{state.name}: {found[state.name]}", flush=True)
                    break
    return found


def main() -> int:
    """Run the states whose names hold one of the arguments, or all."""
    found = asyncio.run(_run(sys.argv[1:]))
    table = Table("state of the visit", "left of it", title="Canary")
    for name, hits in found.items():
        told = "\n".join(f"{hit.times} x {hit.coding} in {hit.place}" for hit in hits or ())
        table.add_row(name, told or ("nothing" if hits is not None else "NOT TRIED"))
    Console(width=120).print(table)
    tried = [hits for hits in found.values() if hits is not None]
    count = sum(hit.times for hits in tried for hit in hits)
    print(f"canary: {len(tried)} states, {count} hits")
    return int(count > 0 or not found or len(tried) < len(found))


if __name__ == "__main__":
    sys.exit(main())
