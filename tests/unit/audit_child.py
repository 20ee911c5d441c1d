"""Writes audit events as fast as it can and says which are acknowledged; ends by SIGKILL only."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kioskd.audit.events import VisitBegun
from kioskd.audit.log import AuditLog, Bounds
from kioskd.audit.writer import AuditWriter


async def main(folder: Path, life: int) -> None:
    writer = AuditWriter(AuditLog(folder, Bounds(size=20_000)))
    writer.start()
    number = 0
    while True:
        writer.put(VisitBegun(visit=f"{(life << 32) + number:016x}", service="caf"))
        assert await writer.written(30)
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
