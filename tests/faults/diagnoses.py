"""What doctor must name first for each fault of the matrix, and the faults that it has beside.

A row of the matrix that is not here fails the score: say what doctor must say of it, or why
no technician can meet it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kioskd.diagnostics import machine
from kioskd.diagnostics.findings import Trouble, device_id
from kioskd.diagnostics.network import has_route
from kioskd.diagnostics.report import Report
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind
from kioskd.simulation.pipewire import PIPEWIRE, PULSE
from tests.faults import hands as h
from tests.faults import sights as see
from tests.faults import visits as v
from tests.faults.relay import Line
from tests.faults.rig import ROOT, Rig
from tests.faults.test_faults import ABSENT, FAILED, FAULTS, Fault

DOCTOR_S: Final = 30.0
"""Its limit is 15 s on a kiosk; here it runs beside a browser and a call."""

OVER: Final = "it is over before anyone could look"
IN_A_SCAN: Final = "a resident's scan, told on the screen; nothing of it stays"


@dataclass(frozen=True)
class Diagnosis:
    """Any of `first` must be named first, all of `also` somewhere; with no `first`, nothing."""

    first: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    left_out: str | None = None


def says(*first: str, also: Iterable[str] = ()) -> Diagnosis:
    return Diagnosis(tuple(first), tuple(also))


def not_met(why: str) -> Diagnosis:
    return Diagnosis(left_out=why)


def camera(reason: Reason) -> str:
    return device_id(DeviceKind.CAMERA, reason)


def scanner(reason: Reason) -> str:
    return device_id(DeviceKind.SCANNER, reason)


def printer(reason: Reason) -> str:
    return device_id(DeviceKind.PRINTER, reason)


OF_THIS_MACHINE: Final = {one.id for one in machine.swap()}
"""True of a developer's machine, and no fault of the rig's."""
NOTHING: Final = Diagnosis()
DEAD: Final = says(Trouble.DEAD)
T, R = Trouble, Reason
# fmt: off
DIAGNOSES: Final[dict[str, Diagnosis]] = {
    "camera worker killed":            not_met(OVER),
    "camera worker hangs":             not_met(OVER),
    "scanner worker killed, idle":     not_met(OVER),
    "scanner worker hangs, idle":      not_met(OVER),
    "printer worker killed, idle":     not_met(OVER),
    "printer worker hangs, idle":      not_met(OVER),
    "camera unplugged":                says(camera(R.NOT_FOUND), camera(R.UNPLUGGED)),
    "camera gives nothing":            says(camera(R.NO_ANSWER)),
    "camera gives nothing at all":     says(camera(R.NO_ANSWER)),
    "camera's format changes":         says(camera(R.WRONG_FORMAT)),
    "camera taken by another":         says(camera(R.BUSY)),
    "picture frozen":                  says(camera(R.FROZEN)),
    "picture black":                   says(camera(R.BLACK)),
    "lens covered":                    says(camera(R.COVERED)),
    "half the pictures":               says(camera(R.SLOW)),
    "scanner switched off":            says(scanner(R.NOT_FOUND)),
    "scanner does not answer":         says(scanner(R.NO_ANSWER)),
    "feeder jams at page 3":           not_met(IN_A_SCAN),
    "feeder's cover is open":          not_met(IN_A_SCAN),
    "feeder is empty":                 not_met(IN_A_SCAN),
    "connection cut in a page":        not_met(IN_A_SCAN),
    "scanner worker killed in a page": not_met(IN_A_SCAN),
    "scanner worker hangs in a page":  not_met(IN_A_SCAN),
    "scanner hangs in a page":         not_met(IN_A_SCAN),
    "microphone unplugged":            says(*(device_id(DeviceKind.MICROPHONE, one) for one in (R.NOT_FOUND, R.UNPLUGGED))),
    "loudspeaker unplugged":           says(*(device_id(DeviceKind.SPEAKER, one) for one in (R.NOT_FOUND, R.UNPLUGGED))),
    "microphone silent":               says(device_id(DeviceKind.MICROPHONE, R.SILENT)),
    "pipewire killed":                 says(T.SOUND_SERVER),
    "pipewire hangs":                  says(T.SOUND_SERVER),
    "pipewire-pulse killed":           says(T.SOUND_SERVER),
    "pipewire-pulse hangs":            says(T.SOUND_SERVER),
    "wireplumber killed":              not_met("systemd starts all of PipeWire with it (systemd/wireplumber.conf)"),
    "paper out, idle":                 says(printer(R.PAPER_OUT)),
    "paper jammed, idle":              says(printer(R.PAPER_JAM)),
    "printer's cover open":            says(printer(R.COVER_OPEN)),
    "ink low":                         says(printer(R.INK_LOW)),
    "ink out":                         says(printer(R.INK_OUT)),
    "paper out in a job":              says(printer(R.PAPER_OUT)),
    "paper jams after a page":         says(printer(R.PAPER_JAM)),
    "printer switched off in a job":   says(printer(R.OFFLINE)),
    "cupsd killed in a job":           says(T.PRINT_SYSTEM),
    "printer worker killed in a job":  not_met(OVER),
    "screen's Chromium killed":        not_met(OVER),
    "screen's Chromium hangs":         not_met(OVER),
    "screen's page crashes":           not_met(OVER),
    "screen's page hangs":             not_met(OVER),
    "panel unplugged":                 says(*(device_id(DeviceKind.PANEL, one) for one in (R.NOT_FOUND, R.UNPLUGGED))),
    "panel silent":                    says(device_id(DeviceKind.PANEL, R.NO_ANSWER)),
    "panel's wire picks up noise":     not_met(OVER),
    "cupsd killed, idle":              says(T.PRINT_SYSTEM),
    "cupsd hangs, idle":               says(T.PRINT_SYSTEM),
    "printer switched off, idle":      says(printer(R.OFFLINE)),
    "printer hangs, idle":             says(printer(R.OFFLINE)),
    "mosquitto killed":                says(T.BROKER_SILENT),  # the line takes the connection
    "mosquitto hangs":                 says(T.BROKER_SILENT),
    "the line to the broker is cut":   says(T.BROKER),
    "the line is half open":           says(T.BROKER_SILENT),
    "the line is slow (0.4 s)":        NOTHING,
    "the broker forges a bye":         NOTHING,
    "the agent's browser crashes":     NOTHING,
    "a forged bye, and the address changes": not_met(OVER),
    "a bye forged to the agent, and the path is cut": not_met(OVER),
    "the call's path is cut":          NOTHING,
    "the call's path is cut, one way": NOTHING,
    "the path is cut as a scan is sent": NOTHING,
    "the path stays cut":              NOTHING,
    "the kiosk's address changes":     not_met(OVER),
    "no file descriptors left":        says(T.NO_DESCRIPTORS),
    "no file descriptors for a call":  says(T.NO_DESCRIPTORS),
    "journal hangs, full":             NOTHING,
    "no memory for a scan":            not_met(IN_A_SCAN),
    "spool full at a scan":            says(T.SPOOL_FULL),
    "spool full at the second page":   says(T.SPOOL_FULL),
    "spool full at a document":        says(T.SPOOL_FULL),
    "a page cannot be kept":           not_met(IN_A_SCAN),
    "the audit's disk syncs nothing":  says(T.AUDIT),
    "names are not resolved":          says(T.NAMES if has_route() else T.NO_NETWORK),
    "clock an hour ahead":             not_met("no other clock is here to compare it with"),
    "clock an hour back":              says(T.CLOCK),
    "clock falls to 1970":             says(T.CLOCK),
    "daemon started in 1970":          says(T.DEAD, also=[T.CLOCK]),
    **{one.name: not_met(IN_A_SCAN) for one in FAULTS if one.name.startswith("SANE says ")},
    **{one.name: DEAD for one in FAULTS if one.name.startswith("daemon killed: ")},
}
# fmt: on


# -- faults that only doctor is asked about -------------------------------------------------


def sound(service: str, number: signal.Signals) -> h.Hand:
    async def do(rig: Rig) -> None:
        rig.sound.signal(service, number)

    return do


async def sound_again(rig: Rig) -> None:
    await rig.sound.restart(PIPEWIRE)
    await rig.tone.start()


async def screen_gone(rig: Rig) -> None:
    await rig.resident.__aexit__(None, None, None)


async def screen_back(rig: Rig) -> None:
    await rig.resident.__aenter__()


async def camera_gone(rig: Rig) -> None:
    rig.camera.node.rename(rig.camera.node.with_suffix(".gone"))


async def camera_back(rig: Rig) -> None:
    rig.camera.node.with_suffix(".gone").rename(rig.camera.node)


async def break_config(rig: Rig) -> None:
    file = rig.folder / "kioskd.toml"
    file.write_text(file.read_text().replace("[kiosk]", "[kosk]"))


async def mend_config(rig: Rig) -> None:
    file = rig.folder / "kioskd.toml"
    file.write_text(file.read_text().replace("[kosk]", "[kiosk]"))


async def stop_daemon(rig: Rig) -> None:
    os.kill(rig.pid, signal.SIGSTOP)


async def daemon_goes_on(rig: Rig) -> None:
    os.kill(rig.pid, signal.SIGCONT)


_TAKEN: list[socket.socket] = []


async def take_port(rig: Rig) -> None:
    """Let another program listen where the screen's page is served."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", rig.screen_port))
    one.listen()
    _TAKEN.append(one)


