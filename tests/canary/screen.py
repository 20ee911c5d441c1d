"""A real Chromium as the kiosk's screen, beside the one that presses."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from pathlib import Path

from tests.e2e.stage import CHROMIUM

PROFILE = "screen"
STOP_S = 10.0


@contextlib.asynccontextmanager
async def screen(folder: Path) -> AsyncIterator[int]:
    """Show the page as a kiosk does, from the file that leads to it; yield the process id."""
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1920,1080",
        f"--user-data-dir={folder / PROFILE}",
        (folder / "screen.html").as_uri(),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
        start_new_session=True,
    )
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
