"""Run on a tmpfs of 64 KiB (test_audit_log.py): fills it, makes room, and sees what is there."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kioskd.audit.events import EventsLost, TestEnded
from kioskd.audit.log import AuditLog
from kioskd.audit.verify import files_of, lines_of, verify
from kioskd.audit.writer import AuditWriter
from kioskd.hal.device import DeviceKind

MORE = 1000
ROOM = 32 * 1024


async def main(disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(ROOM))
    folder = disk / "audit"
    writer = AuditWriter(AuditLog(folder), limit=40, retry_s=0.01)
    writer.start()
    put = 0
    async with asyncio.timeout(20):
        while writer.failing is None:
            writer.put(TestEnded(device=DeviceKind.CAMERA, passed=True))
            put += 1
            await asyncio.sleep(0)
    for _ in range(MORE):  # than the queue holds
        writer.put(TestEnded(device=DeviceKind.CAMERA, passed=True))
        put += 1
    ballast.unlink()
    assert await writer.written(20)
    writer.put(TestEnded(device=DeviceKind.CAMERA, passed=False))
    assert await writer.written(20)
    verdict = verify(folder)
    assert verdict.faults == [], verdict.faults
    told = [line.event for file in files_of(folder) for _, line in lines_of(file)]
    written = sum(isinstance(one, TestEnded) for one in told)
    lost = sum(one.count for one in told if isinstance(one, EventsLost))
    assert lost == writer.lost > 0
    assert written + lost == put + 1
    await asyncio.to_thread(writer.stop)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
