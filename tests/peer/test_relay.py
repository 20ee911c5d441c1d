"""The way through STUN and TURN servers: UDP, TCP, TLS, and what can be wrong with each."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kioskd.app.trials.marks import Marks
from kioskd.app.trials.network import try_network
from kioskd.call.ice import IceServer
from kioskd.control.trial import Look, Outcome, Result
from kioskd.diagnostics import trials as telling
from kioskd.diagnostics.findings import Trouble
from kioskd.diagnostics.relay import probe
from kioskd.diagnostics.words import Language
from kioskd.hal.trial import Trial
from kioskd.signalling.link import BrokerAddress
from kioskd.simulation.broker import EmbeddedBroker, free_port
from tests.peer.faulty_turn import PASSWORD, USER, TurnServer
from tests.peer.test_doctor_broker import Life, certificate
from tests.peer.turn_server import TurnServer as Coturn

pytestmark = pytest.mark.peer


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TurnServer]:
    certificate(tmp_path, Life())
    chain = tmp_path / "cert.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))  # what Python's TLS believes, as on a kiosk
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, tmp_path / "key.pem")
    async with TurnServer(context) as one:
        yield one


@pytest.fixture
async def coturn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Coturn]:
    async with Coturn(tmp_path) as one:
        monkeypatch.setenv("SSL_CERT_FILE", str(one.ca))
        yield one


def turn(url: str, password: str = PASSWORD) -> IceServer:
    return IceServer(url, USER, password)


async def test_a_stun_server_is_asked_and_its_answers_are_counted(coturn: Coturn) -> None:
    way = await probe(coturn.stun)
    assert (way.error, way.carries, way.loss) == ("", True, 0.0)
    assert way.trip_s is not None
    assert 0 < way.trip_s < 1


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_packets_go_through_each_transport(coturn: Coturn, transport: str) -> None:
    way = await probe(coturn.by(transport))
    assert (way.error, way.transport, way.loss) == ("", transport, 0)
    assert way.trip_s is not None


async def test_what_was_allocated_is_given_back(server: TurnServer) -> None:
    way = await probe(turn(f"turn:127.0.0.1:{server.udp}"))
    assert way.carries
    assert server.clients
    assert all(client.relay is None for client in server.clients)


async def test_loss_is_measured(server: TurnServer) -> None:
    server.loses = 5
    way = await probe(turn(f"turn:127.0.0.1:{server.udp}"))
    assert way.carries
    assert 0.1 < way.loss < 0.6


async def test_a_wrong_password_is_told_from_a_dead_server(coturn: Coturn) -> None:
    way = await probe(coturn.by("udp", "wrong"))
    assert way.refused
    assert "401" in way.error
    assert not way.carries


async def test_a_server_that_relays_nothing_is_told(server: TurnServer) -> None:
    server.lonely = True
    way = await probe(turn(f"turn:127.0.0.1:{server.udp}"))
    assert (way.error, way.refused, way.carries, way.loss) == ("", False, False, 1.0)


@pytest.mark.parametrize("url", ["stun:127.0.0.1:{}", "turn:127.0.0.1:{}"])
async def test_a_silent_server_is_given_up(server: TurnServer, url: str) -> None:
    server.dumb = True
    way = await probe(turn(url.format(server.udp)))
    assert way.error == "no answer"
    assert not way.carries


async def test_a_port_that_is_closed_is_told() -> None:
    port = free_port()
    for url in (f"stun:127.0.0.1:{port}", f"turn:127.0.0.1:{port}?transport=tcp"):
        assert "refused" in (await probe(turn(url))).error


async def test_a_certificate_of_nobody_is_told(
    server: TurnServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty.pem"))
    way = await probe(turn(f"turns:localhost:{server.tls}?transport=tcp"))
    assert "self-signed" in way.error or "self signed" in way.error


async def test_a_name_that_is_none_and_an_address_that_is_none() -> None:
    assert (await probe(turn("turn:no.such.host.invalid:3478"))).error
    assert (await probe(turn("http://x"))).error


async def tried(folder: Path, *servers: IceServer) -> Outcome:
    """Try the network with a broker that is well."""
    marks = Marks(Trial.NETWORK, lambda _: None)
    (folder / "broker").mkdir()
    async with EmbeddedBroker(folder / "broker") as broker:
        address = BrokerAddress("127.0.0.1", broker.port, "kiosk-1")
        await try_network(marks, address, servers, connected=False, round_trip=None)
    return marks.outcome(1)


async def test_a_network_that_is_well_passes(coturn: Coturn, tmp_path: Path) -> None:
    told = await tried(tmp_path, coturn.stun, coturn.by("udp"), coturn.by("tls"))
    assert (told.result, told.score, told.finding) == (Result.PASSED, 100, None), told.parts
    looks = [one.look for one in told.parts]
    assert looks == [Look.BROKER, Look.STUN, Look.RELAY, Look.RELAY]
    for language in Language:
        assert all(one.text for one in telling.told(told, language, []).parts)


async def test_the_server_that_fails_is_named(coturn: Coturn, tmp_path: Path) -> None:
    closed = f"turn:127.0.0.1:{free_port()}?transport=tcp"
    told = await tried(tmp_path, coturn.by("udp"), turn(closed))
    assert (told.result, told.finding) == (Result.FAILED, Trouble.RELAY)
    assert closed in told.detail


async def test_an_account_that_is_refused_is_another_finding(
    coturn: Coturn, tmp_path: Path
) -> None:
    told = await tried(tmp_path, coturn.by("udp", "wrong"))
    assert (told.result, told.finding) == (Result.FAILED, Trouble.RELAY_REFUSES)


async def test_loss_degrades(server: TurnServer, tmp_path: Path) -> None:
    server.loses = 5
    told = await tried(tmp_path, turn(f"turn:127.0.0.1:{server.udp}"))
    assert (told.result, told.finding) == (Result.DEGRADED, Trouble.RELAY)
