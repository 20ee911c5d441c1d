"""Trouble in a visit: what breaks is said in words, and the rest goes on."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from playwright.async_api import expect

from tests.e2e import stage
from tests.e2e.conftest import Scenery, in_call, moving_counters, scenery_of, sign_in

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@contextlib.asynccontextmanager
async def broker_again(demo: stage.Demo) -> AsyncIterator[None]:
    """Run the demo's broker once more, with the configuration that the demo made."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(demo.folder / "broker" / "mosquitto.conf")
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


def child(demo: stage.Demo, name: str) -> psutil.Process:
    (found,) = [one for one in psutil.Process(demo.pid).children(True) if one.name() == name]
    return found


async def test_a_broker_that_dies_does_not_touch_a_call_and_is_found_again() -> None:
    async with scenery_of() as scenery:
        screen, agent = scenery.screen, scenery.agent
        await in_call(scenery)
        child(scenery.demo, "mosquitto").kill()
        # Longer than it takes to notice: the call goes on, and ends well by its own channel.
        await moving_counters(agent, "[data-testid=remote-video]")
        await moving_counters(screen, "[data-testid=remote-picture]")
        await expect(screen.locator("body")).to_have_attribute("data-scene", "talking")
        await agent.get_by_test_id("hang-up").click()
        await expect(screen.locator("body")).to_have_attribute("data-scene", "ended")
        await screen.get_by_test_id("back").click()
        await expect(screen.locator(".notice")).to_be_visible()
        await expect(screen.get_by_test_id("service-caf")).to_be_disabled()
        await screen.screenshot(path=stage.ARTEFACTS / "screen-no-broker.png")
        async with broker_again(scenery.demo):
            await expect(screen.get_by_test_id("service-caf")).to_be_enabled()
            await agent.get_by_test_id("back").click()
            await in_call(scenery)


async def test_a_camera_that_is_missing_is_said_on_both_sides() -> None:
    async with scenery_of("--camera", "/dev/kiosk/no-such-camera") as scenery:
        await in_call(scenery)
        notice = scenery.screen.get_by_test_id("camera-notice")
        await expect(notice).to_contain_text("l'agent ne vous voit pas")
        row = scenery.agent.locator("[data-kind=camera]")
        await expect(row).to_have_attribute("data-state", "absent")
        # The rest is there: the resident sees the agent.
        await moving_counters(scenery.screen, "[data-testid=remote-picture]")


async def test_a_printer_that_dies_in_a_call_is_said_and_the_call_goes_on(
    scenery: Scenery,
) -> None:
    await in_call(scenery)
    row = scenery.agent.locator("[data-kind=printer]")
    await expect(row).to_have_attribute("data-state", "ready")
    child(scenery.demo, "ippeveprinter").kill()
    await expect(row).to_contain_text("éteint ou injoignable")
    await moving_counters(scenery.agent, "[data-testid=remote-video]")


async def test_of_two_agents_who_take_one_call_the_second_is_told_by_whom() -> None:
    async with scenery_of() as scenery:
        other = await scenery.agent_browser.new_page(locale="fr-FR")
        await sign_in(other, scenery.demo.agent, "Paul")
        await scenery.screen.get_by_test_id("service-caf").click()
        pages = {"Léa": scenery.agent, "Paul": other}
        for page in pages.values():
            await expect(page.get_by_test_id("take")).to_be_visible()
        await asyncio.gather(
            *(page.get_by_test_id("take").dispatch_event("click") for page in pages.values())
        )
        talking = scenery.screen.get_by_test_id("agent-name")
        await expect(talking).to_be_visible()
        winner = await talking.inner_text()
        (loser,) = [name for name in pages if name != winner]
        await expect(pages[loser].get_by_test_id("error")).to_have_text(
            f"Cet appel a été pris par {winner}."
        )


async def test_what_is_no_pdf_is_refused_in_words(tmp_path: Path) -> None:
    text, broken, large = (tmp_path / name for name in ("a.pdf", "b.pdf", "c.pdf"))
    text.write_text("no PDF at all")
    broken.write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 40 + b"%%EOF")
    with large.open("wb") as file:
        file.write(b"%PDF-1.7\n")
        file.truncate(21 * 1024 * 1024)
    async with scenery_of() as scenery:
        await in_call(scenery)
        agent = scenery.agent
        chosen, said = agent.get_by_test_id("print-file"), agent.get_by_test_id("error")
        await chosen.set_input_files(text)
        await expect(said).to_have_text("Ce fichier n'est pas un PDF.")
        await chosen.set_input_files(large)
        await expect(said).to_have_text("Ce fichier dépasse 20 Mo.")
        await chosen.set_input_files(broken)  # only the kiosk can tell
        status = agent.get_by_test_id("print-status")
        await expect(status).to_have_attribute("data-stage", "failed")
        await expect(status).to_contain_text("document abîmé")
        await expect(scenery.screen.locator("body")).to_have_attribute("data-scene", "talking")
