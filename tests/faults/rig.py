"""A kiosk in the middle of real stacks, each of which can be broken and mended.

Everything around the daemon (broker, CUPS, PipeWire, panel, pages) belongs to the rig and
not to the daemon, so that either can die alone. The daemon is a process of its own, started
as on a kiosk: `kioskd run --config`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from playwright.async_api import async_playwright

from kioskd.app.run import WEB_ROOT
from kioskd.control import client
from kioskd.control.api import DeviceStatus, Status
from kioskd.errors import ControlError
from kioskd.hal.device import DeviceKind
from kioskd.runtime.children import die_with_parent
from kioskd.runtime.starts import FILE
from kioskd.screen import entry
from kioskd.settings import read_toml
from kioskd.simulation.agent_pages import AgentPages
from kioskd.simulation.authorities import DemoAuthorities, as_toml
from kioskd.simulation.broker import EmbeddedBroker, free_port
from kioskd.simulation.cups import PrivateCups
from kioskd.simulation.escl import NetworkScanner
from kioskd.simulation.pipewire import PrivatePipewire
from kioskd.visit.words import LineQuality, Scene
from tests.contract import v4l2
from tests.e2e import stage
from tests.e2e.conftest import sign_in
from tests.faults.machine import Machine
from tests.faults.parts import SERVICES, PanelPort, Tone, write_config
from tests.faults.people import NAME, Agent, Resident
from tests.faults.relay import Relay
from tests.processes import family

ROOT = Path(__file__).parents[2]
LOG = ROOT / "build" / "faults" / os.environ.get("PYTEST_XDIST_WORKER", "")
KIOSK = "faults-1"
READY_S = 40.0
STOP_S = 15.0
LOOK_S = 0.05
SILENT_S = 5.0
ROWS = 3
TOLD_LINES = 40
"""So much of the daemon's log is in a failure's text: on CI nothing else of it is seen."""


@dataclass
class Rig:
    """The stacks and the daemon; made by `rig`."""

    folder: Path
    machine: Machine
    camera: v4l2.ShimCamera
    scanner: NetworkScanner
    broker: EmbeddedBroker
    relay: Relay
    cups: PrivateCups
    sound: PrivatePipewire
    tone: Tone
    panel: PanelPort
    resident: Resident
    agent: Agent
    screen_port: int
    authorities: DemoAuthorities
    process: Process | None = None
    status: Status | None = None
    rows: int = 0
    printed_before: int = 0
    """How many sheets had come out when the row began."""
    interruptions_before: int = 0
    """How often the resident had been told of a line that is cut, when the row began."""
    words: list[str] = field(default_factory=lambda: ["UN", "DEUX"])
    """The words of the agent's document, one a page."""
    file_name: str = "letter.pdf"
    finish: Callable[[Path], None] = lambda _: None
    """What is done to the agent's document once it has its words."""
    keeper: Process | None = None
    """What keeps a real Chromium as screen, while `screen` has one."""
    screen: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    more: dict[str, str] = field(default_factory=dict)
    """What the daemon's environment has beside the rig's own."""

    # -- the daemon ---------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Start the daemon; return when it answers."""
        log = await self.machine.start_journal()
        self.process = await self._kioskd("run", "--verbose", log=log)
        await self.until("an answer", lambda rig: rig.status is not None, READY_S)

    async def _kioskd(self, *arguments: str, log: int) -> Process:
        return await asyncio.create_subprocess_exec(
            *self.machine.command(),
            *(sys.executable, "-m", "kioskd", *arguments),
            *("--config", str(self.folder / "kioskd.toml")),
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=self.environment,
            start_new_session=True,
            # Left by tests that were interrupted, it would hold the panel of the next.
            preexec_fn=die_with_parent(os.getpid()),
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the kiosk's programs; camera and clock both preload a library."""
        camera, clock = self.camera.environment(), self.machine.environment
        preload = f"{camera['LD_PRELOAD']}:{clock['LD_PRELOAD']}"
        own = {"LD_PRELOAD": preload, "TMPDIR": str(self.folder / "tmp")}
        return {**os.environ, **self.sound.env, **camera, **clock, **own, **self.more}

    async def kill(self) -> None:
        """Kill the daemon and whatever would be left of it."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        self.process = self.status = None
        # A row's death is one after a long life: it does not lead to safe mode.
        (self.folder / "state" / FILE).unlink(missing_ok=True)

    async def purge(self) -> None:
        """Clean up after the daemon's death, as the unit's ExecStopPost= does."""
        with (LOG / "kioskd.log").open("a") as log:
            process = await self._kioskd("purge", log=log.fileno())
        async with asyncio.timeout(STOP_S):
            await process.wait()

    async def stop(self) -> None:
        """Stop the daemon as systemd does."""
        assert self.process is not None
        self.process.terminate()
        async with asyncio.timeout(STOP_S):
            await self.process.wait()
        self.process = self.status = None

    def worker(self, kind: str) -> psutil.Process:
        """Return the process of a device's worker (camera, scanner, printer)."""
        (found,) = self.workers(kind)
        return found

    def workers(self, kind: str) -> list[psutil.Process]:
        """Return the living processes that serve a kind of device."""
        name = f"drivers.{kind}."
        return [one for one, line in family(self.pid) if any(name in part for part in line)]

    # -- what it says of itself -----------------------------------------------------

    async def look(self) -> Status | None:
        """Ask the daemon for its status; None when it does not answer within 5 s."""
        self.status = None
        with contextlib.suppress(ControlError):
            self.status = await client.ask_status(self.folder / "control.sock")
        return self.status

    async def until(self, what: str, true: Callable[[Rig], bool], seconds: float = 20.0) -> float:
        """Look until `true` holds; return the seconds it took, fail after `seconds`.

        What does not concern the daemon's status is looked at also while it is silent.
        """
        started = time.monotonic()
        while True:
            await self.look()
            with contextlib.suppress(AssertionError):  # `device` while there is no status
                if true(self):
                    return time.monotonic() - started
            if time.monotonic() > started + seconds:
                raise AssertionError(f"not {what} in {seconds} s: {self._told()}")
            if self.process is not None and self.process.returncode is not None:
                raise AssertionError(f"not {what}: the daemon ended, see {LOG}/kioskd.log")
            await asyncio.sleep(LOOK_S)

    def _told(self) -> str:
        view, status = self.resident.view, self.status
        shown = view and view.model_dump(include={"scene", "online", "scan", "print"})
        devices = status and [
            f"{one.kind} {one.state} {one.reason or ''} {one.detail}" for one in status.devices
        ]
        lines = (LOG / "kioskd.log").read_text(errors="replace").splitlines()[-TOLD_LINES:]
        return "\n".join([f"screen {shown}, devices {devices}, and its log's end:", *lines])

    async def holds(self, what: str, true: Callable[[Rig], bool], seconds: float) -> None:
        """Look for `seconds` that `true` holds whenever the daemon answers, and does at the end.

        Without descriptors it can take no connection for a moment.
        """
        started = time.monotonic()
        while time.monotonic() < started + seconds:
            if await self.look() is not None:
                assert true(self), f"no longer {what}: {self.status!r}"
            await asyncio.sleep(LOOK_S)
        await self.until(what, true, SILENT_S)

    def device(self, kind: DeviceKind) -> DeviceStatus:
        """Return what the last look said of a device."""
        assert self.status is not None
        return next(one for one in self.status.devices if one.kind is kind)

    async def restore(self, *, flaps: bool = True) -> None:
        """Make good what a row before this one has left broken.

        A daemon that has seen ROWS rows is stopped: a device that is lost in each would
        rightly be left alone as one that flaps. Without `flaps` hardly a row loses one.
        """
        self.rows += 1
        self.scanner.page_s = 0.0
        if flaps and self.process is not None and self.rows % ROWS == 0:
            await self.idle()
            await self.stop()
        if self.process is None or self.process.returncode is not None:
            await self.start()

    # -- the talk ---------------------------------------------------------------------

    async def call(self) -> None:
        """Have a call up: the running one, or a new one."""
        if self.talking:
            return
        await self.wait_in_line()
        await self.call_taken()

    async def call_taken(self) -> None:
        """Let the agent take the call that waits."""
        await self.agent.take()
        await self.resident.until("talking", lambda view: view.scene == "talking")

    @property
    def talking(self) -> bool:
        """True while a call is up, as the resident sees it."""
        return self.resident.view is not None and self.resident.view.scene is Scene.TALKING

    @property
    def line(self) -> LineQuality | None:
        """How the line is, as the resident is told."""
        return None if self.resident.view is None else self.resident.view.line

    async def wait_in_line(self) -> None:
        """Choose the CAF, from wherever the last visit left the kiosk."""
        await self.idle()
        await self.agent.back_to_line()
        await self.resident.until("online", lambda view: view.online)
        await self.resident.press("choose", service="caf")
        await self.resident.until("waiting", lambda view: view.scene == "waiting")

    async def idle(self) -> None:
        """End what runs and go back to the choice."""
        await self.resident.until("a page", lambda _: True)
        assert self.resident.view is not None
        if self.resident.view.scene in ("waiting", "connecting", "talking"):
            await self.resident.press("hang-up")
            await self.resident.until("ended", lambda view: view.scene == "ended")
        while self.resident.view is None or self.resident.view.scene != "choosing":
            await self.resident.press("back")  # a daemon that has died meanwhile forgets it
            with contextlib.suppress(AssertionError):
                await self.resident.until("choosing", lambda view: view.scene == "choosing", 1)

    # -- what is left ------------------------------------------------------------------

    def spooled(self) -> list[Path]:
        """Return the files of the spool: empty outside a visit."""
        return [path for path in (self.folder / "spool").rglob("*") if path.is_file()]

    def printed(self) -> int:
        """Return how many sheets have come out of the printer."""
        pages = self.cups.printed / "pages"
        return len(pages.read_text().splitlines()) if pages.exists() else 0


@contextlib.asynccontextmanager
async def rig(more: dict[str, str] | None = None) -> AsyncIterator[Rig]:
    """Make all of it and start the daemon, with `more` in its environment."""
    LOG.mkdir(parents=True, exist_ok=True)
    (LOG / "kioskd.log").unlink(missing_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(stage.stage_folder())
        for name in ("broker", "camera", "cups", "sane", "pw", "tmp"):
            (folder / name).mkdir()
        broker = await stack.enter_async_context(EmbeddedBroker(folder / "broker"))
        relay = await stack.enter_async_context(Relay(broker.port))
        cups = await stack.enter_async_context(PrivateCups(folder / "cups"))
        sound = await stack.enter_async_context(PrivatePipewire(folder / "pw"))
        machine = await stack.enter_async_context(Machine(folder, LOG / "kioskd.log"))
        panel = PanelPort(folder / "panel")
        stack.callback(panel.unplug)
        scanner = await stack.enter_async_context(NetworkScanner(folder / "sane"))
        library = await asyncio.to_thread(v4l2.build, folder / "camera")
        await asyncio.to_thread(v4l2.fill, folder / "camera")
        camera = v4l2.ShimCamera(library, folder / "camera")
        screen_port = free_port()
        screen_url = f"http://127.0.0.1:{screen_port}/{entry.new_token()}/"
        entry.write(folder / "screen.html", screen_url)
        values = {
            "kiosk": KIOSK,
            "services": folder / "services.toml",
            "broker_host": machine.broker_host,
            "broker_port": relay.address[1],
            "screen_port": screen_port,
            "camera": folder / "camera" / "video0",
            "source": sound.source,
            "sink": sound.sink,
            "queue": cups.queue,
            "server": cups.server,
            "panel": panel.link,
        }
        authorities = DemoAuthorities(folder / "identity")
        services = read_toml(SERVICES)["services"]
        raw = {"kiosk": {"id": KIOSK, "name": "Mairie"}, "services": services}
        values["identity"] = as_toml(authorities.certify(raw))
        write_config(folder, values)
        pages = await stack.enter_async_context(
            AgentPages(
                WEB_ROOT / "agent",
                _agent_config(services, broker) | {"identity": authorities.page_config()},
                issue=authorities.issue,
            )
        )
        playwright = await stack.enter_async_context(async_playwright())
        media = await asyncio.to_thread(stage.agent_media, folder)
        browser = await stage.chromium(playwright, *media)
        stack.push_async_callback(browser.close)
        context = await browser.new_context(viewport={"width": 1280, "height": 720}, locale="fr-FR")
        page = await context.new_page()
        await sign_in(page, pages.url, NAME)
        resident = await stack.enter_async_context(Resident(screen_url))
        tone = await asyncio.to_thread(Tone, folder, sound)
        stack.push_async_callback(tone.stop)
        await tone.start()
        one = Rig(
            folder=folder,
            machine=machine,
            camera=camera,
            scanner=scanner,
            broker=broker,
            relay=relay,
            cups=cups,
            sound=sound,
            tone=tone,
            panel=panel,
            resident=resident,
            agent=Agent(page),
            screen_port=screen_port,
            authorities=authorities,
            more=more or {},
        )
        stack.push_async_callback(one.kill)
        stack.push_async_callback(one.screen.aclose)
        await one.start()
        yield one


def _agent_config(services: list[dict[str, Any]], broker: EmbeddedBroker) -> dict[str, Any]:
    return {
        "broker": f"ws://127.0.0.1:{broker.websocket_port}/mqtt",
        "username": None,
        "password": None,
        "services": [{key: one[key] for key in ("id", "name", "colour")} for one in services],
        "ice_servers": [],
    }


def keep(rows: list[dict[str, Any]]) -> None:
    """Write the measured table where `make faults` finds it."""
    (LOG / "faults.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False))
