"""A real Chromium as the kiosk's screen, kept as on a kiosk, beside the one that presses."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

from tests.e2e.stage import CHROMIUM

PROFILES: Final = "screen"
STOP_S: Final = 15.0
HEADLESS: Final = ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1920,1080")
"""There is no display here; the sandbox asks for a user that is not root."""


@contextlib.asynccontextmanager
async def screen(folder: Path, log: BinaryIO | None = None) -> AsyncIterator[Process]:
    """Keep the page that `screen.html` in the folder leads to on a screen; yield the keeper."""
    profiles = folder / PROFILES
    await asyncio.to_thread(profiles.mkdir, 0o700, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kioskd.screen"),
        *("--entry", str(folder / "screen.html"), "--folder", str(profiles)),
        *("--", CHROMIUM, *HEADLESS),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=log or DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
