"""Worker processes: whatever happens in one, the daemon knows and goes on."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from kioskd.errors import (
    DeviceError,
    DocumentError,
    DocumentFault,
    Reason,
    WorkerDied,
    WorkerStalled,
)
from kioskd.runtime.shared import SLOTS, SharedRing
from kioskd.runtime.worker import LADDER_S, DeviceWorker, Worker, overdue
from tests.waiting import until

TARGET = "tests.unit.subjects:Subject"
RESTARTS = 80


@pytest.fixture
async def events() -> list[object]:
    return []


@pytest.fixture
async def worker(events: list[object]) -> AsyncIterator[Worker]:
    one = Worker("test", TARGET, {"base": 40}, on_event=events.append)
    yield one
    await one.stop()


async def test_a_call_returns_its_result(worker: Worker) -> None:
    assert await worker.call("add", number=2, timeout=10) == 42


async def test_calls_from_many_tasks_are_answered_each(worker: Worker) -> None:
    results = await asyncio.gather(*(worker.call("add", number=n, timeout=10) for n in range(20)))
    assert results == [40 + n for n in range(20)]


async def test_errors_arrive_as_they_were_raised(worker: Worker) -> None:
    with pytest.raises(DeviceError) as jam:
        await worker.call("jam", timeout=10)
    assert (jam.value.reason, jam.value.detail) == (Reason.PAPER_JAM, "tray 1")
    with pytest.raises(DocumentError) as refused:
        await worker.call("refuse", timeout=10)
    assert refused.value.fault is DocumentFault.ENCRYPTED


async def test_a_crash_is_told_and_the_next_call_finds_a_new_process(worker: Worker) -> None:
    before = await worker.call("pid", timeout=10)
    with pytest.raises(WorkerDied):
        await worker.call("abort", timeout=10)
    assert await worker.call("pid", timeout=10) != before
    assert not psutil.pid_exists(before)


async def test_a_worker_that_hangs_at_rest_is_found_out_by_a_ping(worker: Worker) -> None:
    await worker.ping(timeout=10)  # there is none yet: nothing to be found out
    before = await worker.call("pid", timeout=10)
    await worker.ping(timeout=10)
    os.kill(before, signal.SIGSTOP)
    with pytest.raises(WorkerStalled):
        await worker.ping(timeout=0.2)
    assert await worker.call("pid", timeout=10) != before


async def test_a_worker_killed_while_idle_is_replaced() -> None:
    died = asyncio.Event()
    worker = Worker("test", TARGET, {"base": 0}, on_death=died.set)
    try:
        before = await worker.call("pid", timeout=10)
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(10):
            await died.wait()
        assert await worker.call("pid", timeout=10) != before
    finally:
        await worker.stop()


async def test_a_hang_is_ended_and_the_next_call_finds_a_new_process(worker: Worker) -> None:
    before = await worker.call("pid", timeout=10)
    with pytest.raises(WorkerStalled):
        await worker.call("hang", timeout=0.2)
    assert await worker.call("pid", timeout=10) != before
    assert not psutil.pid_exists(before)


async def test_no_progress_is_a_hang(worker: Worker) -> None:
    with pytest.raises(WorkerStalled):
        await worker.call("until_cancelled", timeout=60, stall=0.2)


async def test_progress_shortens_the_time_for_the_next(worker: Worker) -> None:
    def stall(progress: object) -> float:
        return 60 if progress is None else 0.2

    with pytest.raises(WorkerStalled):
        async with asyncio.timeout(30):
            await worker.call("until_cancelled", timeout=60, stall=stall)


async def test_a_cancelled_call_stops_and_keeps_its_process(
    worker: Worker, events: list[object]
) -> None:
    before = await worker.call("pid", timeout=10)
    started = asyncio.Event()
    call = asyncio.create_task(
        worker.call("until_cancelled", timeout=60, on_progress=lambda _: started.set())
    )
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await worker.call("pid", timeout=10) == before
    assert events == ["stopped cleanly"]


async def test_events_come_in_order(worker: Worker, events: list[object]) -> None:
    for word in ("a", "b", "c"):
        await worker.call("say", word=word, timeout=10)
    assert events == ["a", "b", "c"]


async def test_a_device_worker_raises_device_errors_only() -> None:
    worker = DeviceWorker("test", TARGET, {"base": 0})
    try:
        with pytest.raises(DeviceError) as crashed:
            await worker.call("abort", timeout=10)
        assert crashed.value.reason is Reason.CRASHED
        with pytest.raises(DeviceError) as hung:
            await worker.call("hang", timeout=0.2)
        assert hung.value.reason is Reason.NO_ANSWER
    finally:
        await worker.stop()


async def test_nothing_is_left_after_stop() -> None:
    worker = Worker("test", TARGET, {"base": 0})
    pid = await worker.call("pid", timeout=10)
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    await worker.stop()
    assert not psutil.pid_exists(pid)
    assert len(asyncio.all_tasks()) == 1
    assert len(os.listdir("/proc/self/fd")) < descriptors  # noqa: PTH208


async def test_a_stop_ends_its_own_process_and_not_the_next(worker: Worker) -> None:
    """A call in the middle of a stop waits for its end: one process at a time has the device."""
    pid = await worker.call("pid", timeout=10)
    os.kill(pid, signal.SIGSTOP)  # so that it takes until SIGKILL
    stopping = asyncio.create_task(worker.stop())
    while worker.pid is not None:  # noqa: ASYNC110  # two rounds of the loop
        await asyncio.sleep(0)
    following = await worker.call("pid", timeout=10)
    assert not psutil.pid_exists(pid)
    async with asyncio.timeout(10):
        await stopping
    assert await worker.call("pid", timeout=10) == following


async def test_a_worker_that_dies_at_each_start_is_not_started_at_each_call() -> None:
    worker = Worker("test", "tests.unit.subjects:Stillborn")
    for _ in range(2):
        with pytest.raises(WorkerDied, match="process ended"):
            await worker.call("anything", timeout=10)
    with pytest.raises(WorkerDied, match="failed 2 times, next start in"):
        await worker.call("anything", timeout=10)
    assert worker.restarts == 2
    async with asyncio.timeout(20):
        while worker.restarts == 2:  # the pause ends by itself
            with pytest.raises(WorkerDied):
                await worker.call("anything", timeout=10)
            await asyncio.sleep(0.05)
    await worker.stop()


def held() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())  # noqa: PTH208


def threads() -> int:
    """Count those that really run, whoever has started them."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


