"""Plugging is heard as it happens: from the kernel itself, as where no udevd runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from kioskd.hal.device import DeviceKind
from kioskd.runtime import hotplug
from kioskd.runtime.hotplug import Hotplug

TTY = Path("/sys/class/tty/tty5/uevent")
WITHIN_S = 10.0

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="to plug without hands needs root")


async def test_a_plug_is_heard_once_for_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotplug, "_UDEVD", Path("/nonexistent"))
    heard: asyncio.Queue[set[DeviceKind]] = asyncio.Queue()

    def hear(kinds: Iterable[DeviceKind]) -> None:
        heard.put_nowait(set(kinds))

    task = asyncio.create_task(Hotplug(hear).run())
    try:
        async with asyncio.timeout(WITHIN_S):
            while heard.empty():  # until the monitor listens
                for _ in range(5):
                    await asyncio.to_thread(TTY.write_text, "change")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(4 * hotplug.SETTLE_S):
                        assert await heard.get() == {DeviceKind.PANEL}
                        break
        assert heard.empty()
    finally:
        task.cancel()
        await asyncio.wait([task])
