"""A real Mosquitto with our rules, TLS and client certificates: who may say and hear what."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiomqtt
import pytest

from kioskd.app.broker import broker_address
from kioskd.app.line import Line
from kioskd.runtime.children import Child
from kioskd.settings import BrokerSettings, KioskSettings
from kioskd.signalling import topics
from kioskd.signalling.access import agent_rules, kiosk_rules
from kioskd.simulation.broker import free_port
from tests.e2e.stage import wait_for
from tests.peer.pki import Pki

pytestmark = pytest.mark.peer

PASSWORD = "secret"
USERS = {"caf": ["caf"], "cpam": ["cpam"]}
END = "end"
"""Published last: what has not come before it does not come."""


@dataclass
class Broker:
    """Where kiosks and agents connect, and who certifies the kiosks."""

    pki: Pki
    kiosks: int
    agents: int
    folder: Path

    def settings(self, kiosk: str, pki: Pki | None = None) -> BrokerSettings:
        certificate, key = (pki or self.pki).issue(kiosk)
        return BrokerSettings(
            host="127.0.0.1", port=self.kiosks, ca=self.pki.ca, certificate=certificate, key=key
        )

    def kiosk(self, name: str) -> aiomqtt.Client:
        address = broker_address(name, self.settings(name))
        return _client(self.kiosks, name, tls_context=address.tls)

    def agent(self, user: str, name: str) -> aiomqtt.Client:
        return _client(self.agents, name, username=user, password=PASSWORD)


def _client(port: int, name: str, **more: object) -> aiomqtt.Client:
    version = aiomqtt.ProtocolVersion.V5
    return aiomqtt.Client("127.0.0.1", port, identifier=name, protocol=version, **more)  # type: ignore[arg-type]


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    with tempfile.TemporaryDirectory(prefix="kioskd-") as name:
        folder = Path(name)
        one = Broker(Pki(folder, "authority"), free_port(), free_port(), folder)
        await asyncio.to_thread(_write, one)
        program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        assert program is not None
        child = Child("mosquitto", [program, "-c", folder / "mosquitto.conf"])
        await child.start()
        try:
            for port in (one.kiosks, one.agents):
                await _answers(port)
            yield one
        finally:
            await child.stop()


def _write(one: Broker) -> None:
    folder = one.folder
    certificate, key = one.pki.issue("server")
    (folder / "kiosks.acl").write_text(kiosk_rules())
    (folder / "agents.acl").write_text(agent_rules(USERS))
    (folder / "mosquitto.conf").write_text(
        "per_listener_settings true\n"
        f"listener {one.kiosks} 127.0.0.1\n"
        f"cafile {one.pki.ca}\ncertfile {certificate}\nkeyfile {key}\n"
        "require_certificate true\nuse_identity_as_username true\n"
        f"acl_file {folder}/kiosks.acl\n"
        f"listener {one.agents} 127.0.0.1\n"
        f"allow_anonymous false\npassword_file {folder}/passwords\n"
        f"acl_file {folder}/agents.acl\n"
    )
    passwords = folder / "passwords"
    passwords.write_text("".join(f"{user}:{PASSWORD}\n" for user in USERS))
    _hash(passwords)
    if os.geteuid() == 0:
        user = pwd.getpwnam("mosquitto")
        for path in (folder, *folder.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
            path.chmod(0o700)


def _hash(passwords: Path) -> None:
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)


async def _answers(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


async def heard(client: aiomqtt.Client) -> list[str]:
    """Return the topics of what comes, up to the one whose payload is END."""
    seen: list[str] = []
    async with asyncio.timeout(10):
        async for message in client.messages:
            if message.payload == END.encode():
                return seen
            seen.append(message.topic.value)
    raise AssertionError("the broker went away")


async def test_a_kiosk_writes_below_its_own_id_only(broker: Broker) -> None:
    async with broker.kiosk("k1") as kiosk, broker.agent("caf", "lea") as lea:
        await lea.subscribe(f"{topics.ROOT}/#", qos=1)
        for topic in (
            topics.status("k2"),
            topics.waiting("caf", "k2"),
            topics.to_agent("caf", "k2", "lea"),
            topics.claim("caf", "k2"),
            topics.to_kiosk("caf", "k2", "lea"),
            topics.agent("caf", "lea"),
        ):
            await kiosk.publish(topic, "forged", qos=1)
        await kiosk.publish(topics.waiting("caf", "k1"), "x", qos=1)
        await kiosk.publish(topics.to_agent("caf", "k1", "lea"), "x", qos=1)
        await kiosk.publish(topics.status("k1"), END, qos=1)
        assert await heard(lea) == [
            topics.waiting("caf", "k1"),
            topics.to_agent("caf", "k1", "lea"),
        ]


async def test_an_agent_sees_the_lines_of_its_services_only(broker: Broker) -> None:
    async with broker.kiosk("k1") as kiosk, broker.agent("cpam", "paul") as paul:
        await paul.subscribe(f"{topics.ROOT}/#", qos=1)
        await kiosk.publish(topics.waiting("caf", "k1"), "x", qos=1)
        await kiosk.publish(topics.to_agent("caf", "k1", "lea"), "x", qos=1)
        await kiosk.publish(topics.to_agent("cpam", "k1", "lea"), "x", qos=1)
        await kiosk.publish(topics.waiting("cpam", "k1"), "x", qos=1)
        await kiosk.publish(topics.status("k1"), END, qos=1)
        assert await heard(paul) == [topics.waiting("cpam", "k1")]


async def test_an_agent_speaks_in_its_own_name_and_for_its_services(broker: Broker) -> None:
    async with broker.kiosk("k1") as kiosk, broker.agent("cpam", "paul") as paul:
        await kiosk.subscribe(f"{topics.ROOT}/#", qos=1)
        for topic in (
            topics.claim("caf", "k1"),
            topics.to_kiosk("cpam", "k1", "lea"),
            topics.to_agent("cpam", "k1", "lea"),
            topics.waiting("cpam", "k1"),
            topics.status("k1"),
        ):
            await paul.publish(topic, "forged", qos=1)
        await paul.publish(topics.to_kiosk("cpam", "k1", "paul"), "x", qos=1)
        await paul.publish(topics.claim("cpam", "k1"), END, qos=1)
        assert await heard(kiosk) == [topics.to_kiosk("cpam", "k1", "paul")]


async def test_a_kiosk_s_line_works_with_its_certificate(broker: Broker) -> None:
    settings = broker.settings("k1")
    line = Line(
        KioskSettings(id="k1", name="Mairie"),
        broker_address("k1", settings),
        on_signal=lambda *_: None,
        on_change=lambda: None,
    )
    task = asyncio.create_task(line.link.run())
    try:
        await wait_for(lambda: line.online, 10, "the broker does not take us")
        async with broker.agent("caf", "lea") as lea:
            await lea.subscribe(topics.waiting("caf", "+"), qos=1)
            line.join("caf", "call-1", "fr", 0)
            async with asyncio.timeout(10):
                message = await anext(aiter(lea.messages))
        assert b"call-1" in bytes(message.payload)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_certificate_of_another_authority_is_not_taken(broker: Broker) -> None:
    elsewhere = broker.folder / "elsewhere"
    elsewhere.mkdir()
    address = broker_address("k1", broker.settings("k1", Pki(elsewhere, "other")))
    with pytest.raises((aiomqtt.MqttError, ssl.SSLError, OSError)):
        async with asyncio.timeout(10), _client(broker.kiosks, "k1", tls_context=address.tls):
            pass
