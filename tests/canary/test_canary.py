"""Two states of `make canary`: nothing is left of them."""

from __future__ import annotations

import pytest

from tests.canary.canary import STATES, run_state, unit_environment
from tests.faults import screens
from tests.faults.rig import rig

QUICK = ("talking, hung up", "page scanned, daemon killed")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


async def test_nothing_is_left_of_a_visit() -> None:
    states = [one for one in STATES if one.name in QUICK]
    assert len(states) == len(QUICK)
    async with rig(unit_environment()) as kiosk:
        await screens.on(kiosk)
        for state in states:
            assert await run_state(kiosk, state) == [], state.name
