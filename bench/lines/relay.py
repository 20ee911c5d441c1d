"""The relay: a process of its own between two ends that know its ports alone.

The kiosk's end sends to the port `a`, the agent's end to the port `b`; what comes in at one
leaves by the other, shaped by a Path for each direction. The two ends' own addresses are told;
an end whose address is null is where the first packet comes from. Nothing from elsewhere is
carried: an end with several addresses asks by all of them, and what is meant for one must not
reach another. Control is JSON by the line, one answer to each command:

    {"do": "peers", "a": ["127.0.0.1", 5004], "b": ["127.0.0.1", 5006]}
    {"do": "start"}      the script's clock begins
    {"do": "stats"}      a Stats

The end of stdin ends it. The kernel of many a test machine has no netem, hence this; its own
accuracy is measured in tests/unit/test_relay.py and told in every Stats.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import select
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from bench.lines.path import HEADERS, Path
from bench.lines.shape import Script

BUCKET_S: Final = 0.5
"""Width of the steps in a direction's series."""
ROOM: Final = 4 << 20
"""Bytes of the sockets' buffers: what may wait there while the relay is not scheduled."""
NAMES: Final = ("up", "down")
Address = tuple[str, int]


class Bucket(BaseModel):
    """BUCKET_S of one direction: bytes in, bytes out, and the longest wait in its queue.

    `data` is the part of `delivered` that was DTLS: documents and control, no media.
    """

    sent: int = 0
    delivered: int = 0
    data: int = 0
    wait_ms: float = 0.0


class Direction(BaseModel):
    """What one direction carried; bytes with headers. `series` begins at the script's start."""

    model_config = ConfigDict(frozen=True)

    offered: int
    offered_bytes: int
    delivered: int
    delivered_bytes: int
    dropped_queue: int
    dropped_loss: int
    series: list[Bucket]


class Stats(BaseModel):
    """What the relay did. `late_*_ms` is how much later than due packets were sent."""

    model_config = ConfigDict(frozen=True)

    up: Direction
    down: Direction
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float
    realtime: bool
    started_at: float | None
    """When the script began, in seconds of the wall clock."""


