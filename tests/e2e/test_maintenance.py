"""Maintenance and restarts as people see them: the resident, the agent, the technician."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from playwright.async_api import expect

from tests.e2e import stage
from tests.e2e.conftest import (
    Scenery,
    back_to_the_choice,
    in_call,
    moving_counters,
    scenery_of,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


async def kioskctl(scenery: Scenery, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kioskd.cli", *arguments),
        env={**os.environ, "KIOSKD_SOCKET": str(scenery.demo.folder / "control.sock")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_everybody_is_told_and_nobody_can_call() -> None:
    async with scenery_of() as scenery:
        screen, agent = scenery.screen, scenery.agent
        await expect(screen.get_by_test_id("service-caf")).to_be_enabled()
        await expect(agent.get_by_test_id("unavailable")).to_be_hidden()
        code, said = await kioskctl(scenery, "maintenance", "on")
        assert (code, said.startswith("maintenance is on")) == (0, True)
        title = screen.get_by_test_id("maintenance")
        await expect(title).to_have_text("Cette borne est en maintenance.")
        await expect(screen.get_by_test_id("service-caf")).to_have_count(0)
        closed = agent.get_by_test_id("unavailable")
        await expect(closed).to_be_visible()
        await expect(closed.locator("li")).to_contain_text("en maintenance")
        await screen.screenshot(path=stage.ARTEFACTS / "screen-maintenance.png")
        await agent.screenshot(path=stage.ARTEFACTS / "agent-maintenance.png")
        await screen.get_by_test_id("language-en").click()
        await expect(title).to_have_text("This kiosk is being serviced.")

        await kioskctl(scenery, "maintenance", "off")
        await expect(closed).to_be_hidden()
        await in_call(scenery)


async def test_a_visit_under_way_is_served_to_its_end() -> None:
    async with scenery_of() as scenery:
        screen, agent = scenery.screen, scenery.agent
        await in_call(scenery)
        _, said = await kioskctl(scenery, "maintenance", "on")
        assert "begins after this visit" in said
        code, said = await kioskctl(scenery, "restart", "camera")
        assert code == 2
        assert "the agent would not see the resident" in said
        code, said = await kioskctl(scenery, "restart", "camera", "--now")
        assert code == 0, said
        await expect(screen.locator("body")).to_have_attribute("data-scene", "talking")
        await moving_counters(agent, "[data-testid=remote-video]")
        await moving_counters(screen, "[data-testid=remote-picture]")
        await expect(agent.get_by_test_id("unavailable")).to_be_hidden()
        await screen.get_by_test_id("hang-up").click()
        await back_to_the_choice(screen)
        await expect(screen.get_by_test_id("maintenance")).to_be_visible()
        await agent.get_by_test_id("back").click()
        await expect(agent.get_by_test_id("unavailable")).to_be_visible()
