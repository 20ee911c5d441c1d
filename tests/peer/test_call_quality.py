"""How good the call is, told both ways between a real leg and the agent's own page code."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, async_playwright

import kioskd
from bench.lines.relay import Relay, relay
from bench.lines.shape import Burst, Script, Shape, Step
from bench.lines.signalling import address_of, led_through
from kioskd.app.quality import CallQuality
from kioskd.call import control
from kioskd.call.leg import Leg, LegState
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.errors import CallError
from kioskd.hal.camera import Frame
from kioskd.visit import events as ev
from kioskd.visit.events import Event
from kioskd.visit.machine import step
from kioskd.visit.state import Visit
from kioskd.visit.words import EndReason, LineQuality, Scene
from tests.e2e.stage import chromium, wait_for
from tests.peer.test_leg import Tone

pytestmark = pytest.mark.peer

WIDTH, HEIGHT = 160, 120
GREY = bytes([128]) * (WIDTH * HEIGHT * 3 // 2)
WEB = Path(kioskd.__file__).parent / "web"
CLEAN = Shape(delay_ms=20)
GOOD = Step(at_s=0, up=CLEAN, down=CLEAN)
ROTTEN = Shape(delay_ms=20, burst=Burst(begin=0.1, end=0.12))
"""45 % lost in runs of eight packets: no repair helps against that."""

PAGE = """<!doctype html><script src="agent.js"></script><script>
let call;
const told = [];
async function answer(sdp) {
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const sink = audio.createMediaStreamDestination();
  tone.connect(sink);
  tone.start();
  call = new agent.Call([], Promise.resolve(sink.stream));
  call.onControl = message => told.push(message);
  return call.answer(0, sdp);
}
function listen() {
  const element = new Audio();
  element.srcObject = call.remote;
  element.play();
  setInterval(() => call.quality(), 2000);
}
</script>"""


async def _bundle() -> bytes:
    """Return the page's module of a call, as the agent's page has it."""
    process = await asyncio.create_subprocess_exec(
        str(WEB / "node_modules" / ".bin" / "esbuild"),
        *("agent/call.ts", "--bundle", "--format=iife", "--global-name=agent"),
        cwd=WEB,
        stdout=asyncio.subprocess.PIPE,
    )
    code, _ = await process.communicate()
    assert process.returncode == 0
    return code


@contextlib.asynccontextmanager
async def agents_page() -> AsyncIterator[Page]:
    code = await _bundle()

    async def script(_: web.Request) -> web.Response:
        return web.Response(body=code, content_type="text/javascript")

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/agent.js", script)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with async_playwright() as playwright:
            browser = await chromium(playwright, "--allow-loopback-in-peer-connection")
            opened = await browser.new_page()
            await opened.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
            yield opened
            await browser.close()
    finally:
        await runner.cleanup()


async def _picture() -> Frame:
    await asyncio.sleep(1 / 15)
    return Frame(WIDTH, HEIGHT, GREY, 0, asyncio.get_running_loop().time())


async def _silent_speaker(_: bytes) -> None:
    return


class Kiosk:
    """A leg, and what kioskd makes of its figures and of what the page says."""

    def __init__(self) -> None:
        self.visit = Visit(scene=Scene.CONNECTING, service="caf")
        self.connected = asyncio.Event()
        self.heard: list[control.Hearing] = []
        self.refused = 0
        self.leg = Leg(
            ice_servers=[],
            audio=MicrophoneTrack(Tone().chunk),
            video=CameraTrack(_picture),
            on_control=self._control,
            on_document=lambda _, __: None,
            on_remote_video=lambda _, __, ___: None,
            on_remote_audio=_silent_speaker,
            on_state=lambda state: self.connected.set() if state is LegState.CONNECTED else None,
        )
        self.quality = CallQuality(
            post=self._post, visit=lambda: self.visit, say=self._say, filmed=lambda: False
        )

    def _post(self, event: Event) -> None:
        assert isinstance(event, ev.LineChanged)
        self.visit, _ = step(self.visit, event, self._now())

    def _say(self, message: control.ToAgent) -> None:
        with contextlib.suppress(CallError):
            self.leg.send_control(message.model_dump_json())

    def _control(self, text: str) -> None:
        try:
            message = control.parse_from_agent(text)
        except ValueError:
            self.refused += 1
            return
        if isinstance(message, control.Heartbeat):
            self._say(control.Heartbeat(at=self._now() * 1000, echo=message.at))
        elif isinstance(message, control.Hearing):
            self.heard.append(message)
            self.quality.hear(message)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def meet(self, page: Page, line: Relay) -> None:
        offer = await self.leg.offer()
        answer = await page.evaluate("sdp => answer(sdp)", led_through(offer, line.port_b))
        await line.connect(address_of(offer), address_of(answer))
        await self.leg.accept(led_through(answer, line.port_a))
        async with asyncio.timeout(20):
            await self.connected.wait()
        await page.evaluate("listen()")
        self.visit = replace(self.visit, scene=Scene.TALKING, talking_since=self._now())

    def known(self) -> bool:
        return self.visit.bars is not None and len(self.heard) > 1

    async def run(self) -> None:
        while True:
            self.quality.look(await self.leg.stats(), 0)
            await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def talk(script: Script) -> AsyncIterator[tuple[Kiosk, Page, Relay]]:
    async with relay(script, seed=7) as line, agents_page() as page:
        kiosk = Kiosk()
        try:
            await kiosk.meet(page, line)
            watching = asyncio.create_task(kiosk.run())
            yield kiosk, page, line
            watching.cancel()
        finally:
            await kiosk.leg.close()


def concealed(kiosk: Kiosk) -> list[float]:
    """Return the shares of sound that were made up, in both directions."""
    so_far = kiosk.quality.so_far()
    assert so_far is not None
    return [one.concealed or 0 for one in (so_far.to_agent, so_far.to_kiosk)]


async def until_told(page: Page, condition: str) -> None:
    """Wait until the page has been told of a quality of which a condition in its words holds."""
    found = f"told.some(one => one.type === 'quality' && {condition})"
    await page.wait_for_function(found, timeout=20_000)


async def test_a_line_that_turns_bad_is_told_to_both_sides() -> None:
    """How good it is before hangs on how busy the machine is; that it turns bad does not."""
    turns = Step(at_s=1, up=ROTTEN, down=ROTTEN)
    async with talk(Script(steps=(GOOD, turns))) as (kiosk, page, line):
        await wait_for(kiosk.known, 30, "no bars")
        before = concealed(kiosk)
        assert kiosk.heard[-1].buffer_ms is not None
        assert kiosk.heard[-1].seconds == pytest.approx(2, abs=1)
        await line.start()
        await wait_for(
            lambda: all(
                now > was + 0.05 for now, was in zip(concealed(kiosk), before, strict=True)
            ),
            30,
            "the loss is not counted",
        )
        await wait_for(lambda: kiosk.visit.line is LineQuality.POOR, 30, "it is not noticed")
        await until_told(page, "one.poor && one.bars <= 1 && one.mos < 3.1")
        kiosk.quality.end(EndReason.HANG_UP)
        figures = kiosk.quality.lately()[0].figures
        for ear in (figures.to_agent, figures.to_kiosk):
            assert ear.mos_min is not None
            assert ear.mos_min < 3.1
        assert figures.round_trip_median_s is not None
        assert figures.round_trip_median_s >= 0.04
        assert kiosk.refused == 0


async def test_a_page_that_says_nonsense_or_too_much_harms_nothing() -> None:
    async with talk(Script(steps=(GOOD,))) as (kiosk, page, _):
        await wait_for(lambda: kiosk.visit.bars is not None, 30, "no bars")
        nonsense: list[dict[str, Any]] = [
            {"concealed": 7},
            {"concealed": None},
            {"concealed": 0, "height": -1},
            {},
        ]
        for one in nonsense:
            message = {"type": "hearing", "seconds": 2} | one
            await page.evaluate(f"call.send({json.dumps(message)})")
        await wait_for(lambda: kiosk.refused == len(nonsense), 10, "it was taken")
        before = len(kiosk.heard)
        many = "{type: 'hearing', seconds: 2, concealed: 1}"
        await page.evaluate(f"() => {{ for (let n = 0; n < 300; n++) call.send({many}) }}")
        await wait_for(lambda: len(kiosk.heard) >= before + 300, 10, "it has not come")
        assert kiosk.quality.refused >= 290
        assert kiosk.connected.is_set()
        summary = kiosk.quality.so_far()
        assert summary is not None
        assert summary.to_kiosk.mos is not None


async def test_without_a_report_of_the_page_only_that_score_is_missing() -> None:
    async with talk(Script(steps=(GOOD,))) as (kiosk, page, _):
        await page.evaluate("() => { call.quality = async () => ({}) }")  # an older page
        before = len(kiosk.heard)
        await wait_for(lambda: kiosk.visit.bars is not None, 30, "no bars")
        summary = kiosk.quality.so_far()
        assert summary is not None
        assert len(kiosk.heard) <= before + 1
        assert summary.to_kiosk.mos is not None
        await until_told(page, "one.bars !== null")