class Switch:
    """The sockets, the two paths and the script, turned by `run`."""

    def __init__(self, script: Script, seed: int) -> None:
        first = script.steps[0]
        self._script = script
        self._paths = (Path(first.up, seed * 2), Path(first.down, seed * 2 + 1))
        self._sockets = (_socket(), _socket())
        self._peers: list[Address | None] = [None, None]
        self._series: tuple[list[Bucket], list[Bucket]] = ([], [])
        self._late: list[float] = []
        self._started: float | None = None
        self._started_at: float | None = None
        self._step = 0
        self._control = b""
        self._realtime = _hurry()

    def run(self) -> None:
        """Serve until stdin ends."""
        _say({one: s.getsockname()[1] for one, s in zip("ab", self._sockets, strict=True)})
        watched = [*self._sockets, sys.stdin.fileno()]
        while True:
            ready, _, _ = select.select(watched, [], [], self._wait())
            for way, one in enumerate(self._sockets):
                if one in ready:
                    self._take(way)
            self._turn_page()
            self._give()
            if sys.stdin.fileno() in ready and not self._obey():
                return

    def _wait(self) -> float | None:
        times = [at for path in self._paths if (at := path.next_at()) is not None]
        if self._started is not None and self._step + 1 < len(self._script.steps):
            times.append(self._started + self._script.steps[self._step + 1].at_s)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _take(self, way: int) -> None:
        while True:
            try:
                payload, address = self._sockets[way].recvfrom(65536)
            except BlockingIOError:
                return
            if self._peers[way] not in (None, address):
                continue
            self._peers[way] = address
            path = self._paths[way]
            path.offer(payload, time.monotonic())
            if (bucket := self._bucket(way)) is not None:
                bucket.sent += len(payload) + HEADERS
                bucket.wait_ms = max(bucket.wait_ms, path.queue_s * 1000)

    def _give(self) -> None:
        for way, path in enumerate(self._paths):
            for at, payload in path.due(time.monotonic()):
                peer = self._peers[1 - way]
                if peer is None:
                    continue
                with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                    self._sockets[1 - way].sendto(payload, peer)
                self._late.append(time.monotonic() - at)
                if (bucket := self._bucket(way)) is not None:
                    size = len(payload) + HEADERS
                    bucket.delivered += size
                    # RFC 7983: the first byte tells DTLS from RTP and STUN.
                    bucket.data += size if payload[:1] and 20 <= payload[0] <= 63 else 0

    def _bucket(self, way: int) -> Bucket | None:
        if self._started is None:
            return None
        series, place = self._series[way], int((time.monotonic() - self._started) / BUCKET_S)
        while len(series) <= place:
            series.append(Bucket())
        return series[place]

    def _turn_page(self) -> None:
        steps = self._script.steps
        now = time.monotonic()
        while (
            self._started is not None
            and self._step + 1 < len(steps)
            and now >= self._started + steps[self._step + 1].at_s
        ):
            self._step += 1
            self._paths[0].change(steps[self._step].up, now)
            self._paths[1].change(steps[self._step].down, now)

    def _obey(self) -> bool:
        data = os.read(sys.stdin.fileno(), 65536)
        if not data:
            return False
        *lines, self._control = (self._control + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            match command["do"]:
                case "peers":
                    told = [command["a"], command["b"]]
                    self._peers = [None if one is None else (one[0], one[1]) for one in told]
                    _say({})
                case "start":
                    self._started, self._started_at = time.monotonic(), time.time()
                    _say({"at": self._started_at})
                case "stats":
                    _say(self._stats().model_dump())
        return True

    def _stats(self) -> Stats:
        late = sorted(self._late) or [0.0]

        def rank(share: float) -> float:
            return round(late[min(len(late) - 1, int(share * len(late)))] * 1000, 3)

        up, down = (
            Direction(
                offered=path.counts.offered,
                offered_bytes=path.counts.offered_bytes,
                delivered=path.counts.delivered,
                delivered_bytes=path.counts.delivered_bytes,
                dropped_queue=path.counts.dropped_queue,
                dropped_loss=path.counts.dropped_loss,
                series=series,
            )
            for path, series in zip(self._paths, self._series, strict=True)
        )
        return Stats(
            up=up,
            down=down,
            late_p50_ms=rank(0.5),
            late_p99_ms=rank(0.99),
            late_max_ms=rank(1),
            realtime=self._realtime,
            started_at=self._started_at,
        )


class Relay:
    """Runs the relay as a child process; `port_a` and `port_b` are on 127.0.0.1."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.port_a = 0
        self.port_b = 0

    async def connect(self, a: Address | None, b: Address | None) -> None:
        """Tell where the two ends are; None is where the first packet comes from."""
        await self._ask({"do": "peers", "a": a, "b": b})

    async def start(self) -> float:
        """Begin the script; return when, in seconds of the wall clock."""
        return float((await self._ask({"do": "start"}))["at"])

    async def stats(self) -> Stats:
        """Return what was carried up to now."""
        return Stats.model_validate(await self._ask({"do": "stats"}))

    async def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return await self.hear()

    async def hear(self) -> dict[str, Any]:
        """Return the next answer; raise RuntimeError when the relay has died."""
        assert self._process.stdout is not None
        async with asyncio.timeout(10):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the relay died")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.asynccontextmanager
async def relay(script: Script, seed: int) -> AsyncIterator[Relay]:
    """Run a relay as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.lines.relay",
        str(seed),
        script.model_dump_json(),
        cwd=FilePath(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        one = Relay(process)
        ports = await one.hear()
        one.port_a, one.port_b = ports["a"], ports["b"]
        yield one
    finally:
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _socket() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
    one.bind(("127.0.0.1", 0))
    one.setblocking(False)
    return one


def _hurry() -> bool:
    """Ask to be scheduled before ordinary processes; tell whether that was granted."""
    gc.disable()
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        return False
    return True


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Run a relay: SEED SCRIPT."""
    Switch(Script.model_validate_json(sys.argv[2]), int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
