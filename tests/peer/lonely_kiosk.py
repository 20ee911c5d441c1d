"""A kiosk's line in a process of its own, for a test to kill: `python -m ... PORT`."""

from __future__ import annotations

import asyncio
import sys

from kioskd.app.line import Line
from kioskd.settings import KioskSettings
from kioskd.signalling.link import BrokerAddress


def main() -> None:
    line = Line(
        KioskSettings(id="lonely", name="Mairie"),
        BrokerAddress("127.0.0.1", int(sys.argv[1]), "lonely"),
        on_signal=lambda *_: None,
        on_change=lambda: None,
    )
    asyncio.run(line.link.run())


if __name__ == "__main__":
    main()
