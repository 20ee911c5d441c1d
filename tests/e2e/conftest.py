"""The scenery of the end-to-end tests: a demo, the resident's page, an agent's page."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.e2e import stage


@dataclass
class Scenery:
    """A demo with real stacks, the resident's page and a signed-in agent's."""

    demo: stage.Demo
    screen: Page
    agent: Page
    agent_browser: Browser


async def sign_in(page: Page, address: str, name: str) -> None:
    """Open the agent's page and begin a shift for the CAF."""
    await page.goto(address)
    await page.get_by_test_id("signin-name").fill(name)
    await page.get_by_test_id("service-caf").check()
    await page.get_by_test_id("signin-submit").click()


@contextlib.asynccontextmanager
async def scenery_of(*arguments: str) -> AsyncIterator[Scenery]:
    """Run a demo with `arguments` and open both pages."""
    stage.ARTEFACTS.mkdir(parents=True, exist_ok=True)
    with stage.stage_folder() as folder:
        async with (
            stage.demo(folder / "demo", *arguments) as demo,
            async_playwright() as playwright,
        ):
            media = await asyncio.to_thread(stage.agent_media, folder)
            agent_browser = await stage.chromium(playwright, *media)
            screen_browser = await stage.chromium(playwright)
            agent = await agent_browser.new_page(
                viewport={"width": 1280, "height": 720}, locale="fr-FR"
            )
            screen = await screen_browser.new_page(viewport={"width": 1920, "height": 1080})
            await screen.goto(demo.screen)
            await sign_in(agent, demo.agent, "Léa")
            try:
                yield Scenery(demo, screen, agent, agent_browser)
            finally:
                for page, name in ((agent, "agent"), (screen, "screen")):
                    if not page.is_closed():
                        await page.screenshot(path=stage.ARTEFACTS / f"{name}-last.png")
                await agent_browser.close()
                await screen_browser.close()


@pytest.fixture
async def scenery() -> AsyncIterator[Scenery]:
    async with scenery_of("--real") as one:
        yield one


async def in_call(scenery: Scenery) -> None:
    """Press CAF, take the call, and wait until both pages say that people talk."""
    screen, agent = scenery.screen, scenery.agent
    await screen.get_by_test_id("service-caf").click()
    await expect(screen.locator("body")).to_have_attribute("data-scene", "waiting")
    await expect(screen.get_by_test_id("place")).to_be_visible()
    await agent.get_by_test_id("take").first.click()
    await expect(screen.locator("body")).to_have_attribute("data-scene", "talking")
    await expect(agent.get_by_test_id("call-state")).to_have_attribute("data-state", "talking")


async def moving_counters(page: Page, selector: str) -> list[int]:
    """Return frame counters read from the picture at `selector` until three differ."""
    seen: list[int] = []
    async with asyncio.timeout(20):
        while len(set(seen)) < 3:
            number, _ = await stage.strip(page, selector)
            seen.append(number)
            await page.evaluate("() => new Promise(requestAnimationFrame)")
    return seen


async def back_to_the_choice(screen: Page) -> None:
    """Press Back on the last page; the choice comes once all is wiped."""
    body = screen.locator("body")
    await expect(body).to_have_attribute("data-scene", "ended")
    await screen.get_by_test_id("back").click()
    await expect(body).to_have_attribute("data-scene", "choosing")
