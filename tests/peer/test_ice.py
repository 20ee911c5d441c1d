"""STUN and TURN servers: those that answer are taken, the best first (coturn)."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kioskd.call import ice
from kioskd.call.ice import IceServer, IceServers, choose
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
