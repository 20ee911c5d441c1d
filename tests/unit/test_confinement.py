"""What a vetting worker that was taken over can do, tried from inside it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from kioskd.runtime.worker import Json, Worker

DENIED = "PermissionError"


async def test_a_worker_that_was_taken_over_gets_nowhere(tmp_path: Path) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    for folder in (ours, others):
        folder.mkdir()
        (folder / "page").write_bytes(b"of a visit")
    source = tmp_path / "in.pdf"
    source.write_bytes(b"%PDF")
    events: list[Json] = []
    worker = Worker(
        "prisoner",
        "tests.unit.prisoner:Prisoner",
        {"source": str(source), "folder": str(ours)},
        on_event=events.append,
    )
    with socket.create_server(("127.0.0.1", 0)) as net, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "socket"))
        local.listen()
        tried = {
            ("connect", f"127.0.0.1:{net.getsockname()[1]}"): DENIED,
            ("unix", str(tmp_path / "socket")): DENIED,
            ("execute", "/bin/true"): DENIED,
            ("execute here", "/bin/true"): DENIED,
            ("fork", ""): DENIED,
            ("trace", str(os.getpid())): DENIED,
            ("kill", str(os.getpid())): DENIED,
            ("read", str(others / "page")): DENIED,
            ("read", "/etc/passwd"): DENIED,
            ("read", f"/proc/{os.getpid()}/environ"): DENIED,
            ("read", "/proc/self/environ"): DENIED,
            ("write", "/etc/passwd"): DENIED,
            ("write", str(others / "new")): DENIED,
            ("write", str(source)): DENIED,
            ("write", __file__): DENIED,
            ("list", str(tmp_path)): DENIED,
            ("list", "/"): DENIED,
            # What it needs it can do, so that the rest was not refused for another reason.
            ("read", str(source)): "did it",
            ("write", str(ours / "new")): "did it",
            ("read", str(ours / "page")): "did it",
            ("thread", ""): "did it",
        }
        try:
            seen = {
                one: await worker.call("attempt", timeout=20, what=one[0], argument=one[1])
                for one in tried
            }
        finally:
            await worker.stop()
    assert events == [{"unconfined": []}]
    assert seen == tried
