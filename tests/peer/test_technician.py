"""The technician's commands against a real daemon, alive and dead."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kioskd.control.api import MaintenanceStage
from kioskd.diagnostics.bundle_file import LIMIT, LOG, MANIFEST, TITLES
from kioskd.simulation.sane import write_sane_config
from tests.peer.conftest import write_config
from tests.peer.service_manager import Life, ServiceManager
from tests.peer.terminal import COLOUR, COLUMNS, terminal
from tests.peer.test_daemon_life import configure, daemon, kioskctl, status
from tests.processes import family

pytestmark = [pytest.mark.peer, pytest.mark.timeout(180)]
at_the_same_daemon = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """The configuration of a daemon that runs, in service, for all who leave it so."""
    config = write_config(tmp_path_factory.mktemp("kiosk"))
    async with daemon(config) as service:
        await service.until_ready(0)
        yield config
        assert await service.stop() == 0
        assert len(service.lives) == 1


def at(config: Path) -> tuple[str, str]:
    return "--socket", str(config.parent / "control.sock")


def rewrite(config: Path, old: str, new: str) -> None:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, 1))


async def findings(config: Path) -> dict[str, str]:
    told = json.loads(await kioskctl("doctor", "--json", "--config", str(config)))
    return {one["id"]: one["severity"] for one in told["findings"]}


async def test_maintenance_outlives_the_daemon_and_is_no_fault(config: Path) -> None:
    async with daemon(config) as service:
        first = await service.until_ready(0)
        assert "no calls" in await kioskctl("maintenance", "on", *at(config))
        assert (await status(config)).maintenance.stage is MaintenanceStage.ON
        os.kill(first.pid, signal.SIGKILL)
        await service.until_ready(1)
        assert (await status(config)).maintenance.stage is MaintenanceStage.ON
        assert "MAINTENANCE" in await kioskctl("status", *at(config))
        assert (await findings(config))["KSK-060"] == "note"
        assert "calls can be placed" in await kioskctl("maintenance", "off", *at(config))
        assert "KSK-060" not in await findings(config)
        await kioskctl("maintenance", "on", *at(config))
        assert await service.stop() == 0
    assert (await findings(config))["KSK-060"] == "note"  # with the daemon dead too
    log = await kioskctl("audit", "show", str(config.parent / "state" / "audit"))
    told = re.findall(r"maintenance-\w+", log)
    assert told == [f"maintenance-{one}" for one in ("begun", "begun", "ended", "begun")]


async def test_a_restart_ends_the_worker_and_the_device_is_back(config: Path) -> None:
    (config.parent / "sane").mkdir()
    sane = write_sane_config(config.parent / "sane")
    configure(config, scanner=f'driver = "sane"\ndevice = "test:0"\nconfig_dir = "{sane}"')
    async with daemon(config) as service:
        life = await service.until_ready(0)

        def workers() -> list[int]:
            found = family(life.pid)
            return [one.pid for one, line in found if any("SaneWorker" in part for part in line)]

        (before,) = workers()
        assert "the scanner was restarted: ready" in await kioskctl(
            "restart", "scanner", *at(config)
        )
        (after,) = workers()
        assert after != before
        assert await service.stop() == 0


async def bundle(config: Path, service: ServiceManager) -> dict[str, str]:
    file = config.parent / "bundle.zip"
    told = await kioskctl(
        *("bundle", "--config", str(config), "--output", str(file), "--log", str(service.log)),
        *("--language", "en"),
    )
    assert file.exists(), told
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_size < LIMIT
    listed = await kioskctl("bundle", "--list", str(file))
    with zipfile.ZipFile(file) as opened:
        inside = {name: opened.read(name).decode() for name in opened.namelist()}
    assert inside.keys() == TITLES.keys()
    assert all(name in listed and name in told for name in TITLES)
    return inside


async def test_a_bundle_is_made_of_a_living_and_of_a_dead_kiosk(config: Path) -> None:
    rewrite(config, "tls = false", 'tls = false\npassword = "hunter2hunter2"')
    async with daemon(config) as service:
        await service.until_ready(0)
        inside = await bundle(config, service)
        alive = json.loads(inside["status.json"])
        assert alive["pid"] == service.now.pid
        assert json.loads(inside["audit.json"])["verified"]
        events = [json.loads(line)["event"] for line in inside[LOG].splitlines()]
        assert "kioskd.ready" in events
        found = {one["id"] for one in json.loads(inside["doctor.json"])["findings"]}
        assert "KSK-003" in found  # no broker here
        os.kill(service.now.pid, signal.SIGSTOP)  # it hangs
        hangs = await bundle(config, service)
        assert "does not answer" in hangs["status.json"]
        os.kill(service.now.pid, signal.SIGCONT)
        await service.stop()
    inside = await bundle(config, service)
    assert "does not run" in inside["status.json"]
    assert not json.loads(inside[MANIFEST])["kioskd_answered"]
    found = {one["id"] for one in json.loads(inside["doctor.json"])["findings"]}
    assert "KSK-002" in found
    assert "kioskd.ready" in inside[LOG]
    assert all("hunter2" not in text for text in inside.values())


async def test_a_bundle_of_wrong_settings_names_the_fault(config: Path) -> None:
    rewrite(config, "[screen]", "[nonsense]\n[screen]")
    async with daemon(config) as service:
        inside = await bundle(config, service)
    assert "nonsense" in inside["settings.json"]
    assert json.loads(inside["doctor.json"])["findings"][0]["id"] == "KSK-001"


async def told_in_lines(config: Path, *command: str, term: str, life: Life | None = None) -> None:
    """Maintenance begins and ends, and the daemon's `life` too; what a live command says of it."""
    async with terminal(*command, *at(config), term=term) as one:
        await one.until(b"camera: ready")
        await kioskctl("maintenance", "on", *at(config))
        await one.until(b"maintenance: off -> on")
        await kioskctl("maintenance", "off", *at(config))
        await one.until(b"maintenance: on -> off")
        if life is not None:
            os.kill(life.pid, signal.SIGKILL)
            await one.until(b"kioskd was started again")
        one.process.send_signal(signal.SIGINT)
        assert await one.ended() == 0
    assert b"\x1b" not in one.seen
    assert one.seen.isascii()
    assert max(len(line) for line in one.seen.splitlines()) <= COLUMNS


