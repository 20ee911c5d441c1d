"""`make bench`: how late the daemon's loop wakes while a device is frozen, in a call.

Each device, and each service that one goes through, is stopped (SIGSTOP, or made silent) for
longer than the window that the daemon measures over; beside them the same call with nothing
frozen. The goal is a 99th percentile of at most 50 ms, and of 10 ms with nothing frozen.
`build/bench/lag.json` has the figures. Words given name the rows to measure.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from kioskd.runtime.vitals import WINDOW_S
from tests.faults import hands as h
from tests.faults import sights
from tests.faults.hands import Hand, nothing
from tests.faults.rig import Rig, rig

GOAL_MS: Final = 50.0
HEALTHY: Final = "nothing"
HEALTHY_GOAL_MS: Final = 10.0
OUT: Final = Path(__file__).parents[1] / "build" / "bench" / "lag.json"
FROZEN: Final[dict[str, tuple[Hand, Hand]]] = {
    HEALTHY: (nothing, nothing),
    "camera": (h.camera("hang"), h.camera("")),
    "camera's worker": (h.freeze_worker("camera"), nothing),
    "microphone and speaker (pipewire)": (h.freeze(h.PIPEWIRE), h.go_on(h.PIPEWIRE)),
    "microphone and speaker (pipewire-pulse)": (h.freeze(h.PULSE), h.go_on(h.PULSE)),
    "scanner": (h.scanner_hangs, h.scanner_goes_on),
    "scanner's worker": (h.freeze_worker("scanner"), nothing),
    "printer": (h.freeze(h.IPP_PRINTER), h.go_on(h.IPP_PRINTER)),
    "printer (cupsd)": (h.freeze(h.CUPSD), h.go_on(h.CUPSD)),
    "printer's worker": (h.freeze_worker("printer"), nothing),
    "panel": (h.panel(silent=True), h.panel(silent=False)),
    "broker": (h.freeze(h.MOSQUITTO), h.go_on(h.MOSQUITTO)),
}


async def _measure(kiosk: Rig, freeze: Hand, thaw: Hand) -> tuple[float, float]:
    """Return the lag's 99th percentile and maximum in ms while it is frozen."""
    await sights.until_seen(kiosk, sights.HEALTHY, 60)
    await kiosk.call()
    await asyncio.sleep(WINDOW_S)  # the set-up of the call leaves the window
    await freeze(kiosk)
    await asyncio.sleep(WINDOW_S)
    status = await kiosk.look()
    await thaw(kiosk)
    assert status is not None
    return status.loop_lag_p99_ms, status.loop_lag_max_ms


async def _run(names: list[str]) -> dict[str, tuple[float, float]]:
    async with rig() as kiosk:
        return {name: await _measure(kiosk, *FROZEN[name]) for name in names or FROZEN}


def main() -> None:
    """Measure and print the table."""
    figures = asyncio.run(_run(sys.argv[1:]))
    table = Table(title="Loop lag while a device is frozen, in a call; ms")
    for name in ("frozen", "p99", "max", ""):
        table.add_column(name, justify="left" if name == "frozen" else "right")
    for name, (p99, most) in figures.items():
        goal = HEALTHY_GOAL_MS if name == HEALTHY else GOAL_MS
        table.add_row(name, f"{p99:.1f}", f"{most:.1f}", "" if p99 <= goal else "TOO LATE")
    Console(width=100).print(table)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
