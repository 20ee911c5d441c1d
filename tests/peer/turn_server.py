"""A TURN server (coturn) of a test's own: by UDP and TCP on one port, by TLS on another."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final, Self

from kioskd.call.ice import IceServer
from kioskd.runtime.children import Child
from kioskd.simulation.broker import free_port
from tests.peer.pki import Pki

USER: Final = "kiosk"
PASSWORD: Final = "secret"  # of a server that lives for a test
READY_S: Final = 10.0


class TurnServer:
    """Runs in `folder`; `ca` is the certificate to trust."""

    def __init__(self, folder: Path) -> None:
        self.port, self.tls_port = free_port(), free_port()
        pki = Pki(folder, "turn-ca")
        self.ca = pki.ca
        certificate, key = pki.issue("turn")
        self._child = Child(
            "turnserver",
            [
                *("turnserver", "-n", "--no-cli", "--no-dtls", "--no-rfc5780", "--lt-cred-mech"),
                *("--realm", "kiosk.test", "--user", f"{USER}:{PASSWORD}"),
                *("--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1"),
                *("--listening-port", str(self.port), "--tls-listening-port", str(self.tls_port)),
                *("--cert", str(certificate), "--pkey", str(key), "--allow-loopback-peers"),
                *("--userdb", str(folder / "turndb"), "--pidfile", str(folder / "turn.pid")),
                *("--log-file", "stdout", "--simple-log"),
            ],
        )

    def by(self, transport: str, password: str = PASSWORD) -> IceServer:
        """Return the server as it is configured by udp, tcp or tls."""
        host = "127.0.0.1"
        url = (
            f"turns:{host}:{self.tls_port}?transport=tcp"
            if transport == "tls"
            else f"turn:{host}:{self.port}?transport={transport}"
        )
        return IceServer(url, USER, password)

    @property
    def stun(self) -> IceServer:
        """The same, for STUN alone."""
        return IceServer(f"stun:127.0.0.1:{self.port}")

    async def __aenter__(self) -> Self:
        await self._child.start()
        until = asyncio.get_running_loop().time() + READY_S
        while not await _takes(self.port):
            assert asyncio.get_running_loop().time() < until, "turnserver is not ready"
            await asyncio.sleep(0.05)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._child.stop()


async def _takes(port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False
