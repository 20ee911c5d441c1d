"""`make soak`: 1,000 short calls and 200 scans. Exit code 1 where anything counted has grown."""

from __future__ import annotations

import asyncio
import os
import sys

from tests.faults.rig import rig
from tests.soak.soak import Growth, soak


async def _run(calls: int, scans: int) -> Growth:
    async with rig() as one:
        return await soak(one, calls, scans, tell=lambda text: print(text, flush=True))


def main() -> int:
    """Run as many as SOAK_CALLS and SOAK_SCANS say."""
    calls, scans = (int(os.environ.get(name) or 0) for name in ("SOAK_CALLS", "SOAK_SCANS"))
    growth = asyncio.run(_run(calls or 1000, scans or 200))
    print(growth)
    return int(growth.leaks)


if __name__ == "__main__":
    sys.exit(main())
