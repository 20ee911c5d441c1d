"""A real Chromium as the kiosk's screen, with its keeper, and hands that break it."""

from __future__ import annotations

import contextlib
import signal

import psutil

from kioskd.screen.keeper import START_S
from tests.canary.screen import screen
from tests.faults.hands import Hand
from tests.faults.rig import LOG, Rig
from tests.faults.sights import NO_SCREEN, SCREEN
from tests.processes import family


async def on(rig: Rig) -> None:
    """Have a real Chromium as screen, and its keeper."""
    with (LOG / "screen.log").open("ab") as log:
        rig.keeper = await rig.screen.enter_async_context(screen(rig.folder, log))
    for sight in (NO_SCREEN, SCREEN):  # where one is kept nobody else's page counts
        await rig.until(sight.what, sight.true, START_S)


async def off(rig: Rig) -> None:
    """Have none any more."""
    await rig.screen.aclose()
    rig.keeper = None


def hit(number: signal.Signals, role: str | None = None) -> Hand:
    """Send a signal to the screen's Chromium: to the processes of a --type=, or to the first."""

    async def do(rig: Rig) -> None:
        assert rig.keeper is not None
        if role is None:
            psutil.Process(rig.keeper.pid).children(recursive=True)[0].send_signal(number)
            return
        met = 0
        for one, line in family(rig.keeper.pid):
            if f"--type={role}" in line:
                with contextlib.suppress(psutil.NoSuchProcess):  # some live for a moment only
                    one.send_signal(number)
                    met += 1
        assert met, f"no {role} to hit"

    return do
