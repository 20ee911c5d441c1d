"""A marked visit in each state, its end or the daemon's death, and what is left of the marks."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.canary import marks
from tests.canary.bundle import bundle, contents
from tests.canary.search import OF_SCREEN, Hit, search, search_in
from tests.faults import hands as h
from tests.faults import visits as v
from tests.faults.hands import Hand
from tests.faults.rig import Rig
from tests.faults.sights import HEALTHY, SCREEN, until_seen

WITHIN_S: Final = 10.0
UNIT: Final = Path(__file__).parents[2] / "systemd" / "kioskd.service"


@dataclass(frozen=True)
class State:
    """How far a visit has come, and how it ends."""

    name: str
    given: Hand
    ends: Hand
    found_before: bool = False
    """The document is there before the end, and the search finds it."""


async def _over(rig: Rig) -> None:
    await rig.idle()


_dies: Final = h.both(h.kill_daemon, h.start_daemon)

# fmt: off
STATES: Final = [
    State("talking, hung up",                v.talking,        _over),
    State("scanned, hung up",                v.scan_page,      _over),
    State("sent, hung up",                   h.both(v.scan_page, v.send_pages), _over),
    State("asked to print, hung up",         v.asked_to_print, _over, found_before=True),
    State("printed, hung up",                v.print_again,    _over),
    State("printing without paper, hung up", v.printing_held,  _over, found_before=True),
    *(State(f"{name}, daemon killed", given, _dies, found_before=there) for name, given, there in (
        ("waiting", v.waiting, False), ("connecting", v.connecting, False),
        ("talking", v.talking, False), ("asked to scan", v.asked_to_scan, False),
        ("page scanned", v.scan_page, False), ("sending", v.sending, False),
        ("asked to print", v.asked_to_print, True),
        ("printing without paper", v.printing_held, True), ("ended", v.ended, False),
    )),
]
# fmt: on


def unit_environment() -> dict[str, str]:
    """Return the settings of the unit that decide on what freed memory holds."""
    text = UNIT.read_text(encoding="utf-8")
    found = dict(re.findall(r"(PYTHONMALLOC|GLIBC_TUNABLES)=(\S+)", text))
    assert len(found) == 2, "the unit no longer lets freed memory be overwritten"
    return found


async def run_state(rig: Rig, state: State) -> list[Hit]:
    """Run a visit with marks of its own; return what is left 10 s after its end.

    The rig has a real screen (tests/faults/screens.py).
    """
    mark = f"Zq{secrets.token_hex(7)}"
    rig.words, rig.file_name = [f"{mark} UN", f"{mark} DEUX"], f"{mark}.pdf"
    rig.finish, rig.scanner.paper, rig.scanner.scanned = marks.add_paper, marks.paper(), b""
    await until_seen(rig, HEALTHY)
    await until_seen(rig, SCREEN)
    await rig.agent.come_back(f"{mark} Agent")
    await state.given(rig)
    wanted = marks.words(mark) | await asyncio.to_thread(_pictures, rig)
    if state.found_before:
        before = await asyncio.to_thread(search, rig, wanted)
        assert any(hit.place.startswith("file ") for hit in before), "no document is found"
        assert any(hit.place.endswith(OF_SCREEN) for hit in before), "the screen shows nothing"
    await state.ends(rig)
    await rig.cups.fault(None)
    end = time.monotonic() + WITHIN_S
    while True:
        await rig.look()
        hits = await asyncio.to_thread(search, rig, wanted)
        if not hits or time.monotonic() > end:
            return hits + search_in(contents(await bundle(rig)), wanted)
        await asyncio.sleep(0.5)


def _pictures(rig: Rig) -> marks.Codings:
    """Return pieces of all documents that are there now, of the scanner's page, of the letter."""
    found = [(f"the page {path.suffix}", path.read_bytes()) for path in rig.spooled()]
    found = [(f"{name} {number}", data) for number, (name, data) in enumerate(found)]
    if rig.scanner.scanned:
        found.append(("the scanner's page", rig.scanner.scanned))
    letter = rig.folder / rig.file_name
    if letter.exists():
        found.append(("the agent's letter", letter.read_bytes()))
    return marks.pictures(found)
