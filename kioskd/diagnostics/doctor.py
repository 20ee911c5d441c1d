"""The examination of a kiosk: works with the daemon, the broker or the network dead."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kioskd.diagnostics import daemon, machine, network, stacks
from kioskd.diagnostics.board import ALL_S, Board, LeftOut, Look, in_thread
from kioskd.diagnostics.daemon import Daemon
from kioskd.diagnostics.findings import Found, Trouble, trouble
from kioskd.hal.device import Device
from kioskd.runtime import maintenance
from kioskd.signalling.link import BrokerAddress

PORT_S: Final = 1.0
END_S: Final = 0.5
HTTP: Final = ("http", "https")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined. Without a configuration only `control` and the machine can be.

    `known` are findings made before, `files` were written in the past, `print_server` is None
    where nothing is printed through CUPS, `devices` makes new ones, of this process.
    """

    control: Path
    known: tuple[Found, ...] = ()
    kiosk: str | None = None
    broker: BrokerAddress | None = None
    certificate: Path | None = None
    screen_port: int = 0
    spool: Path | None = None
    state: Path | None = None
    sound: bool = False
    print_server: str | None = None
    devices: Callable[[], Sequence[Device]] = tuple
    files: tuple[Path, ...] = ()


@dataclass(slots=True)
class Examination:
    """What came of it. `whole` is false when something still hangs in this process."""

    board: Board = field(default_factory=Board)
    daemon: Daemon = field(default_factory=Daemon)
    systemd: dict[str, str] = field(default_factory=dict)
    whole: bool = True
    took_s: float = 0.0

    @property
    def found(self) -> list[Found]:
        """All findings, in no order."""
        return self.board.found


def examine(subject: Subject) -> Examination:
    """Look at everything. Takes ALL_S seconds at the most, whatever hangs.

    Raises what only an error of ours can.
    """
    one, started = Examination(), time.monotonic()
    one.board.found += subject.known
    errors: list[BaseException] = []
    done = threading.Event()

    async def work() -> None:
        try:
            await _examine(subject, one)
        except BaseException as error:  # noqa: BLE001  (it is raised below)
            errors.append(error)
        done.set()

    # A native library that blocks the loop must not block us, nor a name server that is asked
    # in a thread which asyncio waits for at its end: nobody waits for this one.
    thread = threading.Thread(target=lambda: asyncio.run(work()), daemon=True)
    thread.start()
    if not done.wait(ALL_S):
        one.board.give_up()
    thread.join(END_S)
    one.whole = not thread.is_alive()
    if errors:
        raise errors[0]
    one.board.found += stacks.usb_hub(one.found)
    one.took_s = time.monotonic() - started
    return one


async def _examine(subject: Subject, one: Examination) -> None:
    first: dict[str, Look] = {
        "daemon": functools.partial(_daemon, subject, one),
        "clock": functools.partial(_clock, subject),
        "swap": _swap,
        "confinement": lambda: in_thread(machine.confinement),
        "coding": lambda: in_thread(machine.coding),
    }
    if subject.spool is not None and subject.state is not None:
        first["spool"] = _blocking(machine.spool, subject.spool)
        first["disk"] = _blocking(machine.state, subject.state)
    if subject.certificate is not None:
        first["certificate"] = _blocking(network.own_certificate, subject.certificate)
    if subject.sound:
        first["sound server"] = stacks.sound_server
    if subject.print_server is not None:
        first["print system"] = functools.partial(stacks.print_system, subject.print_server)
        if not subject.print_server:  # this machine's own, whose settings are where Debian has them
            first["print files"] = lambda: in_thread(machine.print_files)
    await one.board.run(first)
    second: dict[str, Look] = {}
    if subject.broker is not None:
        second["broker"] = functools.partial(_broker, subject.broker, one.daemon)
    for device in subject.devices() if one.daemon.dead else ():
        second[device.kind.value] = functools.partial(stacks.device, device)
    if one.daemon.status is None and not one.daemon.dead:
        second["devices"] = _held
    await one.board.run(second)


def _blocking(look: Callable[[Path], list[Found]], path: Path) -> Look:
    return lambda: in_thread(lambda: look(path))


async def _daemon(subject: Subject, one: Examination) -> list[Found]:
    one.daemon, one.systemd = await asyncio.gather(daemon.ask(subject.control), daemon.systemd())
    found = [_with_systemd(each, one.systemd) for each in one.daemon.found]
    if one.daemon.dead and subject.screen_port and await _taken(subject.screen_port):
        found.append(trouble(Trouble.SCREEN_PORT, f"127.0.0.1:{subject.screen_port}"))
    if one.daemon.status is None and subject.state is not None:
        since = await in_thread(functools.partial(maintenance.load, subject.state))
        found += [] if since is None else [daemon.maintenance(since)]
    if one.daemon.pid is not None:
        found += daemon.core_dumps(one.daemon.pid)
    return found


def _with_systemd(found: Found, told: dict[str, str]) -> Found:
    if found.id != Trouble.DEAD or not told:
        return found
    state = f"{told.get('ActiveState')}/{told.get('SubState')}, {told.get('Result')}"
    restarts = f"{told.get('NRestarts')} restarts"
    return trouble(Trouble.DEAD, f"{found.detail}; systemd: {state}, {restarts}")


async def _taken(port: int) -> bool:
    try:
        async with asyncio.timeout(PORT_S):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


async def _clock(subject: Subject) -> list[Found]:
    urls = [f"{scheme}://{subject.broker.host}/" for scheme in HTTP] if subject.broker else []
    told = await network.clock_told_by(urls)
    return await in_thread(lambda: machine.clock(subject.files, told))


async def _swap() -> list[Found]:
    # systemd keeps the daemon out of it: no trouble then.
    kept_out = (await daemon.systemd()).get("MemorySwapMax") == "0"
    return [] if kept_out else await in_thread(machine.swap)


async def _held() -> list[Found]:
    raise LeftOut("kioskd holds them")


async def _broker(address: BrokerAddress, living: Daemon) -> list[Found]:
    status = living.status
    online = status is not None and status.broker_online
    if online and address.tls is None:
        return []
    # A daemon that tells nothing may be connected: a second login would throw it out.
    unknown = status is None and not living.dead
    found = await network.broker(address, say_hello=not (online or unknown))
    if not found and status is not None and not online:
        text = "it answers us; kioskd tries again within 30 s"
        return [trouble(Trouble.BROKER, f"{address.host}:{address.port}: {text}")]
    return found
