"""Gathering ahead of a call: what is opened for it is closed, whenever it is given up (coturn)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aioice import Candidate, Connection
from aiortc import RTCIceGatherer

from kioskd.call import seams
from kioskd.call.ice import IceServer
from kioskd.call.leg import Leg
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.errors import CallError
from kioskd.hal.camera import Frame
from kioskd.hal.microphone import AudioChunk
from tests.e2e.stage import wait_for
from tests.peer.turn_server import TurnServer

pytestmark = pytest.mark.peer

CANCELLED = 20


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[TurnServer]:
    async with TurnServer(tmp_path) as one:
        yield one


async def _never() -> Frame:
    raise AssertionError("the camera is not read before an agent has the call")


async def _nor() -> AudioChunk:
    raise AssertionError("the microphone is not read before an agent has the call")


async def _play(_: bytes) -> None:
    pass


def _leg(servers: list[IceServer]) -> Leg:
    return Leg(
        ice_servers=servers,
        audio=MicrophoneTrack(_nor),
        video=CameraTrack(_never),
        on_control=lambda _: None,
        on_document=lambda _, __: None,
        on_remote_video=lambda *_: None,
        on_remote_audio=_play,
        on_state=lambda _: None,
    )


def _sockets() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_offers_that_are_given_up_leave_no_socket_and_no_task(server: TurnServer) -> None:
    servers = [server.stun, server.by("udp")]
    first = _leg(servers)
    assert "typ relay" in await first.offer()
    await first.close()
    tasks, sockets = asyncio.all_tasks(), _sockets()
    for number in range(CANCELLED):
        leg = _leg(servers)
        offering = asyncio.create_task(leg.offer())
        for _ in range(2 * number):  # each at another moment of its gathering
            await asyncio.sleep(0)
        await leg.close()
        await asyncio.gather(offering, return_exceptions=True)
    # aioice gives up a server that it asks by a socket that is closed after 5 s.
    await wait_for(lambda: asyncio.all_tasks() <= tasks, 20, "tasks are left")
    await wait_for(lambda: _sockets() <= sockets, 20, "sockets are left")


async def test_a_closed_leg_offers_nothing(server: TurnServer) -> None:
    leg = _leg([server.stun])
    await leg.close()
    with pytest.raises(CallError):
        await leg.offer()


def _gatherer() -> tuple[RTCIceGatherer, Connection]:
    gatherer = RTCIceGatherer(iceServers=[])
    return gatherer, gatherer._connection


async def test_what_comes_before_there_is_a_path_does_not_pile_up() -> None:
    gatherer, connection = _gatherer()
    seams.bound_early_data(gatherer)
    for _ in range(10 * seams.EARLY):
        connection.data_received(b"\x16", 1)
    assert connection._queue.qsize() == seams.EARLY
    await connection.close()


async def test_a_name_that_nobody_answers_to_holds_nothing_up() -> None:
    gatherer, connection = _gatherer()
    seams.resolve_names_beside(gatherer)
    name = "00000000-0000-4000-8000-000000000000.local"
    told = [_candidate(name), _candidate("192.0.2.9"), None]
    for one in told:
        await connection.add_remote_candidate(one)
    assert [one.host for one in connection.remote_candidates] == ["192.0.2.9"]
    assert connection._remote_candidates_expected()  # the name may still be found
    await connection.close()


def _candidate(host: str) -> Candidate:
    return Candidate("1", 1, "udp", 2130706431, host, 9, "host")
