"""Outside a call camera and microphone are closed, whatever anybody says to the kiosk.

The whole daemon with an emulated V4L2 camera, a real PipeWire, a real broker and an agent's real
page. What is open is read from the kernel (`/proc/*/fd`) and from PipeWire, not from the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import aiohttp
import aiomqtt
import psutil
import pytest
import pytest_asyncio

from kioskd.audit.events import AuditEvent, SensorClosed, SensorOpened, TestBegun
from kioskd.audit.verify import files_of, lines_of, verify
from kioskd.control import client
from kioskd.control.trial import Options, Outcome
from kioskd.hal.device import DeviceKind
from kioskd.hal.panel import Lamp, LampPattern
from kioskd.hal.trial import Trial
from kioskd.runtime.sound_server import connection
from kioskd.signalling import topics
from kioskd.signalling.messages import AgentStatus, Answer, Bye, Claim, KioskStatus, Waiting
from kioskd.visit.words import EndReason
from tests.faults import rig as rigs

CAMERA, MICROPHONE = DeviceKind.CAMERA, DeviceKind.MICROPHONE
LENS = "/memfd:camera"
"""What an open camera is under the emulation: shim.c."""
EMULATED = "input.kiosk_"
"""The emulated microphone itself takes its sound from somewhere (kioskd/simulation/pipewire.py)."""
WITHIN_S = 20.0
KIOSK = rigs.KIOSK
pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def the_rig() -> AsyncIterator[rigs.Rig]:
    async with rigs.rig() as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def rig(the_rig: rigs.Rig) -> AsyncIterator[rigs.Rig]:
    await the_rig.restore(flaps=False)
    await the_rig.idle()
    yield the_rig


@dataclass(frozen=True)
class Seen:
    """What is open, and what people are told of it."""

    lenses: int
    recorders: int
    lamp: bool
    testing: Trial | None


def family(rig: rigs.Rig) -> list[psutil.Process]:
    daemon = psutil.Process(rig.pid)
    return [daemon, *daemon.children(recursive=True)]


def lenses(rig: rigs.Rig) -> int:
    """Count the descriptors of the camera in the daemon and all its workers."""
    count = 0
    for process in family(rig):
        with contextlib.suppress(OSError):
            folder = f"/proc/{process.pid}/fd"
            for name in os.listdir(folder):  # noqa: PTH208
                with contextlib.suppress(OSError):
                    target = os.readlink(f"{folder}/{name}")  # noqa: PTH115
                    count += target.startswith(LENS) or target == str(rig.camera.node)
    return count


async def recorders(rig: rigs.Rig) -> int:
    """Count what records at PipeWire, whoever does."""
    async with connection("test", address=rig.sound.address, limit_s=WITHIN_S) as pulse:
        found = await pulse.source_output_list()
    return sum(not one.proplist.get("node.name", "").startswith(EMULATED) for one in found)


async def look(rig: rigs.Rig) -> Seen:
    view = rig.resident.view
    return Seen(
        lenses=await asyncio.to_thread(lenses, rig),
        recorders=await recorders(rig),
        lamp=rig.panel.panel.lamps.get(Lamp.CAMERA, LampPattern.OFF) is LampPattern.ON,
        testing=view.testing if view else None,
    )


BLIND = Seen(lenses=0, recorders=0, lamp=False, testing=None)


async def until(rig: rigs.Rig, true: Callable[[Seen], bool]) -> Seen:
    end = time.monotonic() + WITHIN_S
    while not true(seen := await look(rig)):
        assert time.monotonic() < end, seen
        await asyncio.sleep(0.05)
    return seen


def audited(rig: rigs.Rig) -> list[AuditEvent]:
    folder = rig.folder / "state" / "audit"
    return [line.event for file in files_of(folder) for _, line in lines_of(file)]


def openings(rig: rigs.Rig) -> int:
    return sum(isinstance(one, SensorOpened) for one in audited(rig))


async def told(rig: rigs.Rig, true: Callable[[int, int], bool]) -> None:
    """Wait until the log has it: how often sensors were opened and closed."""
    end = time.monotonic() + WITHIN_S
    while True:
        log = audited(rig)
        opened = sum(isinstance(one, SensorOpened) for one in log)
        closed = sum(isinstance(one, SensorClosed) for one in log)
        if true(opened, closed):
            return
        assert time.monotonic() < end, (opened, closed, [one.type for one in log])
        await asyncio.sleep(0.05)


async def test_a_call_opens_them_with_the_lamp_and_its_end_closes_them(rig: rigs.Rig) -> None:
    await until(rig, lambda seen: seen == BLIND)
    await rig.wait_in_line()
    assert await look(rig) == BLIND, "waiting is no call"
    await rig.agent.take()
    await rig.resident.until("talking", lambda view: view.scene == "talking")
    seen = await until(rig, lambda seen: seen.lenses > 0 and seen.recorders > 0)
    assert seen.lamp
    await rig.idle()
    await until(rig, lambda seen: seen == BLIND)
    # A device that fails is opened again; whatever was opened is closed.
    await told(rig, lambda opened, closed: opened == closed >= 2)
    assert verify(rig.folder / "state" / "audit").faults == []


def strange_messages() -> list[tuple[str, bytes]]:
    """All that the broker, or who has it, can say to a kiosk in which nobody is."""
    sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
    said = []
    for service in ("caf", "cpam", "none"):
        for call in ("call-1", "x"):
            messages = [
                Claim(call=call, agent="evil", name="Eve"),
                Answer(call=call, sdp=sdp),
                Bye(call=call, reason=EndReason.HANG_UP),
                AgentStatus(online=True, name="Eve"),
                KioskStatus(online=True, epoch="e"),
                Waiting(
                    epoch="e", call=call, kiosk=KIOSK, name="", town="", service=service, since=1
                ),
            ]
            places = [
                topics.claim(service, KIOSK),
                topics.to_kiosk(service, KIOSK, "evil"),
                topics.waiting(service, KIOSK),
                topics.status(KIOSK),
            ]
            said += [
                (one, message.model_dump_json().encode()) for one in places for message in messages
            ]
        for word in ("scan-request", "open", "test", "sensors", "keyframe", "choose"):
            payload = json.dumps({"v": 1, "id": "1", "type": word, "device": "camera"}).encode()
            said.append((topics.to_kiosk(service, KIOSK, "evil"), payload))
            said.append((topics.claim(service, KIOSK), payload))
    return said


async def test_nothing_that_comes_from_the_broker_opens_them(rig: rigs.Rig) -> None:
    await until(rig, lambda seen: seen == BLIND)
    before = openings(rig)
    async with aiomqtt.Client(
        "127.0.0.1", rig.broker.port, protocol=aiomqtt.ProtocolVersion.V5
    ) as evil:
        for topic, payload in strange_messages():
            await evil.publish(topic, payload, qos=1)
            if await asyncio.to_thread(lenses, rig):
                raise AssertionError((topic, payload))
        for topic, _ in strange_messages():  # take back what Mosquitto keeps
            await evil.publish(topic, b"", retain=True)
    await rig.until("an answer", lambda one: one.status is not None)
    assert await look(rig) == BLIND
    assert openings(rig) == before, "not even for a moment: each opening is in the audit log"


async def ask(rig: rigs.Rig, method: str, path: str) -> int:
    connector = aiohttp.UnixConnector(str(rig.folder / "control.sock"))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, f"http://kioskd{path}") as answer,
    ):
        await answer.read()
        return answer.status


async def test_no_control_command_but_a_test_opens_them(rig: rigs.Rig) -> None:
    await until(rig, lambda seen: seen == BLIND)
    before = openings(rig)
    devices = [*DeviceKind, "sensors", "all"]
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        for path in ("/status", "/", "/open/camera", *(f"/readmit/{one}" for one in devices)):
            await ask(rig, method, path)
        if method != "POST":
            for one in (*devices, *Trial):
                assert await ask(rig, method, f"/test/{one}") in (404, 405)
        assert await asyncio.to_thread(lenses, rig) == 0
    assert await look(rig) == BLIND
    assert openings(rig) == before


@pytest.mark.parametrize("kind", [CAMERA, MICROPHONE])
async def test_a_technicians_test_is_on_the_screen_and_lights_the_lamp(
    rig: rigs.Rig, kind: DeviceKind
) -> None:
    await until(rig, lambda seen: seen == BLIND)
    before = openings(rig)
    test = asyncio.create_task(ask(rig, "POST", f"/test/{kind.value}"))
    shown = lit = False
    while not test.done():
        seen = await look(rig)
        shown = shown or seen.testing == Trial(kind.value)
        lit = lit or seen.lamp
        await asyncio.sleep(0.01)
    assert await test == 200
    assert shown, "the screen says that a test runs"
    assert lit
    await until(rig, lambda seen: seen == BLIND)
    await told(rig, lambda opened, _: opened == before + 1)
    log = audited(rig)
    opened = [one for one in log if isinstance(one, SensorOpened)][-1]
    assert (opened.device, opened.visit) == (kind, "")
    assert any(isinstance(one, TestBegun) and one.device == kind.value for one in log)


async def test_the_picture_of_a_test_goes_to_whoever_asked_and_stays_nowhere(
    rig: rigs.Rig,
) -> None:
    socket = rig.folder / "control.sock"
    outcome = await client.run_test(socket, Trial.CAMERA, Options(), lambda _: None)
    assert isinstance(outcome, Outcome)
    assert [one.name for one in outcome.exhibits] == ["camera.png"]
    assert rig.spooled() == []


async def test_no_test_while_a_resident_is_there(rig: rigs.Rig) -> None:
    await rig.wait_in_line()
    before = openings(rig)
    assert await ask(rig, "POST", "/test/camera") == 200  # it says that it did not
    assert openings(rig) == before
    assert await look(rig) == BLIND


async def test_an_idle_kiosk_listens_on_the_screens_port_only(rig: rigs.Rig) -> None:
    await until(rig, lambda seen: seen == BLIND)
    listening, datagrams = [], []
    for process in family(rig):
        for one in process.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN:
                listening.append((one.laddr.ip, one.laddr.port))
            elif one.type.name == "SOCK_DGRAM":
                datagrams.append(one.laddr)
    assert listening == [("127.0.0.1", rig.screen_port)]
    assert datagrams == []


async def test_the_status_at_the_broker_anchors_the_audit_log(rig: rigs.Rig) -> None:
    await rig.until("a head", lambda one: one.status is not None and one.status.audit.seq > 0)
    async with aiomqtt.Client(
        "127.0.0.1", rig.broker.port, protocol=aiomqtt.ProtocolVersion.V5
    ) as watcher:
        await watcher.subscribe(topics.status(KIOSK))
        async with asyncio.timeout(90):
            async for message in watcher.messages:
                assert isinstance(message.payload, bytes)
                if message.payload and KioskStatus.model_validate_json(message.payload).audit:
                    break
    told = KioskStatus.model_validate_json(message.payload).audit
    assert verify(rig.folder / "state" / "audit", anchor=told).faults == []