async def give_port(_: Rig) -> None:
    _TAKEN.pop().close()


ANYHOW: Final = see.Sight("nothing is waited for", lambda _: True)
SILENT: Final = see.Sight("no answer", lambda rig: rig.status is None)
SPEAKER_GONE: Final = see.device(DeviceKind.SPEAKER, FAILED)
die, live = h.kill_daemon, h.start_daemon
dead_sound, dead_cups, dead_broker = (
    sound(PIPEWIRE, signal.SIGKILL),
    h.kill_cupsd,
    h.kill(h.MOSQUITTO),
)

# fmt: off
BESIDE: Final[list[tuple[Fault, Diagnosis]]] = [
    (Fault("all is well, nobody there",       v.idle,    h.nothing, see.HEALTHY, quick=True), NOTHING),
    (Fault("all is well, in a call",          v.talking, h.nothing, see.HEALTHY), NOTHING),
    (Fault("PipeWire killed",                 v.idle, dead_sound, SPEAKER_GONE, sound_again, quick=True), says(T.SOUND_SERVER)),
    (Fault("pipewire-pulse hangs",            v.idle, sound(PULSE, signal.SIGSTOP), SPEAKER_GONE, sound(PULSE, signal.SIGCONT)), says(T.SOUND_SERVER)),
    (Fault("camera gone",                     v.idle, camera_gone, see.device(DeviceKind.CAMERA, ABSENT), camera_back), says(camera(R.NOT_FOUND))),
    (Fault("screen's browser gone",           v.idle, screen_gone, see.NO_SCREEN, screen_back, quick=True), says(T.NO_SCREEN)),
    (Fault("daemon stopped by a signal",      v.idle, stop_daemon, SILENT, daemon_goes_on), says(T.HANGS)),
    (Fault("configuration broken, daemon alive", v.idle, break_config, ANYHOW, mend_config), says(T.SETTINGS)),
    (Fault("daemon dead, configuration broken", v.idle, h.both(die, break_config), see.DEAD, h.both(mend_config, live), quick=True), says(T.SETTINGS, also=[T.DEAD])),
    (Fault("daemon dead, screen's port taken", v.idle, h.both(die, take_port), see.DEAD, h.both(give_port, live)), says(T.SCREEN_PORT, also=[T.DEAD])),
    (Fault("daemon dead, broker dead",        v.idle, h.both(die, dead_broker), see.DEAD, h.both(h.start(h.MOSQUITTO), live)), says(T.DEAD, also=[T.BROKER_SILENT])),
    (Fault("daemon dead, line cut",           v.idle, h.both(die, h.line(Line.REFUSED)), see.DEAD, h.both(h.line(Line.GOOD), live)), says(T.DEAD, also=[T.BROKER])),
    (Fault("daemon dead, PipeWire dead",      v.idle, h.both(die, dead_sound), see.DEAD, h.both(sound_again, live), quick=True), says(T.DEAD, also=[T.SOUND_SERVER])),
    (Fault("daemon dead, cupsd dead",         v.idle, h.both(die, dead_cups), see.DEAD, h.both(h.start(h.CUPSD), live)), says(T.DEAD, also=[T.PRINT_SYSTEM])),
    (Fault("daemon dead, printer off",        v.idle, h.both(die, h.printer_off), see.DEAD, h.both(h.start(h.IPP_PRINTER), live)), says(T.DEAD, also=[printer(R.OFFLINE)])),
    (Fault("daemon dead, camera gone",        v.idle, h.both(die, camera_gone), see.DEAD, h.both(camera_back, live)), says(T.DEAD, also=[camera(R.NOT_FOUND)])),
    (Fault("daemon dead, scanner off",        v.idle, h.both(die, h.scanner_off), see.DEAD, h.both(h.scanner_on, live)), says(T.DEAD, also=[scanner(R.IO_ERROR)])),
    (Fault("daemon dead, scanner hangs",      v.idle, h.both(die, h.scanner_hangs), see.DEAD, h.both(h.scanner_goes_on, live)), says(T.DEAD, also=[scanner(R.NO_ANSWER)])),
    (Fault("daemon dead, spool full",         v.idle, h.both(die, h.fill_spool), see.DEAD, h.both(h.empty_spool, live), root=True), says(T.DEAD, also=[T.SPOOL_FULL])),
    (Fault("spool full, nobody there",        v.idle, h.fill_spool, ANYHOW, h.empty_spool, root=True), says(T.SPOOL_FULL)),
]
# fmt: on


