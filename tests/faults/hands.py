"""Hands that break something in the rig, and mend it; and eyes that see what must be seen."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psutil

from kioskd.errors import DocumentFault, Reason
from kioskd.hal.device import DeviceKind, DeviceState
from kioskd.visit.words import PrintStage, ScanStage, Scene
from tests.e2e import stage
from tests.faults.relay import Line
from tests.faults.rig import Rig

Hand = Callable[[Rig], Awaitable[None]]


@dataclass(frozen=True)
class Sight:
    """Something to be seen, in words and as a question."""

    what: str
    true: Callable[[Rig], bool]


async def nothing(_: Rig) -> None:
    """Do nothing: it heals by itself, or nothing need be prepared."""


def both(*hands: Hand) -> Hand:
    """Do one after the other."""

    async def do(rig: Rig) -> None:
        for hand in hands:
            await hand(rig)

    return do


# -- what is seen ------------------------------------------------------------------------


def device(kind: DeviceKind, state: DeviceState, *reasons: Reason) -> Sight:
    """The device's state in the daemon's status; any of the reasons will do."""
    words = f"{kind} {state}" + (f" ({' or '.join(reasons)})" if reasons else "")
    return Sight(
        words,
        lambda rig: (
            rig.device(kind).state is state and (not reasons or rig.device(kind).reason in reasons)
        ),
    )


def scan(stage_: ScanStage, *reasons: Reason | DocumentFault, pages: int | None = None) -> Sight:
    """What the resident sees of the scan."""

    def true(rig: Rig) -> bool:
        seen = rig.resident.view.scan if rig.resident.view else None
        return (
            seen is not None
            and seen.stage is stage_
            and (not reasons or seen.reason in reasons)
            and (pages is None or len(seen.pages) == pages)
        )

    kept = "" if pages is None else f", {pages} pages kept"
    why = f" ({' or '.join(reasons)})" if reasons else ""
    return Sight(f"scan {stage_}{why}{kept}", true)


def paper(stage_: PrintStage, *reasons: Reason | DocumentFault) -> Sight:
    """What the resident sees of the agent's document."""

    def true(rig: Rig) -> bool:
        seen = rig.resident.view.print if rig.resident.view else None
        told = seen is not None and (not reasons or bool(set(seen.reasons) & set(reasons)))
        return seen is not None and seen.stage is stage_ and told

    why = f" ({' or '.join(reasons)})" if reasons else ""
    return Sight(f"print {stage_}{why}", true)


def scene(*scenes: Scene) -> Sight:
    """Where the visit is."""
    return Sight(
        f"the visit is {' or '.join(scenes)}",
        lambda rig: rig.resident.view is not None and rig.resident.view.scene in scenes,
    )


HEALTHY = Sight(
    "all well",
    lambda rig: (
        rig.status is not None
        and rig.status.broker_online
        and all(one.state in (DeviceState.READY, DeviceState.BUSY) for one in rig.status.devices)
    ),
)
OFFLINE = Sight(
    "no broker, told on the screen",
    lambda rig: rig.resident.view is not None and not rig.resident.view.online,
)
NOT_TOUCHED = Sight("nothing: all well", HEALTHY.true)


# -- processes ---------------------------------------------------------------------------


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


def other_worker(kind: str) -> Callable[[Rig], Sight]:
    """A worker in place of the one that is there now."""

    def now(rig: Rig) -> Sight:
        before = rig.worker(kind).pid

        def true(rig: Rig) -> bool:
            found = rig.workers(kind)
            return bool(found) and found[0].pid != before

        return Sight(f"another {kind} worker", true)

    return now


@dataclass(frozen=True)
class Stack:
    """A program beside the daemon, and how the rig starts it again after it was killed."""

    name: str
    pid: Callable[[Rig], int]
    start: Callable[[Rig], Awaitable[None]]


async def _restart_cups(rig: Rig, name: Literal["cupsd", "ippeveprinter"]) -> None:
    assert name == "ippeveprinter"
    await rig.cups.stop_printer()
    await rig.cups.start_printer()


def _cups(name: Literal["cupsd", "ippeveprinter"]) -> Stack:
    return Stack(name, lambda rig: rig.cups.pid(name), lambda rig: _restart_cups(rig, name))


async def _restart_broker(rig: Rig) -> None:
    await rig.broker.stop()
    await rig.broker.start()


CUPSD: Final = _cups("cupsd")
IPP_PRINTER: Final = _cups("ippeveprinter")
MOSQUITTO: Final = Stack("mosquitto", lambda rig: rig.broker.pid, _restart_broker)


def kill(stack: Stack) -> Hand:
    """SIGKILL a program."""
    return _send(stack, signal.SIGKILL)


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


