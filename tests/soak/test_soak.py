"""A short soak: what a visit takes, it gives back."""

from __future__ import annotations

import pytest

from tests.faults.rig import rig
from tests.soak.soak import soak

CALLS, SCANS, WARM_UP = 50, 10, 5
"""Memory still grows after so few calls; what is counted does not."""


@pytest.mark.e2e
@pytest.mark.timeout(400)
async def test_fifty_calls_leave_nothing_behind() -> None:
    async with rig() as one:
        growth = await soak(one, CALLS, SCANS, warm_up_calls=WARM_UP)
    print(growth)
    assert not growth.leaks, growth
