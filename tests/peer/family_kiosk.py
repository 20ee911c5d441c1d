"""A daemon with a family: a worker process, the worker's own child, and a child program.

python -m tests.peer.family_kiosk CONFIG
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kioskd import logging
from kioskd.app.run import Daemon
from kioskd.runtime.children import Child
from kioskd.runtime.worker import Worker
from kioskd.settings import load


async def main() -> None:
    logging.configure(verbose=True)
    worker = Worker("family", "tests.unit.subjects:Subject", {"base": 0})
    await worker.call("spawn", own_session=False, timeout=30)
    async with Child("program", ["sleep", "601"]):
        await Daemon(load(Path(sys.argv[1])), on_ready=lambda _: None).run()
    await worker.stop()


if __name__ == "__main__":
    asyncio.run(main())
