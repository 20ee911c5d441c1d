"""Runs inside the sandbox of kioskd.service (ExecStartPost=) and says what it can do there."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path


def can(act: Callable[[], object]) -> bool:
    try:
        act()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def touch(folder: str) -> bool:
    return can((Path(folder) / "probe").touch)


def run(*command: str) -> bool:
    return can(lambda: subprocess.run(command, check=True, capture_output=True))


def opens(family: int, kind: int = socket.SOCK_STREAM) -> bool:
    return can(lambda: socket.socket(family, kind).close())


def vets() -> int:
    """Return the pages of a document that the worker makes pictures of."""
    import cv2
    import numpy as np

    from kioskd.documents.assembly import assemble
    from kioskd.documents.vetting import Vetter

    with tempfile.TemporaryDirectory(dir="/run/kioskd") as name:
        picture, document = Path(name) / "page.jpg", Path(name) / "page.pdf"
        picture.write_bytes(cv2.imencode(".jpg", np.full((800, 600), 200, np.uint8))[1].tobytes())
        document.write_bytes(assemble([picture]))
        return len(asyncio.run(Vetter().vet(document, Path(name))).pages)


def main() -> None:
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines()
    )
    found = {
        "uid": os.getuid(),
        "capabilities": int(status["CapBnd"], 16) | int(status["CapEff"], 16),
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "seccomp": status["Seccomp"].strip(),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "writes": [
            one
            for one in ("/", "/etc", "/usr", "/opt", "/etc/kioskd", "/dev/shm", "/var/log", "/boot")
            if touch(one)
        ],
        "keeps": [
            one
            for one in ("/run/kioskd", "/run/kioskd-screen", "/var/lib/kioskd", "/tmp")
            if touch(one)
        ],
        "homes": can(lambda: list(Path("/root").iterdir())),
        "others": sorted(one.name for one in Path("/proc").iterdir() if one.name == "1"),
        "packet_socket": opens(socket.AF_PACKET, socket.SOCK_RAW),
        "vsock": opens(socket.AF_VSOCK),
        "internet": opens(socket.AF_INET),
        "mounts": run("mount", "-t", "tmpfs", "none", "/tmp"),
        "mount_namespace": run("unshare", "--user", "--mount", "true"),
        "kernel_log": can(lambda: Path("/dev/kmsg").open("rb").close()),
        "sysctl": can(lambda: Path("/proc/sys/kernel/core_pattern").write_text("core")),
        "entry": Path("/run/kioskd-screen/kiosk.html").exists(),
        "vetted": vets(),
    }
    print("PROBE " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
