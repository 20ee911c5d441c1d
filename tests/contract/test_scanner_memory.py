"""What a page may take, and what happens to one that takes more."""

from __future__ import annotations

import resource
from pathlib import Path

import psutil
import pytest

from drivers.scanner.sane_scanner import SaneScannerConfig
from drivers.scanner.sane_worker import MEMORY_BYTES, PAGE_BYTES
from kioskd.errors import DeviceError, Reason
from kioskd.hal.scanner import (
    ScanSettings,
    ScanSource,
)
from tests.contract.scanner_rig import (
    QUICK,
    RealRig,
    check_whole,
    files,
    scan,
)


async def test_without_memory_the_worker_says_so_and_lives(real: RealRig, folder: Path) -> None:
    settings = ScanSettings(ScanSource.FLATBED, dpi=300)
    async with real.make() as scanner:
        worker = scanner.worker_pid
        assert worker is not None
        limit = resource.prlimit(worker, resource.RLIMIT_AS)
        assert max(limit) == MEMORY_BYTES
        little = psutil.Process(worker).memory_info().vms + (8 << 20)
        resource.prlimit(worker, resource.RLIMIT_AS, (little, MEMORY_BYTES))
        with pytest.raises(DeviceError) as caught:
            await scan(scanner, settings, folder)
        assert caught.value.reason is Reason.OUT_OF_MEMORY
        assert files(folder) == []
        resource.prlimit(worker, resource.RLIMIT_AS, limit)
        assert len(await scan(scanner, settings, folder)) == 1
        assert scanner.worker_pid == worker


@pytest.mark.parametrize(
    "options",
    [
        {"resolution": 1200.0},  # 418 MB, known beforehand
        {"resolution": 1200.0, "hand_scanner": True},  # 218 MB, which nobody knows beforehand
    ],
)
async def test_a_page_that_is_too_large_is_refused(
    real: RealRig, folder: Path, options: dict[str, str | bool | int | float]
) -> None:
    scanner = SaneScannerConfig(config_dir=real.config_dir, options=options).build()
    async with scanner:
        with pytest.raises(DeviceError) as caught:
            await scan(scanner, QUICK, folder)
        assert caught.value.reason is Reason.OUT_OF_MEMORY
        assert files(folder) == []
        worker = scanner.worker_pid
        assert worker is not None
        assert peak_memory(worker) < 3 * PAGE_BYTES


def peak_memory(pid: int) -> int:
    """Return the most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak) << 10


async def test_the_largest_page_in_colour_has_room(real: RealRig, folder: Path) -> None:
    async with real.make() as scanner:
        [page] = await scan(scanner, ScanSettings(ScanSource.FLATBED, dpi=600), folder)
    assert page.dpi == 600
    assert page.width == pytest.approx(4960, rel=0.02)
    check_whole(page, "RGB")


async def test_lines_that_are_filled_up_are_refused(real: RealRig, folder: Path) -> None:
    config = SaneScannerConfig(config_dir=real.config_dir, options={"ppl_loss": 8})
    async with config.build() as scanner:
        with pytest.raises(DeviceError) as caught:
            await scan(scanner, QUICK, folder)
    assert caught.value.reason is Reason.UNSUPPORTED
    assert files(folder) == []
