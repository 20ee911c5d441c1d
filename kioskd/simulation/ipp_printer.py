"""An IPP Everywhere printer without hardware: CUPS's ippeveprinter, with faults."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from pathlib import Path
from typing import Final, Literal, TypeAlias

from kioskd.runtime.children import Child
from kioskd.runtime.tasks import TaskOwner

Fault: TypeAlias = Literal["paper-out", "jam", "cover-open", "ink-low", "ink-out", "paused"]
USER: Final = "simulation"
LOOK_S: Final = 0.1
TELL_S: Final = 2.0

_COMMAND: Final = """#!/bin/sh
# ippeveprinter calls this for each job; STATE lines change the printer's reasons. It lets
# a cancelled job go on: a printer would stop, so this asks.
cd "{folder}" || exit 1
job=$(basename "$1"); name=${{job#*-}}; job=${{job%%-*}}
page=0
words() {{
  set -- $(cat fault)
  case "$1" in
    # With media-empty ippeveprinter runs no command, and a new job takes media-needed away.
    paper-out) echo media-needed,input-tray-missing ;;
    jam) echo media-jam ;;
    cover-open) echo cover-open ;;
    ink-low) echo marker-supply-low ;;
    ink-out) echo marker-supply-empty ;;
    paused) echo paused ;;
  esac
}}
# "jam 1" is a jam after the first page.
due() {{ set -- $(cat fault); [ -n "$1" ] && [ "$page" -ge "${{2:-0}}" ]; }}
tell() {{
  now=; ! due || now=$(words); was=$(cat told)
  [ "$now" != "$was" ] || return 0
  [ -z "$was" ] || echo "STATE: -$was" >&2
  [ -z "$now" ] || echo "STATE: +$now" >&2
  echo "$now" > told
}}
# Power that fails takes this with it.
cancelled() {{
  kill -0 "$PPID" 2>/dev/null || exit 1
  ipptool -tv -d "job=$job" ipp://localhost:{port}/ipp/print job.test |
    grep -q processing-to-stop-point
}}
held() {{ tell; case "$(cat told)" in ''|marker-supply-low) return 1 ;; esac; }}
if [ "${{name%.*}}" = "{fault_job}" ]; then
  # Whatever was said before: the last lines of a job's command may go unread.
  rm "$1"; now=; ! due || now=$(words)
  echo "STATE: ${{now:-none}}" >&2; echo "$now" > told; sleep 0.1; exit
fi
echo > told # a new job takes media-needed away
pages=$(pdfinfo "$1" 2>/dev/null | sed -n 's/^Pages: *//p')
while [ "$page" -lt "${{pages:-1}}" ]; do
  while held; do cancelled && break 2; sleep 0.1; done
  page=$((page + 1))
  echo "ATTR: job-impressions-completed=$page" >&2
  echo "$job $page" >> printed/pages
done
held
if ! cancelled; then
  cp "$1" "printed/$job.part"
  mv "printed/$job.part" "printed/$job.pdf"
fi
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
_FAULT_JOB: Final = "fault"
_FAULT_TEST: Final = f"""{{
OPERATION Print-Job
GROUP operation-attributes-tag
ATTR charset attributes-charset utf-8
ATTR language attributes-natural-language en
ATTR uri printer-uri $uri
ATTR name requesting-user-name {USER}
ATTR name job-name {_FAULT_JOB}
ATTR mimeMediaType document-format application/pdf
FILE fault.test
STATUS successful-ok
}}
{{
OPERATION Get-Job-Attributes
DELAY 0,0.05
GROUP operation-attributes-tag
ATTR charset attributes-charset utf-8
ATTR language attributes-natural-language en
ATTR uri printer-uri $uri
ATTR integer job-id $job-id
ATTR keyword requested-attributes job-state
STATUS successful-ok
EXPECT job-state OF-TYPE enum WITH-VALUE >6 REPEAT-NO-MATCH REPEAT-LIMIT 40
}}
"""
"""To its end: a job of CUPS that comes before it is turned away, and comes again 10 s later."""


class IppPrinter:
    """`ippeveprinter` in `folder`, with D-Bus at `folder`/dbus.

    Its faults come from the file `folder`/fault, which anybody may write while it runs:
    one of `paper-out`, `jam`, `cover-open`, `ink-low`, `ink-out`, `paused`,
    or nothing for none; a number behind the word (`jam 1`) lets so many pages of a job out
    first. All but `ink-low` hold jobs up. The printer tells of them within a second,
    printing or not. `printed`/N.pdf is what came out as its job N, `printed`/pages has a line
    "N page" for each sheet.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._child: Child | None = None
        self._tasks = TaskOwner("printer")
        self._tried: str | None = None
        self._has_tried = asyncio.Event()

    @property
    def child(self) -> Child:
        """The program; only while it runs."""
        assert self._child is not None
        return self._child

    def write(self) -> None:
        """Write what the printer needs into its folder."""
        folder = self._folder
        (folder / "printed").mkdir()
        (folder / "device").mkdir()
        (folder / "fault").write_text("")
        (folder / "job.test").write_text(_JOB_TEST)
        (folder / "fault.test").write_text(_FAULT_TEST)
        command = folder / "command"
        command.write_text(_COMMAND.format(folder=folder, port=self._port, fault_job=_FAULT_JOB))
        command.chmod(command.stat().st_mode | stat.S_IXUSR)

    async def start(self) -> None:
        """Switch it on; it listens a moment later."""
        folder = self._folder
        await asyncio.to_thread((folder / "told").write_text, "")
        self._child = Child(
            "ippeveprinter",
            [
                "ippeveprinter",
                *("-r", "off", "-p", str(self._port), "-n", "localhost", "-2"),
                *("-s", "20,20", "-f", "application/pdf,image/pwg-raster,image/jpeg"),
                *("-d", folder / "device", "-k", "-c", folder / "command"),
                "Kiosk",
            ],
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/dbus"},
        )
        await self._child.start()
        self._tasks.start("faults", self._tell_faults())

    async def fault(self, words: str) -> None:
        """Write the file of faults; return once the printer tells of them, or is printing."""
        await asyncio.to_thread((self._folder / "fault").write_text, words)
        self._tried = None  # what was tried before may have been refused
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TELL_S):
                while self._child is not None and self._tried != words:
                    await self._has_tried.wait()
                    self._has_tried.clear()

    async def stop(self) -> None:
        """Switch it off."""
        await self._tasks.stop("faults")
        if self._child is not None:
            await self._child.stop()
            self._child = None

    async def _tell_faults(self) -> None:
        """Let the printer tell of a fault while it does not print.

        Its reasons are changed by what a job's command prints; a job that is printing looks
        itself, and while it does, this one is refused.
        """
        settled = ""
        while True:
            fault = await asyncio.to_thread((self._folder / "fault").read_text)
            if fault != settled and await self._run_fault_job():
                settled = fault
            self._tried = fault
            self._has_tried.set()
            await asyncio.sleep(LOOK_S)

    async def _run_fault_job(self) -> bool:
        process = await asyncio.create_subprocess_exec(
            *("ipptool", "-q", f"ipp://localhost:{self._port}/ipp/print", "fault.test"),
            cwd=self._folder,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            return await process.wait() == 0
        except BaseException:
            process.kill()
            await process.wait()
            raise