async def restart(times: int) -> None:
    died = asyncio.Event()
    worker = Worker("test", TARGET, {"base": 0}, on_death=died.set)
    for _ in range(times):
        died.clear()
        os.kill(await worker.call("pid", timeout=30), signal.SIGKILL)
        await died.wait()
    await worker.stop()


async def test_many_restarts_leave_nothing() -> None:
    running = threads()
    await restart(1)
    # The thread in which asyncio waits for a child ends a moment after that is told.
    await until(lambda: threads() <= running)
    before = held()
    await asyncio.gather(*(restart(RESTARTS // 4) for _ in range(4)))
    await until(lambda: threads() <= running)
    assert held() == before
    assert not psutil.Process().children()


async def test_without_descriptors_no_worker_starts_and_that_is_told(worker: Worker) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    one, other = socket.socketpair()
    lowest = min(one.fileno(), other.fileno())  # every number below it is in use
    one.close()
    other.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        with pytest.raises(WorkerDied, match="Too many open files"):
            await worker.call("pid", timeout=10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert await worker.call("add", number=2, timeout=10) == 42


async def test_a_stray_grandchild_holds_up_nobody() -> None:
    """It has left the worker's group, and holds the worker's output open."""
    worker = Worker("test", TARGET, {"base": 0})
    stray = await worker.call("spawn", own_session=True, timeout=10)
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    try:
        async with asyncio.timeout(10):
            await worker.stop()
        assert psutil.pid_exists(stray)
        await asyncio.sleep(0)  # a transport closes its pipe in the next round of the loop
        assert len(os.listdir("/proc/self/fd")) < descriptors - 1  # noqa: PTH208
    finally:
        os.kill(stray, signal.SIGKILL)


FREEZER = Path("/sys/fs/cgroup/freezer")


@pytest.mark.skipif(
    not os.access(FREEZER / "cgroup.procs", os.W_OK), reason="needs root and cgroup v1's freezer"
)
async def test_a_worker_that_cannot_be_killed_is_given_up() -> None:
    """A process frozen by cgroup v1 takes no SIGKILL, like one that a driver holds (state D)."""
    cell = FREEZER / f"kioskd-test-{os.getpid()}"
    cell.mkdir()
    worker = DeviceWorker("unkillable", TARGET, {"base": 0})
    pid = await worker.call("pid", timeout=10)
    try:
        (cell / "cgroup.procs").write_text(str(pid))
        (cell / "freezer.state").write_text("FROZEN")
        async with asyncio.timeout(20):
            with pytest.raises(DeviceError) as hung:
                await worker.call("pid", timeout=0.2)
            assert hung.value.reason is Reason.NO_ANSWER
            with pytest.raises(DeviceError, match=f"process {pid} cannot be killed"):
                await worker.call("pid", timeout=10)
            assert overdue(asyncio.get_running_loop().time()) == []
            (cell / "freezer.state").write_text("THAWED")
            while psutil.pid_exists(pid):  # noqa: ASYNC110 (the kernel has no event for it)
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)  # its reaping is told to the loop by a thread
            assert await worker.call("pid", timeout=10) != pid
    finally:
        (cell / "freezer.state").write_text("THAWED")
        await worker.stop()
        cell.rmdir()


async def test_a_call_that_outlives_its_limit_is_overdue(worker: Worker) -> None:
    call = asyncio.create_task(worker.call("until_cancelled", timeout=60))
    async with asyncio.timeout(10):
        while worker.pid is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    now = asyncio.get_running_loop().time()
    assert overdue(now) == []
    assert overdue(now + 60 + LADDER_S + 1) == ["test"]
    call.cancel()
    await asyncio.wait([call])
    assert overdue(now + 1000) == []


def test_a_ring_never_gives_a_torn_item() -> None:
    ring = SharedRing.create(4)
    try:
        for number in range(SLOTS + 1):
            ring.write(number, bytes([number] * 4))
        assert ring.read(0, 4) is None  # overwritten by the last
        assert ring.read(SLOTS, 4) == bytes([SLOTS] * 4)
        with pytest.raises(ValueError, match="do not fit"):
            ring.write(0, bytes(5))
    finally:
        ring.close()
