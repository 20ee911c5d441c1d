"""The way to the broker, from the cable to its CONNACK: the first step that fails is named."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
from cryptography import x509

from kioskd.diagnostics.board import in_thread
from kioskd.diagnostics.findings import Found, Trouble, trouble, why
from kioskd.errors import SignallingError
from kioskd.signalling.link import BrokerAddress
from kioskd.signalling.probe import BrokerRefuses, probe

NAMES_S: Final = 1.2
CONNECT_S: Final = 1.8
CONNACK_S: Final = 1.8
"""The three together are less than a check may take (board.CHECK_S)."""
SOON: Final = timedelta(days=21)
_NOT_YET_VALID: Final = 9
"""X509_V_ERR_CERT_NOT_YET_VALID: x509_vfy.h"""


async def broker(address: BrokerAddress, *, say_hello: bool) -> list[Found]:
    """Go the way to the broker. `say_hello`: log in too, which throws out a daemon that is."""
    where = f"{address.host}:{address.port}"
    try:
        found = await _resolve(address.host, address.port)
    except TimeoutError:
        silent = f"{address.host}: no answer in {NAMES_S:g} s"
        return [*_network(local=False), trouble(Trouble.NAMES, silent)]
    except OSError as error:
        return [*_network(local=False), trouble(Trouble.NAMES, f"{address.host}: {why(error)}")]
    local = all(ipaddress.ip_address(one[4][0]).is_loopback for one in found)
    try:
        certificate = await _knock(address)
    except ssl.SSLCertVerificationError as error:
        clock = error.verify_code == _NOT_YET_VALID
        told = trouble(Trouble.BROKER_CERTIFICATE, f"{where}: {error.verify_message}")
        return (
            [trouble(Trouble.CLOCK, f"{where}: {error.verify_message}"), told] if clock else [told]
        )
    except ssl.SSLError as error:
        return [trouble(Trouble.BROKER_CERTIFICATE, f"{where}: {error.reason or error}")]
    except TimeoutError:
        return [
            *_network(local=local),
            trouble(Trouble.BROKER, f"{where}: no answer in {CONNECT_S:g} s"),
        ]
    except OSError as error:
        return [*_network(local=local), trouble(Trouble.BROKER, f"{where}: {why(error)}")]
    if say_hello:
        try:
            await probe(address, timeout=CONNACK_S)
        except BrokerRefuses as error:
            return [trouble(Trouble.REFUSED, f"{where}: {error}")]
        except SignallingError as error:
            return [trouble(Trouble.BROKER_SILENT, f"{where}: {error}")]
    return expiry(certificate, where) if certificate else []


async def _resolve(host: str, port: int) -> list[Any]:
    """Ask for the name's addresses; a silent name server is not waited for. Raises OSError."""
    async with asyncio.timeout(NAMES_S):
        return await in_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _network(*, local: bool) -> list[Found]:
    return [] if local or has_route() else [trouble(Trouble.NO_NETWORK)]


def has_route(routes: Path = Path("/proc/net")) -> bool:
    """Tell whether the machine has a default route, of either family."""
    with contextlib.suppress(OSError):
        for line in (routes / "route").read_text().splitlines()[1:]:
            if line.split()[1] == "00000000":
                return True
    with contextlib.suppress(OSError):
        for line in (routes / "ipv6_route").read_text().splitlines():
            parts = line.split()
            if parts[1] == "00" and parts[-1] != "lo":
                return True
    return False


async def _knock(address: BrokerAddress) -> datetime | None:
    """Connect, with TLS where it is used; return when the broker's certificate ends."""
    async with asyncio.timeout(CONNECT_S):
        _, writer = await asyncio.open_connection(address.host, address.port, ssl=address.tls)
    try:
        peer: Any = writer.get_extra_info("peercert")
        if not peer:
            return None
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(peer["notAfter"]), UTC)
    finally:
        writer.transport.abort()


def expiry(end: datetime, what: str) -> list[Found]:
    """Tell of a certificate that ends soon."""
    if end - datetime.now(UTC) < SOON:
        return [trouble(Trouble.EXPIRES_SOON, f"{what}: {end:%Y-%m-%d}")]
    return []


def own_certificate(file: Path) -> list[Found]:
    """Look at the days of the kiosk's client certificate. Raises OSError, ValueError."""
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= datetime.now(UTC) <= end:
        return [trouble(Trouble.OWN_CERTIFICATE, f"{file}: {start:%Y-%m-%d} to {end:%Y-%m-%d}")]
    return expiry(end, str(file))


async def clock_told_by(urls: list[str]) -> datetime | None:
    """Return the time by the first HTTP server that tells it (RFC 9110, 6.6.1), or None."""
    limit = aiohttp.ClientTimeout(total=CONNECT_S)
    async with aiohttp.ClientSession(timeout=limit) as session:
        for told in await asyncio.gather(*(_date(session, url) for url in urls)):
            if told is not None:
                return told
    return None


async def _date(session: aiohttp.ClientSession, url: str) -> datetime | None:
    # Without verification: with a wrong clock no certificate is valid. It is a hint only.
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, KeyError, ValueError):
        async with session.head(url, ssl=False, allow_redirects=False) as answer:
            return parsedate_to_datetime(answer.headers["Date"])
    return None
