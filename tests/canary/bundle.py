"""The support bundle of a kiosk that has had marked visits, searched file by file."""

from __future__ import annotations

import asyncio
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.rig import LOG, ROOT, Rig

BUNDLE_S = 90.0


async def bundle(rig: Rig) -> Path:
    """Make a bundle as a technician does, and return its file."""
    file = rig.folder / "bundle.zip"
    file.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kioskd.cli", "bundle", "--output", str(file)),
        *("--config", str(rig.folder / "kioskd.toml"), "--log", str(LOG / "kioskd.log")),
        cwd=ROOT,
        env=rig.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(BUNDLE_S):
        told, _ = await process.communicate()
    assert file.exists(), told.decode()
    return file


def contents(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what is in it, unpacked."""
    with zipfile.ZipFile(file) as opened:
        names = opened.namelist()
        assert "log.jsonl" in names
        assert opened.getinfo("log.jsonl").file_size > 0, "it holds no log"
        for name in names:
            yield name, opened.read(name)
