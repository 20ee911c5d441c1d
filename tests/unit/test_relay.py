"""The relay of the bench for lines: its paths by calculation, its process by the clock."""

from __future__ import annotations

import asyncio
import statistics
import struct
import time

import pytest
from pydantic import ValidationError

from bench.lines.path import HEADERS, Path
from bench.lines.relay import Relay, Stats, relay
from bench.lines.shape import Burst, Script, Shape, Step
from tests.waiting import until

PAYLOAD = bytes(1000 - HEADERS)
"""A packet of 1000 bytes, 8000 bits."""


def _arrivals(path: Path, sent: list[float], until: float = 1000.0) -> list[float]:
    for at in sent:
        path.offer(PAYLOAD, at)
    return [at for at, _ in path.due(until)]


def _fates(shape: Shape, seed: int, count: int) -> list[int]:
    path = Path(shape, seed)
    for number in range(count):
        path.offer(struct.pack("!I", number), number / 1000)
    return [struct.unpack("!I", payload)[0] for _, payload in path.due(1e6)]


def test_what_is_not_shaped_comes_at_once() -> None:
    assert _arrivals(Path(Shape(), 1), [0.0, 0.5]) == [0.0, 0.5]


def test_delay_is_added() -> None:
    assert _arrivals(Path(Shape(delay_ms=100), 1), [1.0]) == pytest.approx([1.1])


def test_rate_spreads_a_volley() -> None:
    path = Path(Shape(rate_bps=800_000, queue_ms=1000), 1)
    assert _arrivals(path, [0.0] * 5) == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])


def test_a_full_queue_drops_at_its_tail() -> None:
    path = Path(Shape(rate_bps=800_000, queue_ms=30), 1)
    assert len(_arrivals(path, [0.0] * 20)) == 4  # the last of them waited 30 ms
    assert path.counts.dropped_queue == 16


def test_a_queue_is_limited_in_bytes_too() -> None:
    path = Path(Shape(rate_bps=800_000, queue_ms=1000, queue_bytes=2000), 1)
    assert len(_arrivals(path, [0.0] * 20)) == 3


def test_what_waits_drains_at_a_new_rate() -> None:
    path = Path(Shape(rate_bps=800_000, queue_ms=1000), 1)
    for _ in range(3):
        path.offer(PAYLOAD, 0.0)
    path.change(Shape(rate_bps=80_000, queue_ms=1000), 0.015)
    assert [at for at, _ in path.due(10)] == pytest.approx([0.01, 0.065, 0.165])


def test_what_waits_goes_out_when_the_limit_is_lifted() -> None:
    path = Path(Shape(rate_bps=8_000, queue_ms=10_000), 1)
    for _ in range(3):
        path.offer(PAYLOAD, 0.0)
    path.change(Shape(delay_ms=5), 0.5)
    assert [at for at, _ in path.due(10)] == pytest.approx([0.505] * 3)


def test_it_says_when_to_be_asked_again() -> None:
    path = Path(Shape(rate_bps=800_000, delay_ms=100), 1)
    assert path.next_at() is None
    path.offer(PAYLOAD, 0.0)
    assert path.next_at() == pytest.approx(0.01)
    assert path.due(0.02) == []
    assert path.next_at() == pytest.approx(0.11)


def test_random_loss_is_as_asked() -> None:
    arrived = _fates(Shape(loss=0.05), 7, 20_000)
    assert len(arrived) / 20_000 == pytest.approx(0.95, abs=0.005)


def test_loss_in_bursts_has_the_share_and_the_length_asked() -> None:
    burst = Burst(begin=0.01, end=0.25)
    arrived = set(_fates(Shape(burst=burst), 7, 50_000))
    lost = [number not in arrived for number in range(50_000)]
    begun = sum(now and not before for before, now in zip([False, *lost], lost, strict=False))
    assert sum(lost) / 50_000 == pytest.approx(burst.mean_loss, rel=0.15)
    assert sum(lost) / begun == pytest.approx(4, rel=0.15)


def test_a_seed_decides_every_fate() -> None:
    shape = Shape(loss=0.1, burst=Burst(begin=0.02, end=0.3), jitter_ms=5)
    assert _fates(shape, 3, 2000) == _fates(shape, 3, 2000)
    assert _fates(shape, 3, 2000) != _fates(shape, 4, 2000)


def test_fates_do_not_hang_on_time_or_on_the_queue() -> None:
    slow, fast = Path(Shape(loss=0.1), 3), Path(Shape(loss=0.1), 3)
    for number in range(1000):
        slow.offer(struct.pack("!I", number), number * 1.0)
        fast.offer(struct.pack("!I", number), number * 0.001)
    assert [p for _, p in slow.due(1e6)] == [p for _, p in fast.due(1e6)]


def test_jitter_overtakes_only_where_it_may() -> None:
    still = _fates(Shape(jitter_ms=30), 5, 500)
    mixed = _fates(Shape(jitter_ms=30, reorder=True), 5, 500)
    assert still == sorted(still)
    assert mixed != sorted(mixed)
    assert sorted(mixed) == still
    sent = [number / 10 for number in range(500)]
    extra = [
        at - was
        for at, was in zip(_arrivals(Path(Shape(jitter_ms=30), 5), sent), sent, strict=True)
    ]
    assert statistics.mean(extra) == pytest.approx(0.015, abs=0.002)
    assert 0 <= min(extra) < max(extra) <= 0.0301


