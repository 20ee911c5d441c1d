"""A short soak: what a visit takes, it gives back."""

from __future__ import annotations

import pytest

from tests.faults.rig import rig
from tests.soak.soak import soak

CALLS, SCANS = 50, 10


@pytest.mark.e2e
@pytest.mark.timeout(400)
async def test_fifty_calls_leave_nothing_behind() -> None:
    async with rig() as one:
        growth = await soak(one, CALLS, SCANS)
    print(growth)
    assert not growth.leaks, growth
