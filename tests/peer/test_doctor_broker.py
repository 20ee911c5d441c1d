"""Doctor's way to the broker, against a real Mosquitto with TLS and passwords."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kioskd.diagnostics import board, network
from kioskd.diagnostics.findings import Trouble
from kioskd.runtime.children import Child
from kioskd.signalling.link import BrokerAddress
from kioskd.simulation.broker import free_port

pytestmark = pytest.mark.peer
DAY = timedelta(days=1)
START_S = 15.0


@dataclass(frozen=True)
class Life:
    """From when to when a certificate is valid, in days from now, and for which name."""

    start: int = -1
    end: int = 365
    name: str = "localhost"


def certificate(folder: Path, life: Life) -> None:
    """Write cert.pem and key.pem: a certificate that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, life.name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + life.start * DAY)
        .not_valid_after(now + life.end * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(life.name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(private)


@contextlib.asynccontextmanager
async def mosquitto(folder: Path, life: Life) -> AsyncIterator[BrokerAddress]:
    """Run a broker that takes the user "kiosk" with the password "secret"."""
    certificate(folder, life)
    port = free_port()
    passwords = folder / "passwords"
    await asyncio.to_thread(
        subprocess.run,
        ["mosquitto_passwd", "-b", "-c", str(passwords), "kiosk", "secret"],
        check=True,
        capture_output=True,
    )
    (folder / "mosquitto.conf").write_text(
        f"user root\nallow_anonymous false\npassword_file {passwords}\nlistener {port} 127.0.0.1\n"
        f"certfile {folder}/cert.pem\nkeyfile {folder}/key.pem\n"
    )
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    command = ["mosquitto", "-c", str(folder / "mosquitto.conf")]
    child = Child("mosquitto", command, env={**os.environ, "PATH": path})
    await child.start()
    try:
        async with asyncio.timeout(START_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                assert not child.exited.is_set()
                await asyncio.sleep(0.02)
        context = ssl.create_default_context(cafile=folder / "cert.pem")
        yield BrokerAddress("localhost", port, "kiosk", "kiosk", "secret", context)
    finally:
        await child.stop()


async def asked(address: BrokerAddress) -> list[str]:
    return [one.id for one in await network.broker(address, say_hello=True)]


async def test_a_broker_that_takes_us_is_no_finding(tmp_path: Path) -> None:
    async with mosquitto(tmp_path, Life()) as address:
        assert await asked(address) == []
        wrong = replace(address, password="guess")
        assert await asked(wrong) == [Trouble.REFUSED]
        unknown = replace(address, tls=ssl.create_default_context())
        assert await asked(unknown) == [Trouble.BROKER_CERTIFICATE]
        # TLS against a broker without, and the other way round
        assert await asked(replace(address, tls=None)) == [Trouble.BROKER_SILENT]
    assert await asked(address) == [Trouble.BROKER]


@pytest.mark.parametrize(
    ("life", "ids"),
    [
        (Life(end=10), [Trouble.EXPIRES_SOON]),
        (Life(start=-30, end=-1), [Trouble.BROKER_CERTIFICATE]),
        (Life(name="elsewhere"), [Trouble.BROKER_CERTIFICATE]),
        (Life(start=2), [Trouble.CLOCK, Trouble.BROKER_CERTIFICATE]),
    ],
)
async def test_the_days_and_the_name_of_its_certificate(
    tmp_path: Path, life: Life, ids: list[str]
) -> None:
    async with mosquitto(tmp_path, life) as address:
        assert await asked(address) == ids


async def test_a_name_that_is_not_known() -> None:
    address = BrokerAddress("broker.invalid", 8883, "kiosk")
    assert (await asked(address))[-1] == Trouble.NAMES


async def test_a_name_server_that_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_for_ever = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: asked_for_ever.wait())
    address = BrokerAddress("broker.example.org", 8883, "kiosk")
    try:
        async with asyncio.timeout(board.CHECK_S):
            assert (await asked(address))[-1] == Trouble.NAMES
    finally:
        asked_for_ever.set()


def test_all_steps_to_the_broker_fit_into_a_check() -> None:
    steps = network.NAMES_S + network.CONNECT_S + network.CONNACK_S
    assert steps < board.CHECK_S


@pytest.mark.parametrize(
    ("life", "ids"),
    [
        (Life(), []),
        (Life(end=10), [Trouble.EXPIRES_SOON]),
        (Life(start=-30, end=-1), [Trouble.OWN_CERTIFICATE]),
        (Life(start=2), [Trouble.OWN_CERTIFICATE]),
    ],
)
def test_the_kiosks_own_certificate(tmp_path: Path, life: Life, ids: list[str]) -> None:
    certificate(tmp_path, life)
    assert [one.id for one in network.own_certificate(tmp_path / "cert.pem")] == ids
