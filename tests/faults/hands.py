"""Hands that break something in the rig, and mend it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kioskd.simulation import pipewire
from kioskd.simulation.ipp_printer import Fault as PrinterFault
from kioskd.simulation.sane import write_sane_config
from tests.faults.relay import Line
from tests.faults.rig import Rig

Hand = Callable[[Rig], Awaitable[None]]


async def nothing(_: Rig) -> None:
    """Do nothing: it heals by itself, or nothing need be prepared."""


def both(*hands: Hand) -> Hand:
    """Do one after the other."""

    async def do(rig: Rig) -> None:
        for hand in hands:
            await hand(rig)

    return do


def wait(seconds: float) -> Hand:
    """Let time pass: what was done before is to be old."""

    async def do(_: Rig) -> None:
        await asyncio.sleep(seconds)

    return do


# -- processes ---------------------------------------------------------------------------


async def kill_daemon(rig: Rig) -> None:
    """SIGKILL the daemon; systemd then runs what the unit has for its end."""
    await rig.kill()
    await rig.purge()


async def start_daemon(rig: Rig) -> None:
    """Start the daemon again, as systemd does."""
    await rig.start()


def kill_worker(kind: str) -> Hand:
    """SIGKILL a device's worker."""

    async def do(rig: Rig) -> None:
        rig.worker(kind).kill()

    return do


def freeze_worker(kind: str) -> Hand:
    """SIGSTOP a device's worker: it hangs, as in a native call that never returns."""

    async def do(rig: Rig) -> None:
        rig.worker(kind).suspend()

    return do


@dataclass(frozen=True)
class Stack:
    """A program beside the daemon, and how the rig starts it again after it was killed."""

    name: str
    pid: Callable[[Rig], int]
    start: Callable[[Rig], Awaitable[None]]


async def _restart_cupsd(rig: Rig) -> None:
    await rig.cups.start_cupsd()


async def _restart_printer(rig: Rig) -> None:
    await rig.cups.start_printer()


async def _restart_broker(rig: Rig) -> None:
    await rig.broker.stop()
    await rig.broker.start()


CUPSD: Final = Stack("cupsd", lambda rig: rig.cups.pid("cupsd"), _restart_cupsd)
IPP_PRINTER: Final = Stack(
    "ippeveprinter", lambda rig: rig.cups.pid("ippeveprinter"), _restart_printer
)


def _sound(service: str) -> Stack:
    async def start(rig: Rig) -> None:
        await rig.sound.restart(service)
        await rig.tone.start()

    return Stack(service, lambda rig: rig.sound.pid(service), start)


PIPEWIRE: Final = _sound(pipewire.PIPEWIRE)
WIREPLUMBER: Final = _sound(pipewire.WIREPLUMBER)
PULSE: Final = _sound(pipewire.PULSE)
JOURNAL: Final = Stack("journal", lambda rig: rig.machine.journal_pid, lambda rig: rig.start())
MOSQUITTO: Final = Stack("mosquitto", lambda rig: rig.broker.pid, _restart_broker)


def kill(stack: Stack) -> Hand:
    """SIGKILL a program."""
    return _send(stack, signal.SIGKILL)


async def kill_cupsd(rig: Rig) -> None:
    """SIGKILL cupsd and, as systemd does, what it leaves behind."""
    await rig.cups.kill("cupsd")


async def printer_off(rig: Rig) -> None:
    """Switch the printer off, in the middle of whatever it does."""
    await rig.cups.kill("ippeveprinter")


def printer(fault: PrinterFault | None, after_pages: int = 0) -> Hand:
    """Let the printer have a fault, or none."""

    async def do(rig: Rig) -> None:
        await rig.cups.fault(fault, after_pages)

    return do


async def microphone_off(rig: Rig) -> None:
    """Unplug the microphone."""
    await rig.sound.remove_source()


async def microphone_on(rig: Rig) -> None:
    """Plug the microphone."""
    await rig.sound.add_source()


