"""Process 1 of namespaces of its own: a real journald, some lines of a unit, kioskctl over them.

Arguments: a file to leave kioskctl's answers in. As process 1 it may tell journald of which unit
a line is (systemd.journal-fields(7), UNIT=), as systemd does.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

JOURNALD = "/lib/systemd/systemd-journald"
SOCKET = Path("/run/systemd/journal/socket")
LINES: list[dict[str, object]] = [
    {"level": "info", "event": "kioskd.ready", "after_s": 1.2},
    {"level": "warning", "event": "device.state", "device": "printer", "reason": "paper-jam"},
    {"level": "error", "event": "watchdog.stuck", "what": "device panel"},
]


def tell(message: str, unit: str = "kioskd.service") -> None:
    """Write one line, in journald's own protocol."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.connect(str(SOCKET))
        one.send(f"MESSAGE={message}\nPRIORITY=6\nUNIT={unit}\n".encode())


def kioskctl(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kioskd.cli", *arguments, "--socket", "/run/none.sock"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main(answers: Path) -> None:
    assert os.getpid() == 1
    Path("/run/systemd/journal").mkdir(parents=True)
    Path("/run/log/journal").mkdir(parents=True)
    journald = subprocess.Popen([JOURNALD])
    while not SOCKET.exists():
        time.sleep(0.05)
    for line in LINES:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        tell(json.dumps({**line, "timestamp": stamp}))
    tell("somebody else's", unit="other.service")
    tell("Started kioskd.service.")
    subprocess.run(["journalctl", "--sync"], check=False)
    all_ = kioskctl("logs", "--json").communicate(timeout=60)[0]
    warned = kioskctl("logs", "--json", "--device", "printer", "--since", "1h")
    follow = kioskctl("logs", "--json", "--follow", "-n", "1")
    assert follow.stdout is not None
    first = follow.stdout.readline()
    tell(json.dumps({"level": "info", "event": "came.later"}))
    second = follow.stdout.readline()
    follow.terminate()
    told = {
        "all": all_,
        "printer": warned.communicate(timeout=60)[0],
        "followed": first + second,
    }
    answers.write_text(json.dumps(told))
    journald.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
