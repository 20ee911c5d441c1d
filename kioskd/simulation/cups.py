"""A private CUPS with an IPP Everywhere printer, without any hardware."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from kioskd.errors import DeviceError, Reason
from kioskd.runtime.children import Child
from kioskd.simulation.broker import free_port
from kioskd.simulation.ipp_printer import Fault, IppPrinter

START_S: Final = 20.0
POLL_S: Final = 0.05
Program: TypeAlias = Literal["cupsd", "ippeveprinter"]

_DBUS: Final = """<busconfig><type>system</type><listen>unix:path={folder}/dbus</listen>
<auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow own="*"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
"""
_FILES: Final = """ServerRoot {folder}/etc
ServerBin /usr/lib/cups
DataDir /usr/share/cups
StateDir {folder}/run
CacheDir {folder}/cache
RequestRoot {folder}/spool
TempDir {folder}/spool/tmp
ServerKeychain {folder}/etc/ssl
AccessLog {folder}/log/access
ErrorLog {folder}/log/error
PageLog {folder}/log/page
FatalErrors config
Printcap
SystemGroup {group}
"""
_CUPSD: Final = """LogLevel warn
MaxLogSize 0
Listen 127.0.0.1:{port}
Browsing No
BrowseLocalProtocols none
WebInterface No
DefaultAuthType None
PreserveJobHistory No
DirtyCleanInterval 0
PreserveJobFiles No
IdleExitTimeout 0
JobRetryInterval 1
ErrorPolicy abort-job
<Location />
  Order allow,deny
  Allow localhost
</Location>
<Location /admin>
  Order allow,deny
  Allow localhost
</Location>
<Policy default>
  JobPrivateAccess all
  JobPrivateValues none
  SubscriptionPrivateAccess all
  SubscriptionPrivateValues none
  <Limit All>
    Order allow,deny
    Allow localhost
  </Limit>
