"""The rig is made once for all rows; a daemon that a row has lost is started again."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults import rig as rigs

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without `make faults` only the quick rows run."""
    if os.environ.get("KIOSKD_FAULTS") == "all":
        return
    items[:] = [
        one
        for one in items
        if one.path.parent != HERE or one.get_closest_marker("quick") is not None
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def the_rig() -> AsyncIterator[rigs.Rig]:
    async with rigs.rig() as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def rig(the_rig: rigs.Rig) -> AsyncIterator[rigs.Rig]:
    await the_rig.restore()
    yield the_rig


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return []
