"""What the worker's boundary adds to a camera's picture: delay and CPU.

An emulated camera (tests/contract/v4l2) sends 1280x720 MJPEG at 30 pictures a second.
Ours is the driver as it is: decoded in a worker process, handed on through shared memory.
The peer decodes the same stream to the same I420 bytes in a thread of the same process,
without protection against a decoder or a kernel driver that hangs or crashes.
`build/bench/worker.json` has it.

    python -m bench.worker              measure all, print the table
    python -m bench.worker ours|peer    one run, as JSON; the camera is in the environment
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import av
import psutil
from av.video.reformatter import ColorRange
from rich.console import Console
from rich.table import Table

from drivers.camera import v4l2_worker
from drivers.camera.v4l2 import V4l2CameraConfig
from tests.contract import v4l2

WIDTH: Final = 1280
HEIGHT: Final = 720
WARM_UP: Final = 30
FRAMES: Final = 240
ROUNDS: Final = 5
OUT: Final = Path(__file__).parents[1] / "build" / "bench" / "worker.json"


def own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def all_cpu_s() -> float:
    """Return the CPU of this process and of its worker."""
    return own_cpu_s() + sum(sum(one.cpu_times()[:2]) for one in psutil.Process().children())


async def ours(device: Path) -> dict[str, float]:
    camera = V4l2CameraConfig(device=device, width=WIDTH, height=HEIGHT).build()
    delays: list[float] = []
    first, before = 0, 0.0
    async with camera:
        while len(delays) < FRAMES:
            frame = await camera.frame()
            if frame.number < WARM_UP:
                first, before = frame.number + 1, all_cpu_s()
                continue
            delays.append(time.monotonic() - frame.captured_at)
        cpu = all_cpu_s() - before
    return figures(delays, cpu, frame.number + 1 - first)


async def peer(device: Path) -> dict[str, float]:
    options = {"input_format": "mjpeg", "video_size": f"{WIDTH}x{HEIGHT}", "framerate": "30"}
    arrived: asyncio.Queue[tuple[int, float, bytes]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def decode() -> None:
        with av.open(str(device), format="v4l2", options=options) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number == WARM_UP + FRAMES:
                    return
                i420 = frame.reformat(format="yuv420p", dst_color_range=ColorRange.MPEG)
                at = v4l2_worker._captured_at(frame)
                data = i420.to_ndarray().tobytes()
                loop.call_soon_threadsafe(arrived.put_nowait, (number, at, data))

    thread = threading.Thread(target=decode)
    thread.start()
    delays: list[float] = []
    before = 0.0
    while len(delays) < FRAMES:
        number, at, _ = await arrived.get()
        if number < WARM_UP:
            before = own_cpu_s()
            continue
        delays.append(time.monotonic() - at)
    cpu = own_cpu_s() - before
    await asyncio.to_thread(thread.join)
    return figures(delays, cpu, FRAMES)


def figures(delays: list[float], cpu_s: float, frames: int) -> dict[str, float]:
    ordered = sorted(delays)
    return {
        "delay_ms": statistics.median(delays) * 1e3,
        "delay_p95_ms": ordered[len(ordered) * 95 // 100] * 1e3,
        "cpu_ms": cpu_s / frames * 1e3,
    }


def measure(folder: Path) -> dict[str, dict[str, Any]]:
    """Run ours and the peer in turn, each in a fresh process; return the rows."""
    camera = v4l2.ShimCamera(v4l2.build(folder), folder)
    (folder / "frames").write_bytes(v4l2.painted(WIDTH, HEIGHT))
    camera.node.touch()
    environment = {**os.environ, **camera.environment()}
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
    for _ in range(ROUNDS):
        for side, results in runs.items():
            done = subprocess.run(
                [sys.executable, "-m", "bench.worker", side],
                env=environment,
                check=True,
                timeout=120,
                capture_output=True,
                text=True,
            )
            results.append(json.loads(done.stdout.splitlines()[-1]))
    rows = {
        "captured -> in the daemon's hands, median": "delay_ms",
        "captured -> in the daemon's hands, 95th percentile": "delay_p95_ms",
        "CPU a picture": "cpu_ms",
    }
    return {
        name: row([[one[key] for one in runs[side]] for side in runs]) for name, key in rows.items()
    }


def row(values: list[list[float]]) -> dict[str, Any]:
    ours_ms, peer_ms = (statistics.median(one) for one in values)
    return {
        "unit": "ms",
        "median": round(ours_ms, 3),
        "values": [round(one, 3) for one in values[0]],
        "peer": round(peer_ms, 3),
        "ratio": round(ours_ms / peer_ms, 2),
    }


def main() -> None:
    """Measure, print the table, write the file; or do one run."""
    if len(sys.argv) > 1:
        run = {"ours": ours, "peer": peer}[sys.argv[1]]
        print(json.dumps(asyncio.run(run(Path(os.environ["SHIM_DEVICE"])))))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    table = Table("a 1280x720 picture", "worker", "in-process thread", "added")
    for name, one in rows.items():
        added = f"{one['median'] - one['peer']:.2f} ms"
        table.add_row(name, f"{one['median']:.2f} ms", f"{one['peer']:.2f} ms", added)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