@at_the_same_daemon
@pytest.mark.parametrize("term", ["vt100", "dumb"])
async def test_on_a_serial_line_there_is_a_line_for_each_change(running: Path, term: str) -> None:
    await told_in_lines(running, "status", "--watch", term=term)


async def test_top_on_a_serial_line_tells_of_a_new_start_too(config: Path) -> None:
    async with daemon(config) as service:
        await told_in_lines(config, "top", term="vt100", life=await service.until_ready(0))
        await service.stop()


async def test_a_status_on_a_serial_line_is_letters(config: Path) -> None:
    async with daemon(config) as service:
        await service.until_ready(0)
        for command in (*(("status", *at(config)), ("services", *at(config))), ("logs", "--help")):
            async with terminal(*command, term="vt220") as one:
                assert await one.ended() == 0
            assert one.seen.isascii()
            assert b"\x1b" not in one.seen
            assert max(len(line) for line in one.seen.splitlines()) <= COLUMNS
        await service.stop()
    doctor = ("doctor", "--config", config, "--language", "fr")
    async with terminal(*doctor, term="vt100") as one:
        assert await one.ended() == 2
    assert one.seen.isascii()
    assert b"A faire" in one.seen


@at_the_same_daemon
async def test_on_a_terminal_it_is_drawn_anew_in_colour_unless_asked_not_to(running: Path) -> None:
    for more in ({}, {"NO_COLOR": "1"}):
        xterm = terminal("status", "--watch", *at(running), term="xterm-256color", more=more)
        async with xterm as one:
            await one.until(b"microphone")
            seen = len(one.seen)
            await kioskctl("maintenance", "on", *at(running))
            await one.until(b"MAINTENANCE", after=seen)
            await kioskctl("maintenance", "off", *at(running))
            one.process.send_signal(signal.SIGINT)
            assert await one.ended() == 0
        assert b"\x1b[1A" in one.seen  # up: the picture before is drawn over
        assert bool(COLOUR.search(one.seen)) is not bool(more)


@at_the_same_daemon
async def test_top_is_left_by_a_key_and_leaves_the_screen_as_it_was(running: Path) -> None:
    async with terminal("top", *at(running), term="xterm-256color") as one:
        await one.until(b"loop lag")
        await one.until(b"q quits")
        one.press(b"q")
        assert await one.ended() == 0
    assert b"\x1b[?1049h" in one.seen
    assert one.seen.rindex(b"\x1b[?1049l") > one.seen.rindex(b"\x1b[?1049h")


async def test_the_log_of_a_living_daemon_is_found_and_followed(config: Path) -> None:
    async with daemon(config) as service:
        await service.until_ready(0)
        command = ("logs", "--follow", "--language", "en", *at(config))
        async with terminal(*command, term="xterm") as one:
            await one.until(b"kioskd.ready")
            seen = len(one.seen)
            await kioskctl("maintenance", "on", *at(config))
            await one.until(b"maintenance.begun", after=seen)
            await one.until(b"kioskctl maintenance off", after=seen)  # what to do about it
            one.process.send_signal(signal.SIGINT)
            assert await one.ended() == 0
        chosen = await kioskctl("logs", "--json", "--level", "warning", *at(config))
        told = [json.loads(line) for line in chosen.splitlines()]
        assert {one["level"] for one in told} <= {"warning", "error"}
        assert {one.get("finding") for one in told} >= {"KSK-060", "KSK-003"}
        assert await service.stop() == 0
    dead = await kioskctl("logs", "--file", str(service.log), "-n", "1", "--json")
    assert "kioskd.stopping" in dead or "broker" in dead


@at_the_same_daemon
async def test_status_as_json_is_a_line_for_each_change(running: Path) -> None:
    async with terminal("status", "--watch", "--json", *at(running), term="dumb") as one:
        await one.until(b"\n")
        await kioskctl("maintenance", "on", *at(running))
        await one.until(b'"stage":"on"')
        one.process.send_signal(signal.SIGINT)
        assert await one.ended() == 0
    lines = [json.loads(line) for line in one.seen.splitlines() if line]
    assert [line["maintenance"]["stage"] for line in lines][-2:] == ["off", "on"]
    await kioskctl("maintenance", "off", *at(running))