def line(how: Line) -> Hand:
    """Change the line between kiosk and broker."""

    async def do(rig: Rig) -> None:
        await rig.relay.set(how)

    return do


# -- limits of the machine -----------------------------------------------------------------


def _highest_descriptor(pid: int) -> int:
    return max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir())


def no_descriptors(rig_pid: Callable[[Rig], int]) -> tuple[Hand, Hand]:
    """Let a process open no more files; and lift that again."""
    kept: dict[int, tuple[int, int]] = {}

    async def take(rig: Rig) -> None:
        pid = rig_pid(rig)
        kept[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        highest = _highest_descriptor(pid)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, kept[pid][1]))

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


async def fill_spool(rig: Rig) -> None:
    """Leave no room in the spool."""
    filler = rig.folder / "spool" / "filler"
    with filler.open("wb", buffering=0) as file:
        block = bytes(1 << 20)
        try:
            while True:
                file.write(block)
        except OSError:
            return


async def empty_spool(rig: Rig) -> None:
    """Give the room back."""
    (rig.folder / "spool" / "filler").unlink(missing_ok=True)


# -- the visit -------------------------------------------------------------------------------


async def talking(rig: Rig) -> None:
    """Have a call up."""
    await rig.call()


async def idle(rig: Rig) -> None:
    """Have nobody at the kiosk."""
    await rig.idle()


async def waiting(rig: Rig) -> None:
    """Have a resident wait for an agent."""
    await rig.wait_in_line()


async def asked_to_scan(rig: Rig) -> None:
    """The agent asks for a paper; the resident has not answered."""
    await rig.call()
    await close_papers(rig)
    await rig.agent.ask_scan()
    await until_seen(rig, scan(ScanStage.ASKING))


async def scan_page(rig: Rig) -> None:
    """Scan one paper into the preview."""
    await asked_to_scan(rig)
    await rig.resident.press("scan-start")
    await until_seen(rig, scan(ScanStage.PREVIEW))


async def scan_again(rig: Rig) -> None:
    """Press Scan again: the scanner works, and what was kept is still there."""
    before = rig.resident.view.scan if rig.resident.view else None
    kept = len(before.pages) if before else 0
    await rig.resident.press("scan-start")
    await until_seen(rig, scan(ScanStage.PREVIEW))
    after = rig.resident.view.scan if rig.resident.view else None
    assert after is not None
    assert len(after.pages) > kept


async def send_pages(rig: Rig) -> None:
    """Press Send: what was kept arrives at the agent."""
    await rig.resident.press("scan-send")
    await until_seen(rig, scan(ScanStage.SENT))


async def asked_to_print(rig: Rig) -> None:
    """The agent's document lies before the resident, who has not agreed yet."""
    await rig.call()
    await close_papers(rig)
    letter = rig.folder / "letter.pdf"
    stage.make_pdf(letter, ["UN", "DEUX"])
    await rig.agent.send(letter)
    await until_seen(rig, paper(PrintStage.ASKING))


async def print_again(rig: Rig) -> None:
    """Print one document, to its end."""
    before = rig.printed()
    await asked_to_print(rig)
    await rig.resident.press("print-accept")
    await until_seen(rig, paper(PrintStage.PRINTED))
    assert rig.printed() == before + 1


async def close_papers(rig: Rig) -> None:
    """Take away what lies on the screen."""
    view = rig.resident.view
    assert view is not None
    if view.scan is not None:
        over = view.scan.stage.over
        await rig.resident.press("scan-close" if over else "scan-decline")
        if not over:
            await rig.resident.until("scan over", lambda v: v.scan is None or v.scan.stage.over)
            await rig.resident.press("scan-close")
    if view.print is not None:
        over = view.print.stage.over
        await rig.resident.press("print-close" if over else "print-decline")
        if not over:
            await rig.resident.until("print over", lambda v: v.print is None or v.print.stage.over)
            await rig.resident.press("print-close")
    await rig.resident.until("no papers", lambda view: view.scan is None and view.print is None)


async def until_seen(rig: Rig, sight: Sight, seconds: float = 30) -> None:
    """Wait for something to be seen."""
    await rig.until(sight.what, sight.true, seconds)


def press(action: str) -> Hand:
    """Let the resident press something."""

    async def do(rig: Rig) -> None:
        await rig.resident.press(action)

    return do


async def new_call(rig: Rig) -> None:
    """A new visit works, after whatever became of the last."""
    await rig.idle()
    await rig.call()


def children(pid: int) -> list[psutil.Process]:
    """Return all that a process has started and that still lives."""
    return psutil.Process(pid).children(recursive=True)


async def settle(seconds: float = 0.3) -> None:
    """Give something that must NOT happen the time to happen."""
    await asyncio.sleep(seconds)
