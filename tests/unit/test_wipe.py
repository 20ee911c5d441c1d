"""The wipe comes to its end, however long a printer takes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from drivers.printer.fake import FakePrinter
from kioskd.app.run import Daemon
from kioskd.settings import read_toml, validate
from kioskd.visit import effects as do
from kioskd.visit import events as ev

SERVICES = Path(__file__).parents[2] / "config" / "services.toml"
WITHIN_S = 10.0


class SlowPrinter(FakePrinter):
    """Takes longer to purge than the visit waits before it asks for the wipe again."""

    def __init__(self) -> None:
        super().__init__(0)
        self.purging, self.go_on = asyncio.Event(), asyncio.Event()
        self.purged = 0

    async def purge(self) -> None:
        self.purging.set()
        await self.go_on.wait()
        self.purged += 1


async def test_a_wipe_that_is_asked_for_again_is_not_begun_anew(tmp_path: Path) -> None:
    kinds = ("camera", "microphone", "speaker", "scanner", "printer", "panel")
    settings = validate(
        {
            "kiosk": {"id": "test", "name": "Mairie"},
            "broker": {"host": "127.0.0.1", "tls": False},
            "identity": {"unsigned": True},
            "services": read_toml(SERVICES)["services"],
            "documents": {"spool": str(tmp_path / "spool")},
            "state": {"folder": str(tmp_path)},
            **{kind: {"driver": "fake"} for kind in kinds},
        }
    )
    kiosk = Daemon(settings, on_ready=lambda _: None).kiosk
    printer = SlowPrinter()
    kiosk.devices.printer.device = printer
    kiosk._spool.prepare()
    kept = kiosk._spool.folder() / "page"
    kept.touch()
    wiped = asyncio.Event()
    kiosk.post = lambda event: wiped.set() if event == ev.Wiped() else None  # type: ignore[method-assign]
    async with asyncio.timeout(WITHIN_S):
        kiosk._carry(do.Wipe())
        await printer.purging.wait()
        assert not kept.exists(), "the documents do not wait for the printer"
        for _ in range(3):
            kiosk._carry(do.Wipe())
            await asyncio.sleep(0)
        printer.go_on.set()
        await wiped.wait()
    assert printer.purged == 1
