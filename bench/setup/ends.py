"""The calls that are set up and timed: kioskd with the agent's page, and two pages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from playwright.async_api import Browser, Page, expect
from playwright.async_api import Error as BrowserError

from bench.lines.browser import ARGUMENTS
from bench.lines.relay import Relay, relay
from bench.lines.shape import Script, Shape, Step
from tests.e2e.stage import wait_for

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = Path(__file__).with_name("page")
MQTT_JS: Final = ROOT / "kioskd" / "web" / "node_modules" / "mqtt" / "dist" / "mqtt.min.js"
LOG: Final = ROOT / "build" / "bench" / "setup-kiosk.log"
WITHIN_S: Final = 60.0
SETTLE_S: Final = 1.0
"""Between two calls: what the one before has left to do is not part of the next."""
FAR_VIDEO: Final = "() => document.querySelector('[data-testid=remote-video]')"
CANVAS_SHOWS: Final = """async () => {
  for (;;) {
    const canvas = document.querySelector('[data-testid=remote-picture]');
    if (canvas && canvas.width > 300 && canvas.checkVisibility())
      return (performance.timeOrigin + performance.now()) / 1000;
    await new Promise((go) => setTimeout(go, 3));
  }
}"""
SLOW_MS: Final = 30_000
"""What is waited for on a page; it is no part of what is measured."""
Stages = dict[str, float]
"""Seconds since the claim, by "end: what"; the first time of each."""

__all__ = ["ARGUMENTS", "KioskdCall", "PageCall", "Stages", "TimedCall"]


class TimedCall(ABC):
    """One kind of call, set up as often as one likes. `rtt_s` is between the two ends."""

    def __init__(self, browser: Browser, rtt_s: float) -> None:
        self.browser = browser
        shape = Shape(delay_ms=rtt_s * 500)
        self._script = Script(steps=(Step(at_s=0, up=shape, down=shape),))

    async def time(self) -> Stages:
        """Set a call up, take it down again, and return when it was where."""
        async with relay(self._script, seed=1) as way, asyncio.timeout(WITHIN_S):
            stages = await self.hold(way)
            await asyncio.sleep(SETTLE_S)
        return stages

    @abstractmethod
    async def hold(self, way: Relay) -> Stages:
        """Set a call up over the relay, and end it."""

    async def _page(self) -> Page:
        context = await self.browser.new_context()
        page = await context.new_page()
        await page.add_init_script(path=PAGES / "led.js")
        return page


async def _lead(page: Page, way: Relay) -> None:
    await page.evaluate(
        "([near, far]) => { setup.near = near; setup.far = far; setup.stages.length = 0; }",
        [way.port_a, way.port_b],
    )


def _since(claim: float, ends: dict[str, list[dict[str, Any]]]) -> Stages:
    stages: Stages = {}
    for end, told in ends.items():
        for one in told:
            if one["at"] >= claim:
                stages.setdefault(f"{end}: {one['stage']}", one["at"] - claim)
    return stages


class KioskdCall(TimedCall):
    """The daemon, its screen, and the agent's page."""

    def __init__(self, browser: Browser, rtt_s: float, process: asyncio.subprocess.Process) -> None:
        super().__init__(browser, rtt_s)
        self._process = process
        self._told: list[dict[str, Any]] = []
        self._way: Relay | None = None
        self.screen: Page
        self.agent: Page

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, browser: Browser, rtt_s: float, folder: Path, mqtt: int, websocket: int
    ) -> AsyncIterator[KioskdCall]:
        """Start the daemon and sign an agent in."""
        LOG.parent.mkdir(parents=True, exist_ok=True)
        with LOG.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.setup.kiosk"),
                *(str(folder), str(mqtt), str(websocket)),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        one = cls(browser, rtt_s, process)
        listening: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(60):
                addresses = await one._hear()
            listening = asyncio.create_task(one._listen(), name="kiosk's stages")
            await one._sign_in(addresses)
            yield one
            await one.screen.close()
            await one.agent.close()
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
                await process.wait()
            if listening is not None:
                await listening

    async def hold(self, way: Relay) -> Stages:
        """Have the resident call and the agent take it."""
        self._way = way
        screen, agent = self.screen, self.agent
        await _lead(agent, way)
        await screen.get_by_test_id("service-caf").click()
        await expect(agent.get_by_test_id("take")).to_be_visible(timeout=SLOW_MS)
        await asyncio.sleep(SETTLE_S)
        self._told.clear()
        shows = asyncio.create_task(screen.evaluate(CANVAS_SHOWS), name="screen")
        await agent.evaluate(f"() => setup.watch({FAR_VIDEO})")
        claim = await agent.evaluate(
            "() => { const at = setup.wall() / 1000;"
            " document.querySelector('[data-testid=take]').click(); return at; }"
        )
        arrived = await agent.evaluate("() => setup.arrived")
        shown = await shows
        state = agent.get_by_test_id("call-state")
        await expect(state).to_have_attribute("data-state", "talking", timeout=SLOW_MS)
        await wait_for(
            lambda: any(one["stage"] == "sound" for one in self._told),
            30,
            "the kiosk heard nothing",
        )
        stages = _since(
            claim, {"kiosk": list(self._told), "agent": await agent.evaluate("setup.stages")}
        )
        stages["kiosk: picture"] = shown - claim
        stages |= {f"agent: {what}": at - claim for what, at in arrived.items()}
        await screen.get_by_test_id("hang-up").click()
        await agent.get_by_test_id("back").click()
        while not await screen.get_by_test_id("service-caf").is_visible():
            with contextlib.suppress(BrowserError):  # it is not heeded before all is wiped
                await screen.get_by_test_id("back").click(timeout=500)
        return stages

    async def _sign_in(self, addresses: dict[str, Any]) -> None:
        self.agent = await self._page()
        self.screen = await (await self.browser.new_context()).new_page()

        async def tell(address: tuple[str, int]) -> None:
            if self._way is not None:
                host, port = address  # a list, by now
                await self._way.connect((host, port), None)

        await self.agent.expose_function("tellAddress", tell)
        await self.agent.add_init_script("setup.tell = (address) => tellAddress(address);")
        await self.screen.goto(addresses["screen"])
        await self.agent.goto(addresses["agent"])
        await self.agent.get_by_test_id("signin-name").fill("Léa")
        await self.agent.get_by_test_id("service-caf").check()
        await self.agent.get_by_test_id("signin-submit").click()

    async def _listen(self) -> None:
        with contextlib.suppress(EOFError):
            while True:
                self._told.append(await self._hear())

    async def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError(f"the kiosk ended: see {LOG}")
        message: dict[str, Any] = json.loads(line)
        return message


