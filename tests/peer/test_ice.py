"""STUN and TURN servers: those that answer are taken, the best first (coturn)."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from kioskd.call import ice, seams
from kioskd.call.channels import CONTROL
from kioskd.call.ice import IceServer, IceServers, choose
from kioskd.simulation.broker import free_port
from tests.peer.firewalled_kiosk import both_ways
from tests.peer.turn_server import TurnServer

pytestmark = pytest.mark.peer


@pytest.fixture
def silent() -> Iterator[int]:
    """A UDP port that takes everything and answers nothing, as behind a firewall."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        yield int(one.getsockname()[1])


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TurnServer]:
    async with TurnServer(tmp_path) as one:
        monkeypatch.setenv("SSL_CERT_FILE", str(one.ca))
        yield one


@pytest.mark.parametrize("first", ["udp", "tcp", "tls"])
async def test_of_all_that_answer_the_first_is_taken(server: TurnServer, first: str) -> None:
    others = [one for one in ("udp", "tcp", "tls") if one != first]
    listed = [server.stun, *(server.by(one) for one in (first, *others))]
    assert await choose(listed) == [server.stun, server.by(first)]


async def test_where_udp_is_swallowed_another_way_is_taken_at_once(
    server: TurnServer, silent: int
) -> None:
    dead = IceServer(f"turn:127.0.0.1:{silent}?transport=udp", "kiosk", "secret")
    no_stun = IceServer(f"stun:127.0.0.1:{silent}")
    began = time.monotonic()
    chosen = await choose([no_stun, dead, server.by("tcp"), server.by("tls")])
    assert chosen == [server.by("tcp")]
    assert time.monotonic() - began < 2 * ice.WITHIN_S


async def test_a_wrong_password_or_certificate_is_not_taken(
    server: TurnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await choose([server.by("udp", "wrong"), server.by("tls")]) == [server.by("tls")]
    monkeypatch.delenv("SSL_CERT_FILE")
    assert await choose([server.by("tls")]) == []


async def test_without_any_that_answers_there_is_none(silent: int) -> None:
    dead = [
        IceServer("turn:[not an address"),
        IceServer(f"turn:127.0.0.1:{silent}", "kiosk", "secret"),
        IceServer("turn:nowhere.invalid:3478", "kiosk", "secret"),
    ]
    assert await choose(dead) == []
    assert await choose([]) == []


async def test_the_choice_is_kept_until_the_network_may_be_another(
    server: TurnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    answers = ice._answers

    async def count(one: IceServer) -> bool:
        nonlocal asked
        asked += 1
        return await answers(one)

    monkeypatch.setattr(ice, "_answers", count)
    servers = IceServers([server.by("udp")])
    servers.look()
    assert await servers.best() == await servers.best() == [server.by("udp")]
    assert asked == 1
    servers.look(anew=True)
    for best in await asyncio.gather(servers.best(), servers.best()):
        assert best == [server.by("udp")]
    assert asked == 2
    await servers.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")
async def test_a_call_gets_through_a_firewall_that_lets_only_tls_out(
    server: TurnServer, silent: int, tmp_path: Path
) -> None:
    way_out, inside = str(tmp_path / "out"), free_port()

    out_again: list[asyncio.Task[None]] = []

    async def let_out(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, out = await asyncio.open_connection("127.0.0.1", server.tls_port)
        out_again.append(asyncio.create_task(both_ways((near, back), (far, out))))

    tls = server.by("tls")
    through = IceServer(f"turns:127.0.0.1:{inside}?transport=tcp", tls.username, tls.credential)
    udp = IceServer(f"turn:127.0.0.1:{silent}?transport=udp", tls.username, tls.credential)
    kiosk = await asyncio.create_subprocess_exec(
        *("unshare", "--net", sys.executable, "-m", "tests.peer.firewalled_kiosk"),
        *(way_out, str(inside), *(json.dumps(asdict(one)) for one in (udp, through))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert kiosk.stdin is not None
    assert kiosk.stdout is not None
    agent = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    opened: asyncio.Queue[RTCDataChannel] = asyncio.Queue()
    agent.on("datachannel", opened.put_nowait)
    try:
        async with await asyncio.start_unix_server(let_out, way_out), asyncio.timeout(30):
            said = json.loads(await kiosk.stdout.readline())
            assert said["chosen"] == [through.url]
            await agent.setRemoteDescription(RTCSessionDescription(said["offer"], "offer"))
            seams.gather_loopback(agent.sctp.transport.transport.iceGatherer)  # type: ignore[union-attr]
            await agent.setLocalDescription(await agent.createAnswer())
            kiosk.stdin.write(json.dumps(agent.localDescription.sdp).encode() + b"\n")
            while (channel := await opened.get()).label != CONTROL:
                pass
            channel.send("through the firewall")
            heard: dict[str, str] = {}
            while "heard" not in heard:
                heard = json.loads(await kiosk.stdout.readline())
            assert heard["heard"] == "through the firewall"
    finally:
        await agent.close()
        kiosk.kill()
        await kiosk.wait()
        await asyncio.gather(*out_again)  # they end with the kiosk