async def speaker_off(rig: Rig) -> None:
    """Unplug the loudspeaker."""
    await rig.sound.remove_sink()


async def speaker_on(rig: Rig) -> None:
    """Plug the loudspeaker."""
    await rig.sound.add_sink()


async def panel_off(rig: Rig) -> None:
    """Pull the panel out."""
    rig.panel.unplug()


async def panel_on(rig: Rig) -> None:
    """Plug the panel in again."""
    rig.panel.plug()


def panel(*, silent: bool) -> Hand:
    """Let the panel fall silent, or speak again."""

    async def do(rig: Rig) -> None:
        rig.panel.panel.silent = silent

    return do


async def panel_noise(rig: Rig) -> None:
    """Let garbage arrive between the panel's lines."""
    for _ in range(20):
        with contextlib.suppress(BlockingIOError):
            rig.panel.panel.write(b"\xff\x00EVENT 9 press*0000\nhalf a li")
        await asyncio.sleep(0.1)
        rig.panel.panel.write(b"\n")


async def silence(rig: Rig) -> None:
    """Let the microphone give digital silence, as one that is muted by a switch."""
    await rig.tone.stop()


async def sound_again(rig: Rig) -> None:
    """Let the microphone hear something."""
    await rig.tone.start()


def freeze(stack: Stack) -> Hand:
    """SIGSTOP a program: it takes connections and answers nothing."""
    return _send(stack, signal.SIGSTOP)


def go_on(stack: Stack) -> Hand:
    """SIGCONT a program."""
    return _send(stack, signal.SIGCONT)


def start(stack: Stack) -> Hand:
    """Start a program again."""
    return stack.start


def _send(stack: Stack, number: signal.Signals) -> Hand:
    async def do(rig: Rig) -> None:
        os.kill(stack.pid(rig), number)

    return do


def camera(fault: str) -> Hand:
    """Break the camera as shim.c can; "" mends it."""

    async def do(rig: Rig) -> None:
        await asyncio.to_thread(rig.camera.fault, fault)

    return do


async def camera_off(rig: Rig) -> None:
    """Unplug the camera: its node goes."""
    await asyncio.to_thread(rig.camera.fault, "unplug")
    await asyncio.to_thread(rig.camera.node.unlink)


async def camera_on(rig: Rig) -> None:
    """Plug the camera in."""
    await asyncio.to_thread(rig.camera.fault, "")
    await asyncio.to_thread(rig.camera.node.touch)


def scanner(**faults: object) -> Hand:
    """Break the network scanner (see NetworkScanner), or mend it."""

    async def do(rig: Rig) -> None:
        for name, value in faults.items():
            assert hasattr(rig.scanner, name)
            setattr(rig.scanner, name, value)

    return do


async def scanner_hangs(rig: Rig) -> None:
    """Let the scanner answer nothing."""
    rig.scanner.hang()


async def scanner_goes_on(rig: Rig) -> None:
    """Let the scanner answer again."""
    rig.scanner.go_on()


async def scanner_off(rig: Rig) -> None:
    """Switch the scanner off."""
    await rig.scanner.switch_off()


async def scanner_on(rig: Rig) -> None:
    """Switch the scanner on."""
    await rig.scanner.switch_on()


def sane_says(status: str) -> Hand:
    """Put SANE's `test` backend in the scanner's place: each page ends with a status of SANE's.

    The scanner's next worker has it.
    """

    async def do(rig: Rig) -> None:
        write_sane_config(rig.folder / "sane", f"read-status-code {status}")

    return do


async def scanner_as_before(rig: Rig) -> None:
    """Put the network scanner back, for a new worker: the one that reported may have ended."""
    rig.scanner.configure()
    for worker in rig.workers("scanner"):
        worker.kill()


async def agent_crashes(rig: Rig) -> None:
    """Let the agent's browser crash."""
    await rig.agent.crash()


async def agent_back(rig: Rig) -> None:
    """The agent opens the page again."""
    await rig.agent.come_back()


