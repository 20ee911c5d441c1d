"""A visit by the panel's buttons alone, and what the panel's lamps tell all the while."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from kioskd.app.run import WEB_ROOT
from kioskd.control import client
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind, DeviceState
from kioskd.hal.panel import Lamp, LampPattern, PanelEvent
from kioskd.settings import read_toml
from kioskd.simulation.agent_pages import AgentPages
from kioskd.simulation.broker import EmbeddedBroker, free_port
from tests.contract.panel_emulator import PanelEmulator
from tests.e2e import stage
from tests.e2e.conftest import sign_in

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
FOCUS = "button[data-focus]"
READ_S = 1.0
"""Longer than the page wants a button to be seen before it is pressed: keys.ts."""
STEPS = 20
WITHIN_S = 20.0
"""For what takes the daemon 5 s at the most, on a machine that does other things too."""
OFF, ON, BLINK = LampPattern.OFF, LampPattern.ON, LampPattern.BLINK
_CONFIG = """
services_file = "{folder}/services.toml"
kiosk = {{ id = "panel-1", name = "Mairie", town = "Exempleville" }}
broker = {{ host = "127.0.0.1", port = {broker}, tls = false }}
screen = {{ port = {screen} }}
identity = {{ unsigned = true }}
documents = {{ spool = "{folder}/spool" }}
control = {{ socket = "{folder}/control.sock" }}
state = {{ folder = "{folder}/state" }}
camera = {{ driver = "fake" }}
microphone = {{ driver = "fake" }}
speaker = {{ driver = "fake" }}
scanner = {{ driver = "fake" }}
printer = {{ driver = "fake" }}
panel = {{ driver = "serial", device = "{folder}/panel" }}
"""


class Stand:
    """A daemon that can be killed, a panel that can be unplugged, and both pages."""

    def __init__(self, folder: Path, screen: Page, agent: Page) -> None:
        self.screen = screen
        self.agent = agent
        self.panel: PanelEmulator | None = None
        self.process: Process | None = None
        self._folder = folder
        self._sequence = 0

    async def start(self) -> None:
        stage.ARTEFACTS.mkdir(parents=True, exist_ok=True)
        with (stage.ARTEFACTS / "panel.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "kioskd", "run", "--verbose"),
                *("--config", str(self._folder / "kioskd.toml")),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )

    async def kill(self) -> None:
        """Kill the daemon as the kernel does when memory is out."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    def plug(self) -> None:
        """Plug a panel in; its lamps are out."""
        self.panel = PanelEmulator()
        link = self._folder / "new"
        link.symlink_to(self.panel.device)
        link.replace(self._folder / "panel")  # as udev does

    def unplug(self) -> None:
        if self.panel is not None:
            (self._folder / "panel").unlink()
            self.panel.unplug()
            self.panel = None

    def press(self, event: PanelEvent) -> None:
        assert self.panel is not None
        self._sequence += 1
        self.panel.press(self._sequence, event)

    async def press_on(self, testid: str) -> None:
        """Go to a button with NEXT, as far as it takes, and press it."""
        focus = self.screen.locator(FOCUS)
        for _ in range(STEPS):
            name = await focus.get_attribute("data-testid") if await focus.count() else None
            if name == testid:
                break
            self.press(PanelEvent.NEXT)
            if name is None:
                await expect(focus).to_have_count(1)
            else:
                await expect(focus).not_to_have_attribute("data-testid", name)
        await expect(focus).to_have_attribute("data-testid", testid)
        await asyncio.sleep(READ_S)
        self.press(PanelEvent.PRESS)

    async def scene(self, name: str) -> None:
        await expect(self.screen.locator("body")).to_have_attribute("data-scene", name)

    async def lamps(self, call: LampPattern, camera: LampPattern) -> None:
        wanted = {Lamp.CALL: call, Lamp.CAMERA: camera}
        panel = self.panel
        assert panel is not None
        await stage.wait_for(
            lambda: panel.lamps == wanted, WITHIN_S, f"the lamps do not become {wanted}"
        )

    async def told(self, state: DeviceState, reason: Reason | None = None) -> None:
        """Wait until the daemon says so of the panel."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            status = await client.ask_status(self._folder / "control.sock")
            (panel,) = [one for one in status.devices if one.kind is DeviceKind.PANEL]
            if (panel.state, panel.reason) == (state, reason):
                return
            assert time.monotonic() < deadline, panel
            await asyncio.sleep(0.2)

    async def talk(self) -> None:
        """Call the CAF by buttons, and let the agent take the call."""
        await self.press_on("service-caf")
        await self.scene("waiting")
        await self.agent.get_by_test_id("take").first.click()
        await self.scene("talking")


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(stage.stage_folder())
        (folder / "broker").mkdir()
        broker = await stack.enter_async_context(EmbeddedBroker(folder / "broker"))
        port = free_port()
        config = _CONFIG.format(folder=folder, broker=broker.port, screen=port)
        (folder / "kioskd.toml").write_text(config)
        services = (ROOT / "config" / "services.toml").read_text()
        (folder / "services.toml").write_text(
            services.replace("[[services]]\nid", "[[services]]\nalways_open = true\nid")
        )
        told = read_toml(folder / "services.toml")["services"]
        shift = {
            "broker": f"ws://127.0.0.1:{broker.websocket_port}/mqtt",
            "username": None,
            "password": None,
            "services": [{key: one[key] for key in ("id", "name", "colour")} for one in told],
            "ice_servers": [],
            "identity": None,
        }
        pages = await stack.enter_async_context(AgentPages(WEB_ROOT / "agent", shift))
        playwright = await stack.enter_async_context(async_playwright())
        media = await asyncio.to_thread(stage.agent_media, folder)
        browser = await stage.chromium(playwright, *media)
        stack.push_async_callback(browser.close)
        agent = await browser.new_page(viewport={"width": 1280, "height": 720}, locale="fr-FR")
        await sign_in(agent, pages.url, "Léa")
        screen = await browser.new_page(viewport={"width": 1920, "height": 1080})
        one = Stand(folder, screen, agent)
        stack.callback(one.unplug)
        stack.push_async_callback(one.kill)
        one.plug()
        await one.start()
        await stage.wait_for((folder / "control.sock").exists, 30, "the daemon does not start")
        await screen.goto((folder / "screen.html").as_uri())
        await expect(screen.get_by_test_id("service-caf")).to_be_enabled()
        await one.lamps(OFF, OFF)
        yield one
        await screen.screenshot(path=stage.ARTEFACTS / "panel-last.png")


async def test_a_whole_visit_by_buttons_alone(stand: Stand, tmp_path: Path) -> None:
    screen, agent = stand.screen, stand.agent
    await stand.press_on("service-caf")
    await stand.scene("waiting")
    await stand.lamps(BLINK, OFF)
    stand.press(PanelEvent.HANG_UP)
    await stand.scene("ended")
    await stand.lamps(OFF, OFF)
    await stand.press_on("back")
    await stand.scene("choosing")

    await stand.talk()
    await stand.lamps(ON, ON)
    await screen.screenshot(path=stage.ARTEFACTS / "panel-talking.png")
    await agent.get_by_test_id("scan-request").click()
    await stand.press_on("scan-start")
    await expect(screen.get_by_test_id("scan-page")).to_have_count(1)
    await stand.press_on("scan-send")
    received = agent.get_by_test_id("received-document")
    await expect(received).to_have_attribute("data-pages", "1")
    await stand.press_on("scan-close")

    letter = tmp_path / "courrier.pdf"
    stage.make_pdf(letter, ["ATTESTATION"])
    await agent.get_by_test_id("print-file").set_input_files(letter)
    await expect(screen.get_by_test_id("print-page")).to_have_count(1)
    await screen.screenshot(path=stage.ARTEFACTS / "panel-print.png")
    await stand.press_on("print-accept")
    await expect(screen.get_by_test_id("print-panel")).to_have_attribute("data-stage", "printed")
    await stand.press_on("print-close")
    await stand.press_on("hang-up")
    await stand.scene("ended")
    await stand.lamps(OFF, OFF)


async def test_the_lamps_are_right_after_the_panel_or_the_daemon_was_gone(stand: Stand) -> None:
    await stand.talk()
    await stand.lamps(ON, ON)
    stand.unplug()
    await asyncio.sleep(READ_S)  # the call goes on
    stand.plug()
    await stand.lamps(ON, ON)
    await stand.scene("talking")
    stand.unplug()
    await stand.screen.get_by_test_id("hang-up").click()
    await stand.scene("ended")
    stand.plug()
    await stand.lamps(OFF, OFF)
    await stand.screen.get_by_test_id("back").click()
    await stand.agent.get_by_test_id("back").click()
    await stand.talk()
    await stand.lamps(ON, ON)
    # Killed, it can say nothing more; the panel itself puts its lamps out after 3 s
    # (test_firmware.py), and one that had no time for it is told by the next daemon.
    await stand.kill()
    await expect(stand.screen.get_by_test_id("offline")).to_be_visible()
    await stand.start()
    await stand.lamps(OFF, OFF)
    await stand.scene("choosing")
    await expect(stand.screen.get_by_test_id("offline")).to_be_hidden()
    await stand.press_on("service-caf")
    await stand.scene("waiting")
    await stand.lamps(BLINK, OFF)


async def test_with_a_stuck_button_the_visit_goes_on_by_the_others(stand: Stand) -> None:
    async def stick() -> None:
        while True:
            stand.press(PanelEvent.NEXT)
            await asyncio.sleep(0.15)

    stuck = asyncio.create_task(stick())
    try:
        await stand.told(DeviceState.DEGRADED, Reason.PROTOCOL)
        # Its events no longer reach the screen: the focus stands, and another button acts.
        focus = stand.screen.locator(FOCUS)
        before = await focus.get_attribute("data-testid")
        await asyncio.sleep(READ_S)
        assert await focus.get_attribute("data-testid") == before
        await stand.screen.get_by_test_id("service-caf").click()
        await stand.scene("waiting")
        stand.press(PanelEvent.HANG_UP)
        await stand.scene("ended")
    finally:
        stuck.cancel()
        await asyncio.wait([stuck])
    await stand.told(DeviceState.READY)
    await stand.press_on("back")
    await stand.scene("choosing")
