"""The audit log: every kind of tampering is seen, nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kioskd.audit import pseudonyms
from kioskd.audit.chain import GENESIS, Head, link, read
from kioskd.audit.events import (
    CATALOGUE,
    AuditEvent,
    DaemonStopped,
    EventsLost,
    LogBegun,
    LogDamaged,
    LogExpired,
    LogRecovered,
    TestEnded,
    VisitBegun,
    WipeDone,
)
from kioskd.audit.log import AuditLog, Bounds
from kioskd.audit.verify import files_of, lines_of, verify
from kioskd.audit.writer import AuditWriter
from kioskd.hal.device import DeviceKind
from tests.e2e.stage import wait_for

ROOT = Path(__file__).parents[2]
DAY = datetime(2026, 3, 1, 9, tzinfo=UTC)
LIMIT_S = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = DAY

    def __call__(self) -> datetime:
        return self.now


def filled(folder: Path, events: int = 10) -> AuditLog:
    log = AuditLog(folder, now=Clock())
    log.open()
    for number in range(events):
        log.append(VisitBegun(visit=f"{number:016x}", service="caf"), DAY)
    log.sync()
    log.close()
    return log


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    first, second = filled(tmp_path), AuditLog(tmp_path, now=Clock())
    first.open()
    with pytest.raises(BlockingIOError):
        second.open()
    assert not second.is_open
    first.append(DaemonStopped(), DAY)
    first.close()
    second.open()
    second.append(DaemonStopped(), DAY)
    second.close()
    assert verify(tmp_path).faults == []


def only(folder: Path) -> Path:
    (file,) = files_of(folder)
    return file


def events_in(folder: Path) -> list[AuditEvent]:
    return [line.event for file in files_of(folder) for _, line in lines_of(file)]


def test_a_log_that_nobody_touched_verifies(tmp_path: Path) -> None:
    log = filled(tmp_path)
    verdict = verify(tmp_path, anchor=log.head.hash)
    assert (verdict.faults, verdict.files, verdict.events) == ([], 1, 11)
    assert verdict.head == log.head
    assert log.head.seq == 11
    assert stat.S_IMODE(only(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(tmp_path.stat().st_mode) & 0o077 == 0 or tmp_path.stat().st_uid == 0


def change(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[4].replace(b"caf", b"msa"), *lines[5:]]


def remove(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], *lines[5:]]


def insert(lines: list[bytes]) -> list[bytes]:
    before = read(lines[3])
    forged, _ = link(Head(before.seq, before.hash), before.time, DaemonStopped())
    return [*lines[:4], forged.rstrip(b"\n"), *lines[4:]]


def repeat(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], lines[4], *lines[5:]]


def swap(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


def cut(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[4][:-20], *lines[5:]]


def join(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[4] + lines[5], *lines[6:]]


def behead(lines: list[bytes]) -> list[bytes]:
    return lines[3:]


def respell(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[4].replace(b'":', b'": '), *lines[5:]]


def empty(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], b"", *lines[4:]]


@pytest.mark.parametrize(
    "tamper", [change, remove, insert, repeat, swap, cut, join, behead, respell, empty]
)
def test_tampering_is_seen(tmp_path: Path, tamper: Callable[[list[bytes]], list[bytes]]) -> None:
    filled(tmp_path)
    file = only(tmp_path)
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join(tamper(lines)) + b"\n")
    verdict = verify(tmp_path)
    assert verdict.faults, tamper.__name__
    first = verdict.faults[0]
    assert first.line in ((1, 2) if tamper is behead else (5, 6)), str(first)


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_no_byte_can_be_changed(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = filled(folder, events=4)
    file = only(folder)
    content = bytearray(file.read_bytes())
    place %= len(content) - 1  # the last line end is the end's business
    if content[place] == byte:
        return
    content[place] = byte
    file.write_bytes(content)
    verdict = verify(folder, anchor=log.head.hash)
    assert verdict.faults


def test_a_cut_at_the_end_needs_the_anchor(tmp_path: Path) -> None:
    log = filled(tmp_path)
    file = only(tmp_path)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-2]))
    assert verify(tmp_path).faults == []  # the honest limit
    assert "anchored" in str(verify(tmp_path, anchor=log.head.hash).faults[0])


def test_files_that_are_gone_are_seen(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, Bounds(size=1000), now=Clock())
    log.open()
    for _ in range(20):
        log.append(DaemonStopped(), DAY)
    files = files_of(tmp_path)
    assert len(files) > 3
    assert verify(tmp_path).faults == []
    for gone in (files[0], files[1]):
        content = gone.read_bytes()
        gone.unlink()
        assert verify(tmp_path).faults, gone.name
        gone.write_bytes(content)
    assert verify(files[2]).faults == [], "a file can be checked alone"


def test_a_torn_line_is_told_of_and_stays(tmp_path: Path) -> None:
    filled(tmp_path)
    file = only(tmp_path)
    whole = file.read_bytes()
    torn, _ = link(Head(11, "0" * 64), "2026-03-01T09:00:00.000Z", DaemonStopped())
    file.write_bytes(whole + torn[:50])
    assert verify(tmp_path).torn_end == 50

    log = AuditLog(tmp_path, now=Clock())
    log.open()
    log.append(DaemonStopped(), DAY)
    assert file.read_bytes().startswith(whole + torn[:50] + b"\n")
    verdict = verify(tmp_path)
    assert (verdict.faults, verdict.torn, verdict.events) == ([], 1, 13)
    assert [type(one) for one in events_in(tmp_path)[-2:]] == [LogRecovered, DaemonStopped]

    lines = file.read_bytes().split(b"\n")
    for forged in (
        [*lines[:11], b"another", *lines[12:]],
        [*lines[:11], *lines[12:]],
        [*lines[:10], lines[11], *lines[12:]],
    ):
        file.write_bytes(b"\n".join(forged))
        assert verify(tmp_path).faults, "what is torn cannot be made to hide anything"


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0" * 100])
def test_a_damaged_log_is_left_alone_and_the_next_file_tells(tmp_path: Path, damage: bytes) -> None:
    filled(tmp_path)
    file = only(tmp_path)
    lines = file.read_bytes().split(b"\n")
    bad = b"\n".join([*lines[:5], damage, *lines[6:]])
    file.write_bytes(bad)
    log = AuditLog(tmp_path, now=Clock())
    log.open()
    log.append(DaemonStopped(), DAY)
    assert file.read_bytes() == bad
    assert [one for one in events_in(tmp_path) if isinstance(one, LogDamaged)] == [
        LogDamaged(file=file.name, line=7 if damage == b"" else 6)
    ] or damage == b""
    assert any(isinstance(one, LogDamaged) for one in events_in(tmp_path))
    faults = verify(tmp_path).faults
    assert faults
    assert {fault.file for fault in faults} == {file.name}, "the new file itself is good"


def test_a_file_of_nothing_but_rubbish_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "audit-000000000001.jsonl").write_bytes(b"rubbish\nmore")
    log = AuditLog(tmp_path, now=Clock())
    log.open()
    log.append(DaemonStopped(), DAY)
    first, second = files_of(tmp_path)
    assert first.read_bytes() == b"rubbish\nmore"
    assert verify(second).faults == []
    assert verify(tmp_path).faults


def test_each_day_has_its_file_and_the_chain_goes_on(tmp_path: Path) -> None:
    clock = Clock()
    log = AuditLog(tmp_path, now=clock)
    log.open()
    for _ in range(3):
        log.append(DaemonStopped(), clock.now)
        clock.now += timedelta(days=1)
    files = files_of(tmp_path)
    assert len(files) == 3
    first = [next(line for _, line in lines_of(one)) for one in files]
    assert all(isinstance(one.event, LogBegun) for one in first)
    last = [list(lines_of(one))[-1][1] for one in files]
    assert first[0].prev == GENESIS
    assert [one.prev for one in first[1:]] == [one.hash for one in last[:-1]]
    assert verify(tmp_path).faults == []


def test_what_is_older_than_the_retention_goes_and_the_log_tells(tmp_path: Path) -> None:
    clock = Clock()
    log = AuditLog(tmp_path, Bounds(retention=10), now=clock)
    log.open()
    for _ in range(30):
        log.append(DaemonStopped(), clock.now)
        clock.now += timedelta(days=1)
    files = files_of(tmp_path)
    oldest = next(line for _, line in lines_of(files[0]))
    age = clock.now - datetime.fromisoformat(oldest.time)
    assert timedelta(days=10) <= age <= timedelta(days=13)
    assert any(isinstance(one, LogExpired) for one in events_in(tmp_path))
    assert verify(tmp_path).faults == []
    files[0].unlink()
    assert "not by retention" in str(verify(tmp_path).faults[0])


def test_a_clock_years_ahead_for_a_while_removes_nothing(tmp_path: Path) -> None:
    clock = Clock()
    log = AuditLog(tmp_path, Bounds(retention=10), now=clock)
    log.open()
    for _ in range(5):
        log.append(DaemonStopped(), clock.now)
        clock.now += timedelta(days=1)
    clock.now += timedelta(days=5000)
    log.append(DaemonStopped(), clock.now)
    clock.now = DAY + timedelta(days=6)
    for _ in range(3):
        log.append(DaemonStopped(), clock.now)
        clock.now += timedelta(days=1)
    assert not any(isinstance(one, LogExpired) for one in events_in(tmp_path))
    for _ in range(15):  # nor does what it wrote stay for ever
        log.append(DaemonStopped(), clock.now)
        clock.now += timedelta(days=1)
    assert len(files_of(tmp_path)) <= 13
    assert verify(tmp_path).faults == []


def test_no_event_can_hold_a_text() -> None:
    """Every field of every type is a number, a yes or no, or a word without a space."""
    plain = {"integer", "boolean"}
    for one in CATALOGUE:
        schema = one.model_json_schema()
        for name, field in schema["properties"].items():
            for option in field.get("anyOf", [field]):
                bounded = {"const", "enum", "$ref", "pattern"} & option.keys()
                assert bounded or option.get("type") in plain, (one.__name__, name)
                assert " " not in option.get("pattern", "")
        assert schema["additionalProperties"] is False


# -- the writer ---------------------------------------------------------------------


class Disk(AuditLog):
    """A log whose disk can be full."""

    full = False

    def append(self, event: AuditEvent, time: datetime) -> None:
        if self.full:
            self.close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().append(event, time)


async def test_what_is_put_is_written_in_order(tmp_path: Path) -> None:
    writer = AuditWriter(AuditLog(tmp_path))
    writer.start()
    for number in range(200):
        writer.put(VisitBegun(visit=f"{number:016x}", service="caf"))
    assert await writer.written(LIMIT_S)
    told = [one for one in events_in(tmp_path) if isinstance(one, VisitBegun)]
    assert [int(one.visit, 16) for one in told] == list(range(200))
    assert verify(tmp_path, anchor=writer.head.hash).faults == []
    assert (writer.failing, writer.lost) == (None, 0)
    writer.stop()
    writer.stop()


async def test_a_full_disk_costs_nothing_while_there_is_room_and_a_count_after(
    tmp_path: Path,
) -> None:
    disk = Disk(tmp_path)
    disk.full = True
    writer = AuditWriter(disk, limit=20, retry_s=0.01)
    writer.start()
    for number in range(30):
        writer.put(TestEnded(device=DeviceKind.CAMERA, passed=number % 2 == 0))
    assert not await writer.written(0.2)
    assert (writer.failing, writer.lost) == (os.strerror(errno.ENOSPC), 10)
    disk.full = False
    assert await writer.written(LIMIT_S)
    writer.put(WipeDone())
    assert await writer.written(LIMIT_S)
    told = events_in(tmp_path)
    assert sum(isinstance(one, TestEnded) for one in told) == 20
    assert [one.count for one in told if isinstance(one, EventsLost)] == [10]
    assert verify(tmp_path).faults == []
    await asyncio.to_thread(writer.stop)
    assert writer.failing is None


@pytest.mark.skipif(os.geteuid() != 0, reason="a small tmpfs needs root")
async def test_what_could_not_be_synced_is_synced_though_nothing_more_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = asyncio.Event()

    def sync(_: int) -> None:
        if not works.is_set():
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", sync)
    writer = AuditWriter(AuditLog(tmp_path), retry_s=0.01)
    writer.start()
    writer.put(WipeDone())
    assert not await writer.written(0.2)
    assert writer.failing == os.strerror(errno.EIO)
    works.set()
    assert await writer.written(LIMIT_S)
    await wait_for(lambda: writer.failing is None, LIMIT_S, "it still fails")
    assert sum(isinstance(one, WipeDone) for one in events_in(tmp_path)) == 1
    await asyncio.to_thread(writer.stop)


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """On a tmpfs of one page, in a mount namespace of its own; then there is room again."""
    script = (
        f"mount -t tmpfs -o size=64k none {tmp_path} && "
        f"exec {sys.executable} -m tests.unit.audit_full_disk {tmp_path}"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def test_a_folder_that_cannot_be_made_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    writer = AuditWriter(AuditLog(tmp_path / "file" / "audit"), retry_s=0.01)
    writer.start()
    writer.put(WipeDone())
    assert not await writer.written(0.2)
    assert writer.failing
    await asyncio.to_thread(writer.stop)


def test_no_acknowledged_event_is_lost_by_sigkill(tmp_path: Path) -> None:
    acknowledged = 0
    for life in range(6):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.unit.audit_child", str(tmp_path), str(life)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            seen = [int(child.stdout.readline()) for _ in range(5 + 7 * life)]
            child.kill()
            seen += [
                int(line)
                for line in child.stdout.read().splitlines(keepends=True)
                if line.endswith(b"\n")
            ]
        acknowledged += len(seen)
        told = {int(one.visit, 16) for one in events_in(tmp_path) if isinstance(one, VisitBegun)}
        assert {(life << 32) + number for number in seen} <= told
        assert verify(tmp_path).faults == []
    assert acknowledged >= 6 * 5


def test_pseudonyms_stay_and_are_of_this_kiosk(tmp_path: Path) -> None:
    one = pseudonyms.load_or_make(tmp_path / "a")
    assert pseudonyms.load_or_make(tmp_path / "a").of("agent-1") == one.of("agent-1")
    assert pseudonyms.load_or_make(tmp_path / "b").of("agent-1") != one.of("agent-1")
    assert one.of("agent-1") != one.of("agent-2")
    assert one.of("") == ""
    assert stat.S_IMODE((tmp_path / "a" / pseudonyms.FILE).stat().st_mode) == 0o600
