"""A daemon with one device more that goes wrong inside the daemon's own process.

    python -m tests.peer.deadly_kiosk CONFIG kill       the panel's driver kills the process
    python -m tests.peer.deadly_kiosk CONFIG block      the first press blocks the loop
    python -m tests.peer.deadly_kiosk CONFIG wedge      a check never ends, whatever one does

Native code in the daemon (libpulse, OpenSSL, codecs) can do all of it; a driver's class is
the seam where it can be done on purpose. The file CONFIG.heal, where it is there, heals.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Literal

from drivers.panel.fake import FakePanel, FakePanelConfig
from kioskd import logging
from kioskd.app.run import Daemon
from kioskd.hal.device import DeviceHealth
from kioskd.settings import load

Fault = Literal["kill", "block", "wedge"]
AFTER_READY_S = 1.0


class DeadlyPanelConfig(FakePanelConfig):
    """A panel's configuration that makes a DeadlyPanel."""

    fault: Fault
    healed: Path

    def build(self) -> FakePanel:
        """Make the device."""
        return DeadlyPanel(self.fault, self.healed)


class DeadlyPanel(FakePanel):
    """Works until it does not."""

    def __init__(self, fault: Fault, healed: Path) -> None:
        super().__init__()
        self._kind_of_fault = fault
        self._healed = healed
        self._first = time.monotonic()

    async def check(self) -> DeviceHealth:
        """Do what this panel is for."""
        if not self._healed.exists():
            if self._kind_of_fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if time.monotonic() - self._first > AFTER_READY_S:
                if self._kind_of_fault == "block":
                    time.sleep(3600)  # noqa: ASYNC251  (that is the fault)
                await self._wedge()
        return await super().check()

    async def _wedge(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue


async def main() -> None:
    config = Path(sys.argv[1])
    logging.configure(verbose=True)
    panel = DeadlyPanelConfig.model_validate(
        {"fault": sys.argv[2], "healed": config.with_suffix(".heal")}
    )
    settings = load(config).model_copy(update={"panel": panel})
    await Daemon(settings, on_ready=lambda _: None).run()


if __name__ == "__main__":
    asyncio.run(main())
