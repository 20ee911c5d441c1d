"""The panel's buttons on the real page: where the focus goes, and how it looks."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

import pytest
from PIL import Image
from playwright.async_api import Page, async_playwright, expect

from kioskd.app.run import WEB_ROOT
from kioskd.call.control import DeviceReport
from kioskd.hal.device import DeviceKind, DeviceState
from kioskd.screen.messages import (
    Action,
    Area,
    Choose,
    EndView,
    HidePart,
    Key,
    PagePicture,
    Plain,
    ScanView,
    ServiceView,
    View,
)
from kioskd.screen.server import ScreenServer
from kioskd.visit.words import EndReason, ScanStage, Scene
from tests.e2e import stage

pytestmark = pytest.mark.e2e

READ_S = 1.0
"""Longer than the page wants a button to be seen before it is pressed: keys.ts."""
FOCUS = "button[data-focus]"
RING = "rgb(255, 176, 0) solid 5px"
LOOK = """(button) => {
  const box = button.getBoundingClientRect(), style = getComputedStyle(button);
  const room = [box.left, box.top, innerWidth - box.right, innerHeight - box.bottom];
  return [style.outline, style.boxShadow, room.map((one) => one - 10)];
}"""
"""The two rings, and what is left between them, 10 px wide, and the edges of the screen."""


PAPER = io.BytesIO()
Image.new("L", (620, 877), "white").save(PAPER, "JPEG")


@dataclass
class Screen:
    """The page in Chromium, and a server that shows it what the test wants."""

    page: Page
    server: ScreenServer
    actions: list[Action] = field(default_factory=list)

    async def show(self, view: View) -> None:
        self.server.show(view)
        await expect(self.page.locator("body")).to_have_attribute("data-scene", view.scene)

    def key(self, *keys: Literal["next", "previous", "press"]) -> None:
        for one in keys:
            self.server.key(Key(key=one))

    async def focus_on(self, testid: str | None) -> None:
        if testid is None:
            await expect(self.page.locator(FOCUS)).to_have_count(0)
        else:
            await expect(self.page.locator(FOCUS)).to_have_attribute("data-testid", testid)

    async def acted(self, *expected: Action) -> None:
        await stage.wait_for(lambda: len(self.actions) >= len(expected), 5, "nothing was pressed")
        assert self.actions == list(expected)
        self.actions.clear()


@pytest.fixture
async def screen() -> AsyncIterator[Screen]:
    actions: list[Action] = []
    async with (
        ScreenServer(
            web_root=WEB_ROOT / "screen",
            on_action=actions.append,
            page_picture=lambda *_: PAPER.getvalue(),
        ) as server,
        async_playwright() as playwright,
    ):
        browser = await stage.chromium(playwright)
        context = await browser.new_context(viewport={"width": 1920, "height": 1080})
        page = await context.new_page()
        await page.goto(server.url)
        await stage.wait_for(lambda: server.connected, 10, "no page")
        yield Screen(page, server, actions)
        await browser.close()


def service(name: str, *, is_open: bool = True) -> ServiceView:
    return ServiceView(
        id=name,
        name=name.upper(),
        description={"fr": name},
        colour="#1f5fa8",
        icon="family",
        open=is_open,
        opens=None,
    )


def view(scene: Scene, *services: ServiceView, scan: ScanStage | None = None) -> View:
    scanner = DeviceReport(kind=DeviceKind.SCANNER, state=DeviceState.READY, reason=None)
    return View(
        scene=scene,
        kiosk="k1",
        language="fr",
        online=True,
        services=list(services),
        devices=[scanner],
        scan=scan and ScanView(stage=scan, requested_by_agent=True, pages=[], done=0, reason=None),
    )


SERVICES = (service("msa", is_open=False), service("caf"), service("cpam"))


async def test_the_keys_go_round_in_reading_order_and_a_touch_hides_the_ring(
    screen: Screen,
) -> None:
    await screen.show(view(Scene.CHOOSING, *SERVICES))
    await screen.focus_on(None)
    screen.key("next")
    await screen.focus_on("service-caf")  # the first that can be called
    for key, there in (
        ("next", "service-cpam"),
        ("next", "language-fr"),
        ("next", "language-en"),
        ("next", "service-msa"),
        ("previous", "language-en"),
    ):
        screen.key(key)  # type: ignore[arg-type]
        await screen.focus_on(there)
    screen.key("press")
    await stage.wait_for(lambda: len(screen.actions) == 1, 5, "nothing was pressed")
    await screen.page.mouse.click(5, 1000)
    await screen.focus_on(None)
    screen.key("press")
    await screen.focus_on("service-caf")
    assert len(screen.actions) == 1  # the first press shows where it would press


async def test_the_ring_is_shown_in_a_window_that_is_not_the_active_one(screen: Screen) -> None:
    other = await screen.page.context.new_page()
    await other.bring_to_front()
    browser = await screen.page.context.new_cdp_session(screen.page)
    await browser.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    await screen.show(view(Scene.WAITING))
    screen.key("next")
    await screen.focus_on("hang-up")
    button = screen.page.locator(FOCUS)
    assert not await button.evaluate("button => document.hasFocus() || button.matches(':focus')")
    assert (await button.evaluate(LOOK))[0] == RING


async def test_one_press_chooses_the_only_service_that_is_open(screen: Screen) -> None:
    await screen.show(view(Scene.CHOOSING, service("msa", is_open=False), service("caf")))
    screen.key("press")
    await screen.acted(Choose(action="choose", service="caf"))


async def test_the_focus_stays_with_its_button_and_a_new_scene_has_its_own(
    screen: Screen,
) -> None:
    await screen.show(view(Scene.TALKING))
    screen.key("next")
    await screen.focus_on("scan-offer")
    screen.key("next")
    await screen.focus_on("microphone-toggle")
    # The agent asks for a paper: the panel stands before it, the focus stays.
    await screen.show(view(Scene.TALKING, scan=ScanStage.ASKING))
    await expect(screen.page.get_by_test_id("scan-start")).to_be_visible()
    await screen.focus_on("microphone-toggle")
    screen.key("previous", "previous")
    await screen.focus_on("scan-start")
    screen.key("press")
    await screen.acted(Plain(action="scan-start"))
    await screen.show(view(Scene.TALKING, scan=ScanStage.SCANNING))
    await screen.focus_on("scan-decline")
    # A second press of a trembling hand is none for a button that was not there to be read.
    screen.key("press")
    await screen.show(view(Scene.TALKING, scan=ScanStage.FAILED))
    await screen.focus_on("scan-start")
    await asyncio.sleep(READ_S)
    screen.key("press")
    await screen.acted(Plain(action="scan-start"))
    end = EndView(reason=EndReason.HANG_UP, seconds=60, pages_sent=0, pages_printed=0)
    await screen.show(view(Scene.ENDED).model_copy(update={"end": end}))
    await screen.focus_on("back")
    await screen.show(view(Scene.CHOOSING, *SERVICES))
    await screen.focus_on("service-caf")


async def test_a_part_of_a_page_is_hidden_without_a_touch(screen: Screen) -> None:
    page = PagePicture(number=7, url="pages/scan/7.jpg?0")
    scan = ScanView(
        stage=ScanStage.PREVIEW, requested_by_agent=True, pages=[page], done=1, reason=None
    )
    await screen.show(view(Scene.TALKING).model_copy(update={"scan": scan}))
    button = screen.page.get_by_test_id("scan-hide-7")
    for _ in range(await screen.page.locator("button:enabled").count()):
        screen.key("next")
        await expect(screen.page.locator(FOCUS)).to_have_count(1)
        if await button.get_attribute("data-focus") is not None:
            break
    screen.key("press")
    await screen.focus_on("hide-done")
    screen.key("previous")
    await screen.focus_on("hide-band-12")
    for band in (11, 10):
        screen.key("previous")
        await screen.focus_on(f"hide-band-{band}")
    await screen.page.screenshot(path=stage.ARTEFACTS / "keys-hide.png")
    await asyncio.sleep(READ_S)
    screen.key("press")
    await screen.acted(
        HidePart(action="scan-hide", page=7, area=Area(x=0, y=9 / 12, width=1, height=1 / 12))
    )
    # A finger is not caught by what is there for the buttons.
    box = await screen.page.get_by_test_id("hide-sheet").bounding_box()
    assert box is not None
    mouse = screen.page.mouse
    await mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.5)
    await mouse.down()
    await mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5)
    await mouse.up()
    await stage.wait_for(lambda: len(screen.actions) == 1, 5, "nothing was hidden")
    (hidden,) = screen.actions
    assert isinstance(hidden, HidePart)
    assert hidden.area.width < 0.5


async def test_the_ring_is_wide_dark_and_light_and_fits_on_every_screen(screen: Screen) -> None:
    for width, height in ((1920, 1080), (1280, 800), (1080, 1920)):
        await screen.page.set_viewport_size({"width": width, "height": height})
        for scene in (Scene.CHOOSING, Scene.WAITING, Scene.TALKING):
            scan = ScanStage.ASKING if scene is Scene.TALKING else None
            await screen.show(view(scene, *SERVICES, scan=scan))
            screen.key("next")
            focus = screen.page.locator(FOCUS)
            await expect(focus).to_have_count(1)
            await screen.page.screenshot(path=stage.ARTEFACTS / f"keys-{scene.value}-{width}.png")
            for _ in range(await screen.page.locator("button:enabled").count()):
                name = await focus.get_attribute("data-testid")
                assert name is not None
                outline, shadow, room = await focus.evaluate(LOOK)
                assert outline == RING, name
                assert shadow == "rgb(13, 20, 36) 0px 0px 0px 5px", name
                assert min(room) >= 0, f"{name} at {width}x{height}: {room}"
                screen.key("next")
                await expect(focus).not_to_have_attribute("data-testid", name)


def test_one_of_the_rings_stands_out_from_any_colour() -> None:
    """WCAG 2.2, 1.4.11: 3 to 1. Checked over the grid of all colours, 17 apart."""
    rings = [luminance(13, 20, 36), luminance(255, 176, 0)]
    levels = range(0, 256, 17)
    for ground in (luminance(r, g, b) for r in levels for g in levels for b in levels):
        assert max(contrast(ground, ring) for ring in rings) >= 3


def luminance(*colour: int) -> float:
    parts = [one / 255 for one in colour]
    red, green, blue = (
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
