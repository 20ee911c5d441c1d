"""Doctor's exam: every fault is injected, and doctor, a process of its own, names its cause.

`make doctor-score` asks for all of them, `make test` for the quick ones.
"""

from __future__ import annotations

import json
import resource
from typing import Any

import pytest

from kioskd.diagnostics.report import Verdict
from tests.faults import sights as see
from tests.faults import visits as v
from tests.faults.diagnoses import BESIDE, DIAGNOSES, Diagnosis, diagnosed, examined, ids, right
from tests.faults.machine import Machine
from tests.faults.rig import LOG, Rig
from tests.faults.test_faults import FAULTS, Fault

pytestmark = pytest.mark.timeout(240)
QUICK = {one.name for one, _ in BESIDE if one.quick} | {"mosquitto killed"}
SEEN_S = 60.0
"""The matrix asks how soon a fault is seen; here it only has to be there."""
EXIT = {Verdict.HEALTHY: 0, Verdict.DEGRADED: 1, Verdict.BROKEN: 2}


@pytest.fixture(scope="session")
def told() -> list[dict[str, Any]]:
    return []


@pytest.mark.quick
def test_every_row_of_the_matrix_has_a_diagnosis_and_none_is_left_over() -> None:
    assert {one.name for one in FAULTS} == DIAGNOSES.keys()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        pytest.param(*one, id=one[0].name, marks=[pytest.mark.quick] * (one[0].name in QUICK))
        for one in diagnosed()
    ],
)
async def test_the_cause_is_named_first(
    rig: Rig, fault: Fault, wanted: Diagnosis | None, told: list[dict[str, Any]]
) -> None:
    if fault.root and not Machine.root:
        pytest.skip("it takes a mount, and that needs root")
    row: dict[str, Any] = {"name": fault.name, "right": False}
    row["wanted"] = list(wanted.first) if wanted else ["?"]
    told.append(row)
    try:
        assert wanted is not None, "say in diagnoses.py what doctor must say of it"
        await _ask(rig, fault, wanted, row)
    finally:
        rig.machine.set_clock(0)
        (LOG / "doctor.json").write_text(json.dumps(told, indent=1))


async def _ask(rig: Rig, fault: Fault, wanted: Diagnosis, row: dict[str, Any]) -> None:
    await see.until_seen(rig, see.HEALTHY)
    await fault.given(rig)
    rig.interruptions_before = rig.resident.interruptions
    _, hard = resource.prlimit(rig.pid, resource.RLIMIT_CORE)
    resource.prlimit(rig.pid, resource.RLIMIT_CORE, (0, hard))  # as the unit has it
    seen = fault.seen if isinstance(fault.seen, see.Sight) else fault.seen(rig)
    await fault.breaks(rig)
    try:
        await see.until_seen(rig, seen, max(fault.seen_s, SEEN_S))
        code, report, row["took_s"] = await examined(rig)
    finally:
        await fault.mend(rig)
    row["told"] = ids(report)
    row["right"] = right(report, wanted)
    await see.until_seen(rig, fault.back, max(fault.back_s, SEEN_S))
    if fault.given is v.printing_held:
        await rig.cups.fault(None)  # where the mending has left the printer without paper
    assert row["right"], report.model_dump_json(indent=1)
    assert code == EXIT[report.verdict]
