"""The rig is made once for all rows; a daemon that a row has lost is started again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults import rig as rigs


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def the_rig() -> AsyncIterator[rigs.Rig]:
    async with rigs.rig() as one:
        yield one


@pytest_asyncio.fixture(loop_scope="session")
async def rig(the_rig: rigs.Rig) -> AsyncIterator[rigs.Rig]:
    await the_rig.restore()
    yield the_rig


@pytest.fixture(scope="session")
def rows() -> list[dict[str, object]]:
    return []