def diagnosed() -> list[tuple[Fault, Diagnosis | None]]:
    """Return all faults with what doctor must say; None where nobody has said it yet."""
    matrix = [(one, DIAGNOSES.get(one.name)) for one in FAULTS]
    return [
        (fault, wanted)
        for fault, wanted in (*BESIDE, *matrix)
        if wanted is None or wanted.left_out is None
    ]


# -- doctor ------------------------------------------------------------------------------


async def doctor(rig: Rig, *arguments: str) -> tuple[int, str, float]:
    """Run `kioskctl doctor` on the rig's machine; return exit code, output, seconds."""
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *rig.machine.command(),
        *(sys.executable, "-m", "kioskd.cli", "doctor", "--language", "en"),
        *("--config", str(rig.folder / "kioskd.toml"), *arguments),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=rig.environment,
    )
    try:
        async with asyncio.timeout(DOCTOR_S):
            output, _ = await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, output.decode(), time.monotonic() - started


async def examined(rig: Rig) -> tuple[int, Report, float]:
    """Run it and read its JSON."""
    code, output, took_s = await doctor(rig, "--json")
    return code, Report.model_validate(json.loads(output)), took_s


def ids(report: Report) -> list[str]:
    """Return all ids of a report, causes and what they lead to, as they are told."""
    return [
        one
        for finding in report.findings
        for one in (finding.id, *(effect.id for effect in finding.consequences))
    ]


def right(report: Report, wanted: Diagnosis) -> bool:
    """Tell whether the right cause stands first, and the others somewhere."""
    told = [one for one in ids(report) if one not in OF_THIS_MACHINE]
    if not wanted.first:
        return not told
    return bool(told) and told[0] in wanted.first and {*wanted.also} <= {*told}