def line(how: Line) -> Hand:
    """Change the line between kiosk and broker."""

    async def do(rig: Rig) -> None:
        await rig.relay.set(how)

    return do


def path(*, sent_lost: bool = False, received_lost: bool = False) -> Hand:
    """Let the call's datagrams be lost, on one way or on both; or mend that."""

    async def do(rig: Rig) -> None:
        rig.machine.set_path(sent_lost=sent_lost, received_lost=received_lost)

    return do


async def change_address(rig: Rig) -> None:
    """Let the kiosk get another address: nothing that is connected carries any more."""
    rig.machine.change_address()
    rig.relay.strand()


# -- limits of the machine -----------------------------------------------------------------


def _lowest_free_descriptor(pid: int) -> int:
    used = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in itertools.count() if number not in used)


def no_descriptors(rig_pid: Callable[[Rig], int], spare: int = 0) -> tuple[Hand, Hand]:
    """Let a process open no more files than `spare`; and lift that again."""
    kept: dict[int, tuple[int, int]] = {}

    async def take(rig: Rig) -> None:
        pid = rig_pid(rig)
        kept[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        # The limit is on the number of a new descriptor; those above it stay open.
        limit = _lowest_free_descriptor(pid) + spare
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, kept[pid][1]))

    async def give(rig: Rig) -> None:
        pid = rig_pid(rig)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, kept.pop(pid))

    return take, give


def little_memory(kind: str, spare: int = 8 << 20) -> Hand:
    """Let a device's worker have no more memory than it has now, and a little."""

    async def do(rig: Rig) -> None:
        worker = rig.worker(kind)
        has = worker.memory_info().vms
        resource.prlimit(worker.pid, resource.RLIMIT_AS, (has + spare, has + spare))

    return do


async def names_gone(rig: Rig) -> None:
    """No name is known any more, and the connection that stood is cut."""
    rig.machine.names(known=False)
    await rig.relay.set(Line.REFUSED)
    await rig.relay.set(Line.GOOD)


async def names_back(rig: Rig) -> None:
    """Names are known again."""
    rig.machine.names(known=True)


def clock(offset_s: float) -> Hand:
    """Let the daemon's clock jump."""

    async def do(rig: Rig) -> None:
        rig.machine.set_clock(offset_s)

    return do


async def clock_1970(rig: Rig) -> None:
    """Let the daemon's clock fall back to 1970, and stay there while it starts again."""
    rig.machine.set_clock_to_1970()


async def fill_journal(rig: Rig) -> None:
    """Let the journal hang, full."""
    os.kill(rig.machine.journal_pid, signal.SIGSTOP)
    rig.machine.fill_journal()


def fail(pid: Callable[[Rig], int], error: str, *calls: str) -> tuple[Hand, Hand]:
    """Let system calls of a process fail, through ptrace; and no longer."""
    tracer: list[asyncio.subprocess.Process] = []

    async def take(rig: Rig) -> None:
        names = ",".join(calls)
        process = await asyncio.create_subprocess_exec(
            *("strace", "-f", "-p", str(pid(rig)), "-e", f"trace={names}"),
            *("-e", f"inject={names}:error={error}"),
            stderr=asyncio.subprocess.PIPE,
        )
        tracer.append(process)
        assert process.stderr is not None
        while b"attached" not in await process.stderr.readline():
            assert process.returncode is None

    async def give(_: Rig) -> None:
        process = tracer.pop()
        with contextlib.suppress(ProcessLookupError):  # it ends with what it traces
            process.terminate()
        await process.communicate()

    return take, give


async def fill_spool(rig: Rig) -> None:
    """Leave no room in the spool."""
    filler = rig.machine.spool / "filler"
    with filler.open("wb", buffering=0) as file:
        block = bytes(1 << 20)
        try:
            while True:
                file.write(block)
        except OSError:
            return


async def empty_spool(rig: Rig) -> None:
    """Give the room back."""
    (rig.machine.spool / "filler").unlink(missing_ok=True)
