"""Single checks, and the board that holds their limits."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kioskd.control.api import AuditStatus, CallStatus, DeviceStatus, ProcessStatus, Status
from kioskd.diagnostics import board as boards
from kioskd.diagnostics import daemon, doctor, machine, network, stacks
from kioskd.diagnostics.board import Board, LeftOut, in_thread
from kioskd.diagnostics.findings import Found, Trouble, trouble
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import Device, DeviceHealth, DeviceKind, DeviceState
from kioskd.picture import vpx
from kioskd.visit.words import Scene


async def fine() -> list[Found]:
    return []


async def test_a_check_that_hangs_is_a_finding_and_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(boards, "CHECK_S", 0.2)
    for_ever = threading.Event()

    async def hangs() -> list[Found]:
        return await in_thread(lambda: [trouble(Trouble.SWAP)] * for_ever.wait())

    async def fails() -> list[Found]:
        raise ValueError("odd")

    async def not_here() -> list[Found]:
        raise LeftOut("no systemd")

    board = Board()
    started = time.monotonic()
    await board.run({"fine": fine, "hangs": hangs, "fails": fails, "not here": not_here})
    assert time.monotonic() - started < 10
    for_ever.set()
    assert {one.id for one in board.found} == {Trouble.CHECK_HANGS}
    assert sorted(one.detail for one in board.found) == [
        "fails: ValueError('odd')",
        "hangs: no end after 0 s",
    ]
    assert {one.name: one.left_out for one in board.checks}["not here"] == "no systemd"


def test_a_check_that_blocks_the_loop_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "ALL_S", 0.5)
    until = threading.Event()

    async def blocks() -> list[Found]:
        until.wait(60)
        return []

    monkeypatch.setattr(stacks, "sound_server", blocks)
    seen = doctor.examine(
        doctor.Subject(control=tmp_path / "none", sound=True, spool=tmp_path, state=tmp_path)
    )
    until.set()
    assert not seen.whole
    assert any(one.id == Trouble.CHECK_HANGS and "sound server" in one.detail for one in seen.found)


class Hung(Device):
    """A driver that answers as it is told."""

    kind = DeviceKind.SCANNER

    def __init__(self, error: DeviceError | None) -> None:
        self.error, self.closed = error, False

    @property
    def description(self) -> str:
        return "hung"

    async def check(self) -> DeviceHealth:
        if self.error is None:
            await asyncio.Event().wait()
        assert self.error is not None
        raise self.error

    async def open(self) -> None: ...

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("error", "ids"),
    [
        (None, ["KSK-405"]),
        (DeviceError(Reason.BUSY, "another"), ["KSK-404"]),
        (DeviceError(Reason.NOT_CONFIGURED), []),
    ],
)
async def test_drivers_are_asked_and_closed(
    monkeypatch: pytest.MonkeyPatch, error: DeviceError | None, ids: list[str]
) -> None:
    monkeypatch.setattr(stacks, "DEVICE_S", 0.2)
    one = Hung(error)
    assert [found.id for found in await stacks.device(one)] == ids
    assert one.closed


async def test_a_socket_of_a_dead_daemon_is_told_from_none(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    seen = await daemon.ask(path)
    assert (seen.dead, seen.stale_socket) == (True, False)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    seen = await daemon.ask(path)
    assert (seen.dead, seen.stale_socket) == (True, True)
    assert [one.id for one in seen.found] == [Trouble.DEAD]


@pytest.mark.parametrize("queue_full", [False, True])
async def test_a_daemon_that_only_listens_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queue_full: bool
) -> None:
    monkeypatch.setattr(daemon, "ANSWER_S", 0.2)
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as waits:
        one.bind(str(tmp_path / "control.sock"))
        one.listen(0)
        if queue_full:
            waits.connect(str(tmp_path / "control.sock"))
        seen = await daemon.ask(tmp_path / "control.sock")
    assert not seen.dead
    assert [found.id for found in seen.found] == [Trouble.HANGS]


@pytest.mark.parametrize(
    ("kind", "ago_s", "ids"),
    [
        (DeviceKind.CAMERA, 3.0, ["KSK-127"]),
        (DeviceKind.CAMERA, 60.0, []),
        (DeviceKind.MICROPHONE, 3.0, []),
    ],
)
def test_a_camera_opened_anew_is_not_called_well_at_once(
    kind: DeviceKind, ago_s: float, ids: list[str]
) -> None:
    device = DeviceStatus(
        kind=kind,
        driver="v4l2",
        state=DeviceState.BUSY,
        reason=None,
        detail="",
        since_s=ago_s,
        lately=Reason.FROZEN,
        lately_s=ago_s,
    )
    assert [one.id for one in daemon._device(device)] == ids


def test_nobody_verified_and_a_clock_that_agents_doubt_are_told() -> None:
    audit = AuditStatus(seq=3, head="0" * 64, failing=None, lost=0)
    well: dict[str, Any] = {"screen_connected": True, "safe_mode": False, "devices": []}
    well["audit"] = audit
    good = Status.model_construct(**well)
    assert daemon.running(good) == []
    bad = Status.model_construct(**well, unsigned=True, clock_doubted=True)
    assert [one.id for one in daemon.running(bad)] == [Trouble.UNSIGNED, Trouble.CLOCK]


def test_hardware_that_does_not_encode_is_told() -> None:
    audit = AuditStatus(seq=3, head="0" * 64, failing=None, lost=0)
    well: dict[str, Any] = {"screen_connected": True, "safe_mode": False, "devices": []}
    said = Status.model_construct(**well, audit=audit, encoder_trouble="h264_vaapi: no device")
    assert daemon.running(said) == [trouble(Trouble.ENCODER, "h264_vaapi: no device")]


@pytest.mark.parametrize(
    ("failing", "lost", "ids"),
    [(None, 0, []), ("No space left on device", 0, ["KSK-040"]), (None, 7, ["KSK-040"])],
)
def test_an_audit_log_that_is_not_written_is_told(
    failing: str | None, lost: int, ids: list[str]
) -> None:
    status = Status(
        kioskd="0",
        kiosk="k",
        pid=1,
        uptime_s=1,
        broker_online=True,
        invalid_messages=0,
        screen_url="",
        screen_connected=True,
        safe_mode=False,
        failed_starts=0,
        loop_lag_p99_ms=0,
        loop_lag_max_ms=0,
        process=ProcessStatus(fds=1, threads=1, tasks=1, children=0, rss_kb=1),
        call=CallStatus(scene=Scene.CHOOSING, service=None, scene_s=0),
        audit=AuditStatus(seq=3, head="0" * 64, failing=failing, lost=lost),
        devices=[],
        services=[],
    )
    found = daemon.running(status)
    assert [one.id for one in found] == ids
    assert not found or f"{lost} events lost" in found[0].detail


def test_a_process_without_descriptors_is_seen() -> None:
    import resource

    assert daemon.descriptors(os.getpid()) == []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, hard))
    try:
        (found,) = daemon.descriptors(os.getpid())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found.id == Trouble.NO_DESCRIPTORS


def test_core_dumps_are_seen(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/core_pattern").write_text("core\n")
    (tmp_path / "7").mkdir()
    line = "Max core file size        {}                    unlimited            bytes\n"
    (tmp_path / "7/limits").write_text(line.format("0"))
    assert daemon.core_dumps(7, tmp_path) == []
    (tmp_path / "7/limits").write_text(line.format("unlimited"))
    assert [one.id for one in daemon.core_dumps(7, tmp_path)] == [Trouble.CORE_DUMPS]


def test_a_clock_before_its_own_files_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "starts.json"
    file.touch()
    assert machine.clock([file, tmp_path / "none"], None) == []
    later = time.time() + 3600
    os.utime(file, (later, later))
    assert [one.id for one in machine.clock([file], None)] == [Trouble.CLOCK]


@pytest.mark.parametrize(("hours", "wrong"), [(0, False), (1, True), (-1, True)])
async def test_the_clock_is_compared_with_a_web_server(hours: int, wrong: bool) -> None:
    told = datetime.now(UTC) + timedelta(hours=hours)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(headers={"Date": f"{told:%a, %d %b %Y %H:%M:%S} GMT"})

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        dead = "http://127.0.0.1:1/"
        heard = await network.clock_told_by([dead, f"http://127.0.0.1:{port}/"])
    finally:
        await runner.cleanup()
    assert heard is not None
    assert bool(machine.clock([], heard)) is wrong


def test_swap_on_a_disk_is_seen_and_zram_is_not(tmp_path: Path) -> None:
    head = "Filename Type Size Used Priority\n"
    (tmp_path / "swaps").write_text(f"{head}/dev/zram0 partition 1 0 100\n")
    assert machine.swap(tmp_path) == []
    (tmp_path / "swaps").write_text(f"{head}/dev/sda3 partition 1 0 -2\n")
    assert machine.swap(tmp_path) == [trouble(Trouble.SWAP, "/dev/sda3")]


def test_a_spool_on_a_disk_and_one_that_is_a_file_are_seen(tmp_path: Path) -> None:
    if machine.file_system(tmp_path) in ("tmpfs", "ramfs"):
        assert machine.spool(tmp_path / "spool") == []
    else:
        assert [one.id for one in machine.spool(tmp_path / "spool")] == [Trouble.SPOOL_ON_DISK]
    (tmp_path / "file").touch()
    assert [one.id for one in machine.spool(tmp_path / "file")] == [Trouble.SPOOL_UNWRITABLE]
    assert [one.id for one in machine.state(tmp_path / "file")] == [Trouble.STATE_UNWRITABLE]


def test_a_default_route_is_read(tmp_path: Path) -> None:
    assert not network.has_route(tmp_path)
    (tmp_path / "route").write_text("Iface Destination Gateway\neth0 000011AC 00000000 0001\n")
    assert not network.has_route(tmp_path)
    (tmp_path / "route").write_text("Iface Destination Gateway\neth0 00000000 010011AC 0003\n")
    assert network.has_route(tmp_path)


def test_a_print_system_that_keeps_documents_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "cupsd.conf"
    assert machine.print_files(file) == []
    file.write_text("LogLevel warn\nPreserveJobFiles No\n")
    assert machine.print_files(file) == [
        trouble(Trouble.PRINT_FILES_KEPT, f"{file}: PreserveJobHistory")
    ]
    file.write_text("preservejobfiles no\n  PreserveJobHistory  Off\n")
    assert machine.print_files(file) == []


def test_a_library_that_is_missing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.coding() == []

    def missing() -> None:
        raise OSError("libvpx.so.7 of libvpx7 is missing")

    monkeypatch.setattr(vpx, "check", missing)
    assert machine.coding() == [trouble(Trouble.CODING, "libvpx.so.7 of libvpx7 is missing")]


def test_what_a_document_cannot_be_confined_by_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.confinement() == []
    monkeypatch.setattr(machine, "has_landlock", lambda: False)
    assert machine.confinement() == [trouble(Trouble.UNCONFINED, "Landlock")]
