"""A real kiosk on a real Mosquitto whose owner is the attacker; devices are simulated."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiomqtt

from kioskd.app.auditing import Auditing
from kioskd.app.broker import broker_address
from kioskd.app.kiosk import Kiosk
from kioskd.app.run import build_devices
from kioskd.documents.spool import Spool
from kioskd.errors import PeerFault
from kioskd.identity.authority import PUBLIC, Issuer
from kioskd.runtime.watchdog import Watchdog
from kioskd.screen.messages import View
from kioskd.screen.server import ScreenServer
from kioskd.settings import Settings, read_toml, validate
from kioskd.signalling import topics
from kioskd.signalling.messages import (
    Answer,
    Bye,
    Claim,
    KioskStatus,
    Signal,
    Waiting,
    new_id,
    parse,
)
from kioskd.simulation.authorities import DemoAuthorities
from kioskd.simulation.broker import EmbeddedBroker
from kioskd.visit import events as ev
from kioskd.visit.words import Scene
from tests.e2e.stage import wait_for

CONFIG = Path(__file__).parents[2] / "config"
WITHIN_S = 20.0

T = TypeVar("T", bound=Signal)


class Screen(ScreenServer):
    """Keeps what it shows; the server itself is not started."""

    seen: View | None = None

    def show(self, view: View) -> None:
        self.seen = view


class Authorities(DemoAuthorities):
    """A demo's, but for the CAF and the CPAM, which are organisations of their own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.caf = Issuer.make("https://caf.invalid")
        self.cpam = Issuer.make("https://cpam.invalid")

    def certify(self, raw: dict[str, Any]) -> dict[str, Any]:
        made = super().certify(raw)
        own = [trust(self.caf, "caf", self.folder), trust(self.cpam, "cpam", self.folder)]
        others = [
            one for one in made["organisations"] if one["services"] not in (["caf"], ["cpam"])
        ]
        return made | {"organisations": [*own, *others]}


class Stand:
    """The kiosk, and a client of its broker that may read and write everything."""

    def __init__(
        self,
        kiosk: Kiosk,
        screen: Screen,
        client: aiomqtt.Client,
        port: int,
        authorities: Authorities,
    ) -> None:
        self.kiosk = kiosk
        self.screen = screen
        self.port = port
        self.authorities = authorities
        self.caf = authorities.caf
        self.cpam = authorities.cpam
        self.refused: list[PeerFault] = []
        self._client = client
        self._inbox: list[Signal] = []
        self._come = asyncio.Event()
        kiosk.calls.peers.on_refused = lambda fault, *_: self.refused.append(fault)

    async def listen(self) -> None:
        """Keep everything that passes through the broker."""
        async for message in self._client.messages:
            with contextlib.suppress(ValueError):
                self._inbox.append(parse(bytes(message.payload)))
                self._come.set()

    async def wait_in_line(self) -> Waiting:
        """Let a resident press CAF; return the entry of this call."""
        self.kiosk.post(ev.Choose("caf", new_id(), is_open=True))
        call = self.kiosk.visit.call
        return await self.hear(Waiting, lambda one: one.call == call)

    async def hear(self, kind: type[T], wanted: Callable[[T], bool] = lambda _: True) -> T:
        """Take the next message of a kind out of the inbox."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for one in self._inbox:
                    if isinstance(one, kind) and wanted(one):
                        self._inbox.remove(one)
                        return one
                self._come.clear()
                await self._come.wait()

    async def say(self, message: Claim | Answer | Bye, agent: str = "lea") -> None:
        """Publish to the kiosk, in any agent's name."""
        kiosk = self.kiosk.line._kiosk.id
        topic = (
            topics.claim("caf", kiosk)
            if isinstance(message, Claim)
            else topics.to_kiosk("caf", kiosk, agent)
        )
        await self._client.publish(topic, message.model_dump_json(), qos=1)

    async def forge(self, message: KioskStatus | Waiting) -> None:
        """Publish, retained, in the kiosk's name."""
        kiosk = self.kiosk.line._kiosk.id
        here = isinstance(message, Waiting)
        topic = topics.waiting("caf", kiosk) if here else topics.status(kiosk)
        await self._client.publish(topic, message.model_dump_json(), qos=1, retain=True)

    def pass_time(self, seconds: float) -> None:
        """Let the kiosk's proofs be that much older."""
        self.kiosk.calls.peers.clock = lambda: time.time() + seconds
        self.kiosk.calls.peers.monotonic = lambda: time.monotonic() + seconds

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Look until something in the kiosk is so; fail with `what`."""
        await wait_for(condition, WITHIN_S, what)

    async def go_home(self) -> None:
        """End the visit; when it is wiped no leg is left that could send anything."""
        self.kiosk.post(ev.End())
        await self.until(lambda: self.kiosk.visit.wiped, "not wiped")
        if self.kiosk.visit.scene is Scene.ENDED:
            self.kiosk.post(ev.Back())


def _settings(folder: Path, port: int, authorities: Authorities | None) -> Settings:
    raw = read_toml(CONFIG / "demo.toml")
    raw["services"] = read_toml(CONFIG / raw.pop("services_file"))["services"]
    raw["broker"] = {"host": "127.0.0.1", "port": port, "tls": False}
    raw["documents"] = {"spool": str(folder / "spool")}
    raw["identity"] = {"unsigned": True} if authorities is None else authorities.certify(raw)
    return validate(raw)


def trust(issuer: Issuer, service: str, folder: Path) -> dict[str, Any]:
    """Write an organisation's keys, and return its section of the settings."""
    issuer.save(folder / service)
    return {
        "name": service.upper(),
        "issuer": issuer.issuer,
        "keys": str(folder / service / PUBLIC),
        "services": [service],
    }


@contextlib.asynccontextmanager
async def stand(*, verified: bool = True) -> AsyncIterator[Stand]:
    """Run a kiosk; with `verified` False it takes everybody at their word."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        os.chmod(folder, 0o755)  # noqa: PTH101  (mosquitto drops to its own user)
        (folder / "broker").mkdir()
        broker = await stack.enter_async_context(EmbeddedBroker(folder / "broker"))
        authorities = Authorities(folder / "identity")
        settings = _settings(folder, broker.port, authorities if verified else None)
        screen = Screen(web_root=folder, on_action=lambda _: None, page_picture=lambda *_: None)
        devices = build_devices(settings)
        address = broker_address(settings.kiosk.id, settings.broker)
        spool = Spool(settings.documents.spool)
        audit = Auditing(settings)
        kiosk = Kiosk(settings, devices, address, screen, spool, Watchdog(), audit)
        version = aiomqtt.ProtocolVersion.V5
        client = aiomqtt.Client("127.0.0.1", broker.port, protocol=version)
        await stack.enter_async_context(client)
        await client.subscribe(f"{topics.ROOT}/#", qos=1)
        one = Stand(kiosk, screen, client, broker.port, authorities)
        tasks = [asyncio.create_task(kiosk.run()), asyncio.create_task(one.listen())]
        try:
            await one.until(lambda: kiosk.line.online, "the broker is not reached")
            yield one
            await kiosk.stop()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