def test_steps_begin_at_nought_and_rise() -> None:
    def step(at: float) -> Step:
        return Step(at_s=at, up=Shape(), down=Shape())

    for times in ([1.0], [0.0, 2.0, 1.0], [0.0, 1.0, 1.0]):
        with pytest.raises(ValidationError):
            Script(steps=tuple(step(at) for at in times))


class _End(asyncio.DatagramProtocol):
    """An end that remembers what came, and when."""

    def __init__(self) -> None:
        self.came: list[tuple[float, bytes]] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.came.append((time.monotonic(), data))


async def _send(
    line: Relay, *, from_a: bool, count: int, every_s: float
) -> tuple[list[float], _End]:
    """Send numbered packets of 1000 bytes one way; return when, and the far end."""
    loop = asyncio.get_running_loop()
    near, _ = await loop.create_datagram_endpoint(_End, local_addr=("127.0.0.1", 0))
    far, end = await loop.create_datagram_endpoint(_End, local_addr=("127.0.0.1", 0))
    here, there = near.get_extra_info("sockname"), far.get_extra_info("sockname")
    await line.connect(*((here, there) if from_a else (there, here)))
    sent = []
    begun = time.monotonic()
    try:
        for number in range(count):
            await asyncio.sleep(begun + number * every_s - time.monotonic())
            sent.append(time.monotonic())
            port = line.port_a if from_a else line.port_b
            near.sendto(struct.pack("!I", number) + PAYLOAD[4:], ("127.0.0.1", port))
        await asyncio.sleep(0.5)
    finally:
        near.close()
        far.close()
    return sent, end


def _script(up: Shape, down: Shape, *later: tuple[float, Shape, Shape]) -> Script:
    steps = [Step(at_s=0, up=up, down=down)]
    steps += [Step(at_s=at, up=u, down=d) for at, u, d in later]
    return Script(steps=tuple(steps))


def _good(stats: Stats) -> None:
    assert stats.late_p50_ms < 10, stats


async def test_the_process_carries_nothing_from_elsewhere() -> None:
    """An end asks by all its addresses: what is for one of them must not go to another."""
    loop = asyncio.get_running_loop()
    ends = [
        await loop.create_datagram_endpoint(_End, local_addr=("127.0.0.1", 0)) for _ in range(3)
    ]
    (near, _), (other, stranger), (far, end) = ends
    try:
        async with relay(_script(Shape(), Shape()), 1) as line:
            await line.connect(*(one.get_extra_info("sockname") for one in (near, far)))
            for sender, words in ((near, b"told"), (other, b"not told"), (near, b"told again")):
                sender.sendto(words, ("127.0.0.1", line.port_a))
            far.sendto(b"back", ("127.0.0.1", line.port_b))
            await until(lambda: len(end.came) == 2 and ends[0][1].came)
            stats = await line.stats()
    finally:
        for transport, _ in ends:
            transport.close()
    assert [data for _, data in end.came] == [b"told", b"told again"]
    assert [data for _, data in ends[0][1].came] == [b"back"]
    assert not stranger.came
    assert (stats.up.offered, stats.down.offered) == (2, 1)


async def test_the_process_keeps_its_delays() -> None:
    async with relay(_script(Shape(delay_ms=100), Shape(delay_ms=30)), 1) as line:
        for from_a, wanted in ((True, 0.1), (False, 0.03)):
            sent, end = await _send(line, from_a=from_a, count=50, every_s=0.01)
            assert len(end.came) == 50
            took = [at - was for (at, _), was in zip(end.came, sent, strict=True)]
            # The least is the relay's own; the median is this test's lateness too.
            assert min(took) == pytest.approx(wanted, abs=0.003)
            assert statistics.median(took) == pytest.approx(wanted, abs=0.025)
        _good(await line.stats())


async def test_the_process_keeps_its_rate() -> None:
    shape = Shape(rate_bps=2_000_000, queue_ms=300)
    async with relay(_script(shape, Shape()), 1) as line:
        await line.start()
        _, end = await _send(line, from_a=True, count=250, every_s=0.001)  # 8 Mbit/s
        stats = await line.stats()
    (first, _), (last, _) = end.came[0], end.came[-1]
    assert (len(end.came) - 1) * 8000 / (last - first) == pytest.approx(2_000_000, rel=0.1)
    assert stats.up.dropped_queue > 20
    assert stats.up.offered == 250 == stats.up.delivered + stats.up.dropped_queue
    assert sum(one.delivered for one in stats.up.series) == stats.up.delivered_bytes
    assert max(one.wait_ms for one in stats.up.series) == pytest.approx(300, abs=30)


async def test_the_process_follows_its_script() -> None:
    hole = Shape(loss=1)
    async with relay(
        _script(Shape(), Shape(), (0.3, hole, Shape()), (0.6, Shape(), Shape())), 1
    ) as line:
        await line.start()
        begun = time.monotonic()
        sent, end = await _send(line, from_a=True, count=90, every_s=0.01)
    arrived = {struct.unpack("!I", data[:4])[0] for _, data in end.came}
    lost = [sent[number] - begun for number in range(90) if number not in arrived]
    assert lost[0] == pytest.approx(0.3, abs=0.15)
    assert lost[-1] == pytest.approx(0.6, abs=0.15)
    assert len(lost) == pytest.approx(30, abs=10)