class PageCall(TimedCall):
    """Two pages, of which one plays the kiosk."""

    kiosk: Page
    agent: Page

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, browser: Browser, rtt_s: float, websocket: int) -> AsyncIterator[PageCall]:
        """Open both pages and connect them to the broker."""
        one = cls(browser, rtt_s)
        application = web.Application()

        async def library(_: web.Request) -> web.FileResponse:
            return web.FileResponse(MQTT_JS)

        application.router.add_get("/mqtt.min.js", library)
        application.router.add_static("/", PAGES)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            address = f"http://127.0.0.1:{runner.addresses[0][1]}/peer.html"
            one.kiosk, one.agent = await one._page(), await one._page()
            topics = ["bench/claim", "bench/answer"], ["bench/offer"]
            for page, heard in zip((one.kiosk, one.agent), topics, strict=True):
                await page.goto(address)
                broker = f"ws://127.0.0.1:{websocket}/mqtt"
                await page.evaluate("([b, t]) => peer.prepare(b, t)", [broker, heard])
            yield one
        finally:
            await runner.cleanup()

    async def hold(self, way: Relay) -> Stages:
        """Have the agent claim."""
        kiosk, agent = self.kiosk, self.agent
        await _lead(agent, way)
        await kiosk.evaluate("setup.stages.length = 0")
        await agent.evaluate("peer.ready(false)")
        await kiosk.evaluate("peer.ready(true)")
        address = await kiosk.evaluate("setup.address()")
        await way.connect(tuple(address), None)
        claim = await agent.evaluate(
            "() => { const at = setup.wall() / 1000; peer.claim(); return at; }"
        )
        ours, theirs = await asyncio.gather(
            kiosk.evaluate("setup.arrived"), agent.evaluate("setup.arrived")
        )
        stages = _since(
            claim,
            {
                "kiosk": await kiosk.evaluate("setup.stages"),
                "agent": await agent.evaluate("setup.stages"),
            },
        )
        for end, arrived in (("kiosk", ours), ("agent", theirs)):
            stages |= {f"{end}: {what}": at - claim for what, at in arrived.items()}
        for page in (agent, kiosk):
            await page.evaluate("peer.close()")
        return stages
