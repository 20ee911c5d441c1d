"""A private CUPS with an IPP Everywhere printer, without any hardware."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Self

from kioskd.errors import DeviceError, Reason
from kioskd.runtime.children import Child
from kioskd.simulation.broker import free_port

START_S: Final = 20.0
POLL_S: Final = 0.05
Fault = Literal["paper-out", "jam"]
_KEYWORDS: Final = {"paper-out": "media-empty-error,media-needed", "jam": "media-jam-error"}

_DBUS: Final = """<busconfig><type>system</type><listen>unix:path={folder}/dbus</listen>
<auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow own="*"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
"""
_COMMAND: Final = """#!/bin/sh
# ippeveprinter calls this for each job; STATE lines change the printer's reasons. It lets
# a cancelled job go on: a printer would stop, so this asks.
job=$(basename "$1"); job=${{job%%-*}}
cancelled() {{
  ipptool -tv -d "job=$job" ipp://localhost:{port}/ipp/print "{folder}/job.test" |
    grep -q processing-to-stop-point
}}
was=
while [ -s "{folder}/fault" ]; do
  now=$(cat "{folder}/fault")
  [ "$now" = "$was" ] || echo "STATE: +$now" >&2
  was=$now
  cancelled && break
  sleep 0.1
done
[ -z "$was" ] || echo "STATE: -$was" >&2
cancelled || cp "$1" "{folder}/printed/$job.part"
[ ! -e "{folder}/printed/$job.part" ] || mv "{folder}/printed/$job.part" "{folder}/printed/$job.pdf"
rm "$1"
"""
_JOB_TEST: Final = """{
OPERATION Get-Job-Attributes
GROUP operation-attributes-tag
ATTR charset attributes-charset utf-8
ATTR language attributes-natural-language en
ATTR uri printer-uri $uri
ATTR integer job-id $job
ATTR keyword requested-attributes job-state-reasons
STATUS successful-ok
}
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
PreserveJobHistory Yes
PreserveJobFiles No
IdleExitTimeout 0
JobRetryInterval 1
ErrorPolicy retry-job
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
    leaves what came out, as PDF. Use as a context manager; raises DeviceError NO_ANSWER
    when it does not come up.
    """

    queue: Final = "kiosk"

    def __init__(self, folder: Path) -> None:
        self.printed = folder / "printed"
        self._folder = folder
        self._port = 0
        self._printer_port = 0
        self._children: dict[str, Child] = {}

    @property
    def server(self) -> str:
        """The address of cupsd, host:port."""
        return f"127.0.0.1:{self._port}"

    def pid(self, name: Literal["cupsd", "ippeveprinter"]) -> int:
        """Return the process id of one of the two."""
        return self._children[name].pid

    async def fault(self, fault: Fault | None) -> None:
        """Hold the printer up at its next page, or help it."""
        text = "" if fault is None else _KEYWORDS[fault]
        await asyncio.to_thread((self._folder / "fault").write_text, text)

    async def start_printer(self) -> None:
        """Switch the printer on."""
        environment = {
            **os.environ,
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self._folder}/dbus",
        }
        child = Child(
            "ippeveprinter",
            [
                "ippeveprinter",
                *("-r", "off", "-p", str(self._printer_port), "-n", "localhost", "-2"),
                *("-s", "20,20", "-f", "application/pdf,image/pwg-raster,image/jpeg"),
                *("-d", self._folder / "device", "-k", "-c", self._folder / "command"),
                "Kiosk",
            ],
            env=environment,
        )
        self._children["ippeveprinter"] = child
        await child.start()
        await self._listens(self._printer_port, child)

    async def stop_printer(self) -> None:
        """Switch the printer off."""
        await self._children.pop("ippeveprinter").stop()

    async def start(self) -> None:
        """Start all programs and make the queue; returns when it can be printed to."""
        try:
            await self._start()
        except BaseException:
            await asyncio.shield(self.stop())
            raise

    async def stop(self) -> None:
        """Stop all programs, the last started first."""
        while self._children:
            _, child = self._children.popitem()
            await child.stop()

    async def _start(self) -> None:
        self._port, self._printer_port = free_port(), free_port()
        await asyncio.to_thread(self._write)
        bus = Child(
            "dbus-daemon",
            ["dbus-daemon", f"--config-file={self._folder}/dbus.conf", "--nofork", "--nopidfile"],
        )
        self._children["dbus"] = bus
        await bus.start()
        await self._until((self._folder / "dbus").exists, bus)
        await self.start_printer()
        cupsd = Child(
            "cupsd",
            [
                shutil.which("cupsd", path="/usr/sbin") or "cupsd",
                *("-f", "-c", self._folder / "cupsd.conf", "-s", self._folder / "files.conf"),
            ],
        )
        self._children["cupsd"] = cupsd
        await cupsd.start()
        await self._listens(self._port, cupsd)
        await self._add_queue(cupsd)

    def _write(self) -> None:
        folder = self._folder
        folder.chmod(0o711)  # cupsd's filters run as another user when we are root
        for name in ("etc/ssl", "etc/ppd", "run/certs", "spool/tmp", "cache", "log", "device"):
            (folder / name).mkdir(parents=True)
        self.printed.mkdir()
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
        (folder / "fault").write_text("")
        command = folder / "command"
        command.write_text(_COMMAND.format(folder=folder, port=self._printer_port))
        (folder / "job.test").write_text(_JOB_TEST)
        command.chmod(command.stat().st_mode | stat.S_IXUSR)

    async def _add_queue(self, cupsd: Child) -> None:
        await self._run(
            *("lpadmin", "-h", self.server, "-p", self.queue, "-E", "-m", "everywhere"),
            *("-v", f"ipp://localhost:{self._printer_port}/ipp/print"),
        )
        deadline = time.monotonic() + START_S
        # lpadmin returns before cupsd has asked the printer: a job sent now is aborted.
        while "IPP Everywhere" not in await self._run(
            "lpoptions", "-h", self.server, "-p", self.queue
        ):
            self._insist(deadline, cupsd)
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
