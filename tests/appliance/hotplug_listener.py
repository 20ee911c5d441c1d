"""Run beside a udevd of its own (test_hotplug.py): hears of tty5, says so and ends."""

from __future__ import annotations

import asyncio
import subprocess

from kioskd.hal.device import DeviceKind
from kioskd.runtime.hotplug import Hotplug


async def main() -> None:
    heard = asyncio.Event()

    def note(kinds: frozenset[DeviceKind]) -> None:
        print("HEARD", one.source, *sorted(kinds))
        heard.set()

    with Hotplug(note) as one:
        command = ["udevadm", "trigger", "--action=add", "/sys/class/tty/tty5"]
        await asyncio.to_thread(subprocess.run, command, check=True)
        async with asyncio.timeout(30):
            await heard.wait()


if __name__ == "__main__":
    asyncio.run(main())