</Policy>
"""


class PrivateCups:
    """D-Bus, ippeveprinter and cupsd in `folder`, which exists and is empty.

    `server` and `queue` are for the driver; `printed` is the folder where the printer
    leaves what came out, as N.pdf. The faults of `fault` can also be written by anybody into
    `folder`/fault: see IppPrinter for the words. Use as a context manager; raises DeviceError
    NO_ANSWER when it does not come up.
    """

    queue: Final = "kiosk"

    def __init__(self, folder: Path) -> None:
        self.printed = folder / "printed"
        self._folder = folder
        self._port, self._printer_port = free_port(), free_port()
        self._printer = IppPrinter(folder, self._printer_port)
        self._bus: Child | None = None
        self._cupsd: Child | None = None
        self._orphans: dict[int, str] = {}

    @property
    def server(self) -> str:
        """The address of cupsd, host:port."""
        return f"127.0.0.1:{self._port}"

    @property
    def printer_uri(self) -> str:
        """The printer's own address."""
        return f"ipp://localhost:{self._printer_port}/ipp/print"

    def pid(self, name: Program) -> int:
        """Return the process id of one of the two, while it runs."""
        return self._child(name).pid

    async def fault(self, fault: Fault | None, after_pages: int = 0) -> None:
        """Let the printer have this fault and no other, once so many pages of a job are out."""
        text = "" if fault is None else f"{fault} {after_pages}"
        await self._printer.fault(text)

    async def kill(
        self,
        name: Program,
        number: signal.Signals = signal.SIGKILL,
        *,
        with_backends: bool = False,
    ) -> None:
        """Send a signal that ends it, and wait for its end.

        A cupsd that is killed leaves its backend behind, which goes on; `with_backends` ends
        these too, as systemd does (KillMode=control-group, its default).
        """
        child = self._child(name)
        if name == "cupsd":
            self._orphans |= await asyncio.to_thread(_children_of, child.pid)
        os.kill(child.pid, number)
        async with asyncio.timeout(START_S):
            await child.exited.wait()
        if with_backends:
            await asyncio.to_thread(_end_orphans, self._orphans)
        if name == "ippeveprinter":
            await self.stop_printer()

    def freeze(self, name: Program) -> None:
        """Stop the process where it is (SIGSTOP)."""
        os.kill(self._child(name).pid, signal.SIGSTOP)

    def thaw(self, name: Program) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self._child(name).pid, signal.SIGCONT)

    async def start_printer(self) -> None:
        """Switch the printer on, at its old address."""
        await self._printer.start()
        await self._listens(self._printer_port, self._printer.child)

    async def stop_printer(self) -> None:
        """Switch the printer off."""
        await self._printer.stop()

    async def start_cupsd(self) -> None:
        """Start cupsd, at its old address, with what its folders hold."""
        self._cupsd = Child(
            "cupsd",
            [
                shutil.which("cupsd", path="/usr/sbin") or "cupsd",
                *("-f", "-c", self._folder / "cupsd.conf", "-s", self._folder / "files.conf"),
            ],
        )
        await self._cupsd.start()
        await self._listens(self._port, self._cupsd)

    async def administer(self, command: str, *arguments: str) -> None:
        """Run one of CUPS's commands (cupsdisable, cupsreject, lpadmin...) on this cupsd."""
        await self._run(command, "-h", self.server, *arguments)

    def _child(self, name: Program) -> Child:
        child = self._cupsd if name == "cupsd" else self._printer.child
        assert child is not None
        return child

    async def start(self) -> None:
        """Start all programs and make the queue; returns when it can be printed to."""
        try:
            await self._start()
        except BaseException:
            await asyncio.shield(self.stop())
            raise

    async def stop(self) -> None:
        """Stop all programs, the last started first."""
        if self._cupsd is not None:
            await self._cupsd.stop()
        await asyncio.to_thread(_end_orphans, self._orphans)
        await self._printer.stop()
        if self._bus is not None:
            await self._bus.stop()

    async def _start(self) -> None:
        await asyncio.to_thread(self._write)
        self._bus = Child(
            "dbus-daemon",
            ["dbus-daemon", f"--config-file={self._folder}/dbus.conf", "--nofork", "--nopidfile"],
        )
        await self._bus.start()
        await self._until((self._folder / "dbus").exists, self._bus)
        await self.start_printer()
        await self.start_cupsd()
        await self._add_queue()

    def _write(self) -> None:
        folder = self._folder
        folder.chmod(0o711)  # cupsd's filters run as another user when we are root
        for name in ("etc/ssl", "etc/ppd", "run/certs", "spool/tmp", "cache", "log"):
            (folder / name).mkdir(parents=True)
        self._printer.write()
        group = grp.getgrgid(os.getegid()).gr_name
        files = _FILES.format(folder=folder, group=group)
        if os.geteuid() == 0:
            files += "User lp\nGroup lp\n"
            lp = pwd.getpwnam("lp")
            for name in ("spool", "spool/tmp", "cache", "run", "run/certs", "log"):
                os.chown(folder / name, lp.pw_uid, lp.pw_gid)
        (folder / "files.conf").write_text(files)
        (folder / "cupsd.conf").write_text(_CUPSD.format(port=self._port))
        (folder / "dbus.conf").write_text(_DBUS.format(folder=folder))

    async def _add_queue(self) -> None:
        await self._run(
            *("lpadmin", "-h", self.server, "-p", self.queue, "-E", "-m", "everywhere"),
            *("-v", self.printer_uri),
        )
        deadline = time.monotonic() + START_S
        # lpadmin returns before cupsd has asked the printer: a job sent now is aborted.
        while "IPP Everywhere" not in await self._run(
            "lpoptions", "-h", self.server, "-p", self.queue
        ):
            self._insist(deadline, self._child("cupsd"))
            await asyncio.sleep(POLL_S)

    async def _run(self, *command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            text = output.decode(errors="replace").strip()
            raise DeviceError(Reason.NO_ANSWER, f"{command[0]}: {text}")
        return output.decode(errors="replace")

    async def _listens(self, port: int, child: Child) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                self._insist(deadline, child)
                await asyncio.sleep(POLL_S)
            else:
                writer.close()
                await writer.wait_closed()
                return

    async def _until(self, true: Callable[[], bool], child: Child) -> None:
        deadline = time.monotonic() + START_S
        while not true():
            self._insist(deadline, child)
            await asyncio.sleep(POLL_S)

    def _insist(self, deadline: float, child: Child) -> None:
        if child.exited.is_set() or time.monotonic() > deadline:
            raise DeviceError(Reason.NO_ANSWER, f"{child.name} does not come up")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def _children_of(pid: int) -> dict[int, str]:
    """Return the processes that `pid` started, each with its start time (proc(5), stat)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(one): _started(int(one)) for one in children}


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _end_orphans(orphans: dict[int, str]) -> None:
    for pid, started in orphans.items():
        if started and _started(pid) == started:
            os.kill(pid, signal.SIGKILL)
