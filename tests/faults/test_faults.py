"""The fault matrix: one row a fault, and what must hold all the same.

`make faults` runs every row and prints the table with the times; `make test` runs those
that are marked quick. A row is read from left to right: in this situation, this breaks;
within so many seconds this is seen; then it is mended (or mends itself), and within so many
seconds that is seen; afterwards this still works, and nothing was lost. Unless a row says
otherwise the agent sees and hears the kiosk all the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest

from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind, DeviceState
from tests.faults import hands as h
from tests.faults.hands import HEALTHY, Hand, Sight, nothing
from tests.faults.relay import Line
from tests.faults.rig import Rig, keep

PICTURE: Final = "picture"
SOUND: Final = "sound"
BOTH: Final = frozenset({PICTURE, SOUND})
NEITHER: Final[frozenset[str]] = frozenset()
GAP_S: Final = 3.0
"""A call is whole while picture and sound pause no longer than this. Figures stand in the
table; the limit only has to hold on a machine that does other things as well."""

CAMERA, MICROPHONE, SPEAKER = DeviceKind.CAMERA, DeviceKind.MICROPHONE, DeviceKind.SPEAKER
SCANNER, PRINTER, PANEL = DeviceKind.SCANNER, DeviceKind.PRINTER, DeviceKind.PANEL
DEGRADED, ABSENT, FAILED = DeviceState.DEGRADED, DeviceState.ABSENT, DeviceState.FAILED


@dataclass(frozen=True)
class Fault:
    """One row. `seen` within `seen_s`, `back` within `back_s` of the mending."""

    name: str
    given: Hand
    breaks: Hand
    seen: Sight | Callable[[Rig], Sight]
    mend: Hand = nothing
    back: Sight = HEALTHY
    then: Hand = nothing
    seen_s: float = 6.0
    back_s: float = 20.0
    flows: frozenset[str] = BOTH
    quick: bool = False


cupsd, printer, mosquitto = h.CUPSD, h.IPP_PRINTER, h.MOSQUITTO
no_fds, fds_again = h.no_descriptors(lambda rig: rig.pid)

# fmt: off
FAULTS: Final = [
    # ---- worker processes
    Fault("scanner worker killed, idle",     h.talking, h.kill_worker("scanner"),   h.other_worker("scanner"), quick=True),
    Fault("scanner worker hangs, idle",      h.talking, h.freeze_worker("scanner"), h.device(SCANNER, FAILED, Reason.NO_ANSWER)),
    Fault("printer worker killed, idle",     h.talking, h.kill_worker("printer"),   h.other_worker("printer"), quick=True),
    Fault("printer worker hangs, idle",      h.talking, h.freeze_worker("printer"), h.device(PRINTER, FAILED, Reason.NO_ANSWER)),
    # ---- the print system
    Fault("cupsd killed, idle",              h.talking, h.kill(cupsd),       h.device(PRINTER, FAILED, Reason.OFFLINE), h.start(cupsd), then=h.print_again, quick=True),
    Fault("cupsd hangs, idle",               h.talking, h.freeze(cupsd),     h.device(PRINTER, FAILED, Reason.NO_ANSWER), h.go_on(cupsd), then=h.print_again),
    Fault("printer switched off, idle",      h.talking, h.kill(printer),     h.device(PRINTER, FAILED, Reason.OFFLINE), h.start(printer), then=h.print_again),
    Fault("printer hangs, idle",             h.talking, h.freeze(printer),   h.device(PRINTER, FAILED, Reason.OFFLINE), h.go_on(printer), then=h.print_again),
    # ---- broker and network
    Fault("mosquitto killed",                h.talking, h.kill(mosquitto),            h.OFFLINE, h.start(mosquitto), quick=True),
    Fault("mosquitto hangs",                 h.talking, h.freeze(mosquitto),       h.OFFLINE, h.go_on(mosquitto), seen_s=60),
    Fault("the line to the broker is cut",   h.talking, h.line(Line.REFUSED),     h.OFFLINE, h.line(Line.GOOD), quick=True),
    Fault("the line is half open",           h.talking, h.line(Line.HALF_OPEN),   h.OFFLINE, h.line(Line.GOOD), seen_s=60),
    Fault("the line is slow (0.4 s)",        h.idle,    h.line(Line.SLOW),        h.NOT_TOUCHED, h.line(Line.GOOD), then=h.new_call),
    # ---- the machine
    Fault("no file descriptors left",        h.talking, no_fds,                   h.device(PRINTER, FAILED), fds_again, then=h.print_again),
]
# fmt: on


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("fault", [pytest.param(one, id=one.name) for one in FAULTS])
async def test_fault(rig: Rig, fault: Fault, rows: list[dict[str, object]]) -> None:
    row: dict[str, object] = {"name": fault.name, "recovered": False}
    rows.append(row)
    try:
        await _run(rig, fault, row)
        row["recovered"] = True
    finally:
        keep(rows)


async def _run(rig: Rig, fault: Fault, row: dict[str, object]) -> None:
    await h.until_seen(rig, HEALTHY)
    await fault.given(rig)
    flows = fault.flows if rig.talking else NEITHER
    if rig.talking:
        await rig.agent.gaps()
    seen = fault.seen if isinstance(fault.seen, Sight) else fault.seen(rig)
    row["seen"] = seen.what
    started = time.monotonic()
    await fault.breaks(rig)
    try:
        await rig.until(seen.what, seen.true, fault.seen_s)
        row["seen_s"] = time.monotonic() - started
    finally:
        await fault.mend(rig)
    row["back_s"] = await rig.until(fault.back.what, fault.back.true, fault.back_s)
    await fault.then(rig)
    if flows:
        picture, sound = await rig.agent.gaps()
        row["picture_gap_s"], row["sound_gap_s"] = picture, sound
        assert PICTURE not in flows or picture < GAP_S, f"no picture for {picture:.1f} s"
        assert SOUND not in flows or sound < GAP_S, f"no sound for {sound:.1f} s"
