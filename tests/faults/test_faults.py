"""The fault matrix: one row a fault, and what must hold all the same.

`make faults` runs every row and prints the table with the times; `make test` runs those
that are marked quick. A row is read from left to right: in this situation, this breaks;
within so many seconds this is seen; then it is mended (or mends itself), and within so many
seconds that is seen; afterwards this still works, and nothing was lost. Unless a row says
otherwise the agent sees and hears the kiosk all the time.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest

from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind, DeviceState
from kioskd.visit.words import PrintStage, ScanStage, Scene
from tests.faults import hands as h
from tests.faults import screens
from tests.faults import sights as see
from tests.faults import visits as v
from tests.faults.hands import Hand, nothing
from tests.faults.machine import Machine
from tests.faults.relay import Line
from tests.faults.rig import Rig, keep
from tests.faults.sights import HEALTHY, Sight

pytestmark = pytest.mark.timeout(240)
PICTURE: Final = "picture"
SOUND: Final = "sound"
BOTH: Final = frozenset({PICTURE, SOUND})
PICTURE_ONLY: Final = frozenset({PICTURE})
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
    gap_s: float = GAP_S
    quick: bool = False
    root: bool = False
    """It takes a mount."""


cupsd, printer, mosquitto = h.CUPSD, h.IPP_PRINTER, h.MOSQUITTO
pipewire, wireplumber, pulse = h.PIPEWIRE, h.WIREPLUMBER, h.PULSE
no_writes, writes_again = h.fail(
    lambda rig: rig.worker("scanner").pid, "EIO", "rename", "renameat2"
)
no_sync, sync_again = h.fail(lambda rig: rig.pid, "EIO", "fsync", "fdatasync")
overheard, forge_bye, forge_byes = v.overheard()
# An agent's page whose line is cut soon after a bye believes it: the row's call is not another's.
forgotten = h.both(v.agent_sees_the_call, v.idle)
no_fds, fds_again = h.no_descriptors(lambda rig: rig.pid)
# One for whoever asks how the daemon is; a worker's start takes more.
one_fd, more_fds = h.no_descriptors(lambda rig: rig.pid, spare=1)

# fmt: off
FAULTS: Final = [
    # ---- worker processes
    Fault("camera worker killed",            v.talking, h.kill_worker("camera"),    see.device(CAMERA, FAILED, Reason.CRASHED), quick=True),
    Fault("camera worker hangs",             v.talking, h.freeze_worker("camera"),  see.device(CAMERA, FAILED, Reason.NO_ANSWER)),
    Fault("scanner worker killed, idle",     v.fresh,   h.kill_worker("scanner"),   see.NOT_TOUCHED, then=v.scan_page, quick=True),
    Fault("scanner worker hangs, idle",      v.fresh,   h.freeze_worker("scanner"), see.device(SCANNER, FAILED, Reason.NO_ANSWER), then=v.scan_page),
    # ---- the camera
    Fault("camera unplugged",                v.talking, h.camera_off,         see.device(CAMERA, ABSENT), h.camera_on, quick=True),
    Fault("camera gives nothing",            v.talking, h.camera("hang"),     see.device(CAMERA, FAILED, Reason.NO_ANSWER), h.camera("")),
    Fault("camera gives nothing at all",     v.idle,    h.both(h.camera("hang"), v.talking), see.device(CAMERA, FAILED, Reason.NO_ANSWER), h.camera("")),
    Fault("camera's format changes",         v.talking, h.camera("format"),   see.device(CAMERA, FAILED, Reason.WRONG_FORMAT), h.camera("")),
    Fault("camera taken by another",         v.idle,    h.both(h.camera("busy"), v.talking), see.device(CAMERA, FAILED, Reason.BUSY), h.camera("")),
    Fault("picture frozen",                  v.talking, h.camera("freeze"),   see.device(CAMERA, FAILED, Reason.FROZEN), h.camera(""), seen_s=8),
    Fault("picture black",                   v.talking, h.camera("black"),    see.device(CAMERA, FAILED, Reason.BLACK), h.camera(""), seen_s=8),
    Fault("lens covered",                    v.talking, h.camera("covered"),  see.device(CAMERA, DEGRADED, Reason.COVERED), h.camera(""), seen_s=8),
    Fault("half the pictures",               v.talking, h.camera("slow"),     see.device(CAMERA, DEGRADED, Reason.SLOW), h.camera(""), seen_s=12),
    # ---- the scanner
    Fault("scanner switched off",            v.talking,  h.scanner_off,              see.device(SCANNER, ABSENT, Reason.NOT_FOUND), h.scanner_on, quick=True),
    Fault("scanner does not answer",         v.talking,  h.scanner_hangs,      see.device(SCANNER, FAILED, Reason.NO_ANSWER), h.scanner_goes_on),
    Fault("feeder jams at page 3",           v.feeding,  h.both(h.scanner(jam_after=3), v.press("scan-start")), see.scan(ScanStage.PREVIEW, Reason.PAPER_JAM, pages=3), h.scanner(jam_after=None), then=h.both(v.scan_again, v.send_pages), quick=True),
    Fault("feeder's cover is open",          v.feeding,  h.both(h.scanner(cover_open=True), v.press("scan-start")), see.scan(ScanStage.FAILED, Reason.COVER_OPEN), h.scanner(cover_open=False), then=v.scan_again),
    Fault("feeder is empty",                 v.feeding,  h.both(h.scanner(feeder_pages=0), v.press("scan-start")), see.scan(ScanStage.FAILED, Reason.NO_PAPER), h.scanner(feeder_pages=2), then=v.scan_again),
    Fault("connection cut in a page",        v.asked_to_scan, h.both(h.scanner(drops=True), v.press("scan-start")), see.scan(ScanStage.FAILED, Reason.IO_ERROR), h.scanner(drops=False), then=v.scan_again),
    Fault("scanner worker killed in a page", v.scanning, h.kill_worker("scanner"),   see.scan(ScanStage.FAILED, Reason.CRASHED), then=v.scan_again),
    Fault("scanner worker hangs in a page",  v.scanning, h.freeze_worker("scanner"), see.scan(ScanStage.FAILED, Reason.NO_ANSWER), then=v.scan_again, seen_s=40),
    Fault("scanner hangs in a page",         v.scanning, h.scanner_hangs,      see.scan(ScanStage.FAILED, Reason.NO_ANSWER, Reason.OFFLINE, Reason.IO_ERROR), h.scanner_goes_on, then=v.scan_again, seen_s=40),
    *(Fault(f"SANE says {status}", h.both(h.sane_says(f"SANE_STATUS_{status}"), v.fresh, v.asked_to_scan), v.press("scan-start"), see.scan(ScanStage.FAILED, reason), h.scanner_as_before, then=v.scan_again)
      for status, reason in {
          "JAMMED": Reason.PAPER_JAM, "COVER_OPEN": Reason.COVER_OPEN, "DEVICE_BUSY": Reason.BUSY,
          "IO_ERROR": Reason.IO_ERROR, "NO_MEM": Reason.OUT_OF_MEMORY, "ACCESS_DENIED": Reason.PERMISSION,
          "INVAL": Reason.UNSUPPORTED,
      }.items()),
    # ---- sound
    Fault("microphone unplugged",            v.talking, h.microphone_off,     see.device(MICROPHONE, ABSENT), h.microphone_on, flows=PICTURE_ONLY, quick=True),
    Fault("loudspeaker unplugged",           v.talking, h.speaker_off,        see.device(SPEAKER, ABSENT), h.speaker_on),
    Fault("microphone silent",               v.talking, h.silence,            see.device(MICROPHONE, DEGRADED, Reason.SILENT), h.sound_again, flows=PICTURE_ONLY, seen_s=8),
    Fault("pipewire killed",                 v.talking, h.kill(pipewire),     see.device(MICROPHONE, FAILED, Reason.NO_ANSWER), h.start(pipewire), flows=PICTURE_ONLY),
    Fault("pipewire hangs",                  v.talking, h.freeze(pipewire),   see.device(MICROPHONE, FAILED, Reason.NO_ANSWER), h.go_on(pipewire), flows=PICTURE_ONLY),
    Fault("pipewire-pulse killed",           v.talking, h.kill(pulse),        see.device(MICROPHONE, FAILED, Reason.NO_ANSWER), h.start(pulse), flows=PICTURE_ONLY),
    Fault("pipewire-pulse hangs",            v.talking, h.freeze(pulse),      see.device(MICROPHONE, FAILED, Reason.NO_ANSWER), h.go_on(pulse), flows=PICTURE_ONLY),
    Fault("wireplumber killed",              v.talking, h.kill(wireplumber),  see.device(MICROPHONE, FAILED), h.start(wireplumber), flows=PICTURE_ONLY),
    # ---- the print system
    Fault("printer worker killed, idle",     v.talking, h.kill_worker("printer"),   see.other_worker("printer"), quick=True),
    Fault("printer worker hangs, idle",      v.talking, h.freeze_worker("printer"), see.device(PRINTER, FAILED, Reason.NO_ANSWER)),
    Fault("cupsd killed, idle",              v.talking, h.kill_cupsd,               see.device(PRINTER, FAILED, Reason.OFFLINE), h.start(cupsd), then=v.print_again, quick=True),
    Fault("cupsd hangs, idle",               v.talking, h.freeze(cupsd),            see.device(PRINTER, FAILED, Reason.NO_ANSWER), h.go_on(cupsd), then=v.print_again),
    Fault("printer switched off, idle",      v.talking, h.printer_off,              see.device(PRINTER, FAILED, Reason.OFFLINE), h.start(printer), then=v.print_again),
    Fault("printer hangs, idle",             v.talking, h.freeze(printer),          see.device(PRINTER, FAILED, Reason.OFFLINE), h.go_on(printer), then=v.print_again),
    Fault("paper out, idle",                 v.talking, h.printer("paper-out"),     see.device(PRINTER, DEGRADED, Reason.PAPER_OUT), h.printer(None)),
    Fault("paper jammed, idle",              v.talking, h.printer("jam"),           see.device(PRINTER, DEGRADED, Reason.PAPER_JAM), h.printer(None)),
    Fault("printer's cover open",            v.talking, h.printer("cover-open"),    see.device(PRINTER, DEGRADED, Reason.COVER_OPEN), h.printer(None)),
    Fault("ink low",                         v.talking, h.printer("ink-low"),       see.device(PRINTER, DEGRADED, Reason.INK_LOW), h.printer(None)),
    Fault("ink out",                         v.talking, h.printer("ink-out"),       see.device(PRINTER, DEGRADED, Reason.INK_OUT), h.printer(None)),
    Fault("paper out in a job",              v.printing_held, nothing,              see.paper(PrintStage.HELD, Reason.PAPER_OUT), h.printer(None), then=v.printed_once),
    Fault("paper jams after a page",         v.asked_to_print, h.both(h.printer("jam", 1), v.press("print-accept")), see.paper(PrintStage.HELD, Reason.PAPER_JAM), h.printer(None), then=v.printed_once, seen_s=25),
    Fault("printer switched off in a job",   v.printing_held, h.printer_off,        see.paper(PrintStage.FAILED, Reason.JOB_LOST), h.both(h.printer(None), h.start(printer)), then=h.both(v.nothing_printed, v.print_again), seen_s=15),
    Fault("cupsd killed in a job",           v.printing_held, h.kill_cupsd,         see.paper(PrintStage.HELD, Reason.OFFLINE), h.both(h.printer(None), h.start(cupsd)), see.PAPER_OVER, then=h.both(v.told_truly, v.print_again), back_s=30),
    Fault("printer worker killed in a job",  v.printing_held, h.kill_worker("printer"), see.other_worker("printer"), h.printer(None), then=v.printed_once),
    # ---- the screen
    Fault("screen's Chromium killed",        h.both(v.talking, screens.on), screens.hit(signal.SIGKILL), see.NO_SCREEN, back=see.SCREEN, then=screens.off, quick=True),
    Fault("screen's Chromium hangs",         h.both(v.talking, screens.on), screens.hit(signal.SIGSTOP), see.NO_SCREEN, back=see.SCREEN, then=screens.off),
    Fault("screen's page crashes",           h.both(v.talking, screens.on), screens.hit(signal.SIGKILL, "renderer"), see.NO_SCREEN, back=see.SCREEN, then=screens.off),
    Fault("screen's page hangs",             h.both(v.talking, screens.on), screens.hit(signal.SIGSTOP, "renderer"), see.NO_SCREEN, back=see.SCREEN, then=screens.off),
    # ---- the panel
    Fault("panel unplugged",                 v.talking, h.panel_off,                see.device(PANEL, ABSENT), h.panel_on, quick=True),
    Fault("panel silent",                    v.talking, h.panel(silent=True),       see.device(PANEL, FAILED, Reason.NO_ANSWER), h.panel(silent=False)),
    Fault("panel's wire picks up noise",     v.talking, h.panel_noise,              see.NOT_TOUCHED),
    # ---- broker and network
    Fault("mosquitto killed",                v.talking, h.kill(mosquitto),            see.OFFLINE, h.start(mosquitto), quick=True),
    Fault("mosquitto hangs",                 v.talking, h.freeze(mosquitto),       see.OFFLINE, h.go_on(mosquitto), seen_s=60),
    Fault("the line to the broker is cut",   v.talking, h.line(Line.REFUSED),     see.OFFLINE, h.line(Line.GOOD), quick=True),
    Fault("the line is half open",           v.talking, h.line(Line.HALF_OPEN),   see.OFFLINE, h.line(Line.GOOD), seen_s=60),
    Fault("the line is slow (0.4 s)",        v.idle,    h.line(Line.SLOW),        see.NOT_TOUCHED, h.line(Line.GOOD), then=v.new_call),
    Fault("the broker forges a bye",         overheard, forge_byes,               see.lasting(see.scene(Scene.TALKING), 3), then=forgotten, quick=True),
    Fault("a forged bye, and the address changes", overheard, h.both(forge_byes, h.wait(7), h.change_address), see.INTERRUPTED, nothing, see.ON_THE_LINE, then=v.agent_sees_the_call, seen_s=12, gap_s=10),
    Fault("a bye forged to the agent, and the path is cut", overheard, h.both(forge_bye, h.path(sent_lost=True, received_lost=True)), see.scene(Scene.ENDED), h.path(), then=v.new_call, flows=NEITHER, seen_s=15),
    Fault("the agent's browser crashes",     v.talking, h.agent_crashes,          see.scene(Scene.ENDED), h.agent_back, then=v.new_call, flows=NEITHER, seen_s=45),
    Fault("the call's path is cut",          v.talking, h.path(sent_lost=True, received_lost=True), see.INTERRUPTED, h.path(), see.ON_THE_LINE, then=h.both(v.agent_sees_the_call, v.scan_page, v.send_pages), gap_s=10),
    Fault("the call's path is cut, one way", v.talking, h.path(sent_lost=True),   see.INTERRUPTED, h.path(), see.ON_THE_LINE, then=h.both(v.agent_sees_the_call, v.print_again), seen_s=20, gap_s=30),
    Fault("the path is cut as a scan is sent", v.half_sent, h.path(sent_lost=True, received_lost=True), see.INTERRUPTED, h.path(), see.ON_THE_LINE, then=v.sent, gap_s=15),
    Fault("the path stays cut",              v.talking, h.path(sent_lost=True, received_lost=True), see.scene(Scene.ENDED), h.path(), then=v.new_call, flows=NEITHER, seen_s=60),
    Fault("the kiosk's address changes",     v.talking, h.change_address,         see.INTERRUPTED, nothing, see.ON_THE_LINE, then=h.both(v.agent_sees_the_call, v.print_again), gap_s=10, quick=True),
    # ---- the machine
    Fault("no file descriptors left",        v.talking, h.both(one_fd, h.kill_worker("printer")), see.lasting(see.device(PRINTER, FAILED), 5), more_fds, then=v.print_again),
    Fault("no file descriptors for a call",  v.waiting, h.both(no_fds, v.taken_in_vain), see.lasting(see.scene(Scene.WAITING), 4), fds_again, then=v.new_call),
    Fault("journal hangs, full",             v.talking, h.fill_journal,           see.NOT_TOUCHED, h.go_on(h.JOURNAL), then=v.new_call, quick=True),
    Fault("no memory for a scan",            h.both(v.fresh, v.asked_to_scan), h.both(h.little_memory("scanner"), v.press("scan-start")), see.scan(ScanStage.FAILED, Reason.OUT_OF_MEMORY), then=v.scan_again),
    Fault("spool full at a scan",            v.asked_to_scan, h.both(h.fill_spool, v.press("scan-start")), see.scan(ScanStage.FAILED, Reason.DISK_FULL), h.empty_spool, then=v.scan_again, root=True),
    Fault("spool full at the second page",   v.scan_page,     h.both(h.fill_spool, v.press("scan-start")), see.scan(ScanStage.PREVIEW, Reason.DISK_FULL, pages=1), h.empty_spool, then=h.both(v.scan_again, v.send_pages), root=True),
    Fault("spool full at a document",        v.talking,       h.both(h.fill_spool, v.send_document, v.refused_for_space), see.NOT_TOUCHED, h.empty_spool, then=v.print_again, root=True),
    Fault("a page cannot be kept",          h.both(v.fresh, v.asked_to_scan), h.both(no_writes, v.press("scan-start")), see.scan(ScanStage.FAILED, Reason.IO_ERROR, Reason.DISK_FULL), writes_again, then=v.scan_again),
    Fault("the audit's disk syncs nothing",  v.scan_page,     h.both(no_sync, v.send_pages), see.AUDIT_FAILS, sync_again, then=v.all_is_in_the_audit),
    Fault("names are not resolved",          v.talking, h.names_gone,             see.lasting(see.OFFLINE, 5), h.names_back, root=True),
    # ---- the clock
    Fault("clock an hour ahead",             v.talking, h.clock(3600),  see.NOT_TOUCHED, h.clock(0), then=v.new_call),
    Fault("clock an hour back",              v.talking, h.clock(-3600), see.NOT_TOUCHED, h.clock(0), then=v.new_call),
    Fault("clock falls to 1970",             v.talking, h.clock_1970,   see.NOT_TOUCHED, h.clock(0), then=v.new_call),
    Fault("daemon started in 1970",          v.talking, h.both(h.clock_1970, h.kill_daemon), see.DEAD, h.start_daemon, then=h.both(v.refused_for_the_clock, h.clock(0), v.new_call), flows=NEITHER),
    # ---- the daemon killed in every state of a visit
    *(Fault(f"daemon killed: {name}",        given,     h.kill_daemon,  see.DEAD, h.start_daemon, then=h.both(v.nothing_left, v.new_call), flows=NEITHER, quick=name == "talking")
      for name, given in {
          "nobody there": v.idle, "waiting": v.waiting, "connecting": v.connecting, "talking": v.talking,
          "asked to scan": v.asked_to_scan, "scanning": v.scanning, "page scanned": v.scan_page, "sending": v.sending,
          "asked to print": v.asked_to_print, "ended": v.ended,
      }.items()),
    Fault("daemon killed: what the agent is told", v.talking, h.kill_daemon, see.DEAD, h.start_daemon, then=h.both(v.agent_is_told, v.nothing_left), flows=NEITHER),
    Fault("daemon killed: printing, no paper", v.printing_held, h.kill_daemon, see.DEAD, h.start_daemon, see.device(PRINTER, DEGRADED, Reason.PAPER_OUT), then=h.both(v.nothing_left, v.new_call), flows=NEITHER),
    Fault("daemon killed: paper put in while it is dead", v.printing_held, h.kill_daemon, see.DEAD, h.both(v.paper_in, h.start_daemon), then=h.both(v.nothing_left, v.new_call), flows=NEITHER),
]
# fmt: on


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "fault",
    [pytest.param(one, id=one.name, marks=[pytest.mark.quick] * one.quick) for one in FAULTS],
)
async def test_fault(rig: Rig, fault: Fault, rows: list[dict[str, object]]) -> None:
    if fault.root and not Machine.root:
        pytest.skip("it takes a mount, and that needs root")
    row: dict[str, object] = {"name": fault.name, "recovered": False}
    rows.append(row)
    try:
        await _run(rig, fault, row)
        row["recovered"] = True
    finally:
        keep(rows)


async def _run(rig: Rig, fault: Fault, row: dict[str, object]) -> None:
    await see.until_seen(rig, HEALTHY)
    await fault.given(rig)
    rig.printed_before = rig.printed()
    rig.interruptions_before = rig.resident.interruptions
    flows = fault.flows if rig.talking else NEITHER
    if rig.talking:
        await rig.agent.gaps()
    seen = fault.seen if isinstance(fault.seen, Sight) else fault.seen(rig)
    row["seen"] = seen.what
    started = time.monotonic()
    await fault.breaks(rig)
    try:
        await see.until_seen(rig, seen, fault.seen_s)
        row["seen_s"] = time.monotonic() - started - seen.holds_s
    finally:
        mended = time.monotonic()
        await fault.mend(rig)
    await see.until_seen(rig, fault.back, fault.back_s)
    row["back_s"] = time.monotonic() - mended - fault.back.holds_s
    if flows:
        picture, sound = await rig.agent.gaps()
        row["picture_gap_s"], row["sound_gap_s"] = picture, sound
        assert PICTURE not in flows or picture < fault.gap_s, f"no picture for {picture:.1f} s"
        assert SOUND not in flows or sound < fault.gap_s, f"no sound for {sound:.1f} s"
    await fault.then(rig)
