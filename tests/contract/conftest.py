"""What several tests of scanners start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.scanner_rig import RealRig


@pytest.fixture
def real(tmp_path: Path) -> RealRig:
    """SANE with its `test` backend."""
    return RealRig.made(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for pages."""
    folder = tmp_path / "pages"
    folder.mkdir()
    return folder
