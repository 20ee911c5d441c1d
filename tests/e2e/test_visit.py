"""One whole visit: resident and agent in two browsers, scanner, printer and sound real."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pikepdf
import psutil
import pytest
from PIL import Image
from playwright.async_api import Page, expect

from kioskd.control import client
from kioskd.hal.device import DeviceState
from tests.e2e import stage
from tests.e2e.conftest import Scenery, in_call, moving_counters, sign_in
from tests.e2e.sound import heard_at_speaker, heard_in_page, play_into_microphone

HIDDEN = (0.2, 0.3, 0.7, 0.4)
"""What the resident hides of the page: left, top, right, bottom as fractions."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


async def test_one_whole_visit(scenery: Scenery, tmp_path: Path) -> None:
    screen, agent, demo = scenery.screen, scenery.agent, scenery.demo
    await screen.screenshot(path=stage.ARTEFACTS / "screen-choosing.png")
    await in_call(scenery)

    # Each is told who the other is, by those who vouch for it.
    await expect(screen.get_by_test_id("agent-vouched")).to_have_text("Agent vérifié – CAF")
    known = agent.get_by_test_id("kiosk-verified")
    await expect(known).to_have_text("Borne vérifiée : Mairie (démonstration), Exempleville")

    # They see each other: the counters in the pictures are those that were painted.
    from_kiosk = await moving_counters(agent, "[data-testid=remote-video]")
    from_agent = await moving_counters(screen, "[data-testid=remote-picture]")
    assert all(number < 30 * 120 for number in from_kiosk)  # the demo is younger than 2 min
    assert all(number < 90 for number in from_agent)  # the agent's film has 90 frames

    # They hear each other: each hears the tone that the other's microphone hears.
    async with play_into_microphone(demo.folder, stage.KIOSK_TONE_HZ):
        await heard_in_page(agent, stage.KIOSK_TONE_HZ)
    await heard_at_speaker(demo.folder, stage.AGENT_TONE_HZ)
    await agent.screenshot(path=stage.ARTEFACTS / "agent-talking.png")
    await screen.screenshot(path=stage.ARTEFACTS / "screen-talking.png")

    await scan(screen, agent)
    await print_document(screen, agent, demo, tmp_path)

    await screen.get_by_test_id("hang-up").click()
    await expect(screen.locator("body")).to_have_attribute("data-scene", "ended")
    await expect(agent.get_by_test_id("call-state")).to_have_attribute("data-state", "ended")
    await screen.screenshot(path=stage.ARTEFACTS / "screen-ended.png")
    await agent.screenshot(path=stage.ARTEFACTS / "agent-ended.png")
    await everything_is_wiped(demo)
    await screen.get_by_test_id("back").click()
    await expect(screen.locator("body")).to_have_attribute("data-scene", "choosing")


async def scan(screen: Page, agent: Page) -> None:
    await agent.get_by_test_id("scan-source").select_option("flatbed")
    await agent.get_by_test_id("scan-mode").select_option("colour")
    await agent.get_by_test_id("scan-dpi").select_option("150")
    await agent.get_by_test_id("scan-request").click()
    panel = screen.get_by_test_id("scan-panel")
    await expect(panel).to_have_attribute("data-stage", "asking")
    await expect(agent.get_by_test_id("received-document")).to_have_count(0)
    await screen.get_by_test_id("scan-start").click()
    await expect(panel).to_have_attribute("data-stage", "preview")
    await expect(screen.get_by_test_id("scan-page")).to_have_count(1)
    await screen.screenshot(path=stage.ARTEFACTS / "screen-scan.png")
    await expect(agent.get_by_test_id("received-document")).to_have_count(0)  # not sent yet
    await hide(screen)
    await screen.get_by_test_id("scan-send").click()
    received = agent.get_by_test_id("received-document")
    await expect(received).to_have_attribute("data-pages", "1")
    async with agent.expect_download() as download:
        await agent.get_by_test_id("received-download").click()
    path = await (await download.value).path()
    with pikepdf.open(path) as document:
        assert len(document.pages) == 1
        width, height = (float(side) for side in document.pages[0].mediabox[2:])
        (picture,) = document.pages[0].get_images().values()
        seen = np.asarray(Image.open(io.BytesIO(picture.read_raw_bytes())).convert("L"))
    left, top, right, bottom = HIDDEN
    rows = slice(round(top * seen.shape[0]), round(bottom * seen.shape[0]))
    columns = slice(round(left * seen.shape[1]), round(right * seen.shape[1]))
    assert seen[rows, columns].max() < 3, "what was hidden is seen"
    assert seen.mean() > 30, "more is hidden than was asked for"
    assert width == pytest.approx(595, rel=0.02)  # A4 in points
    assert height == pytest.approx(842, rel=0.02)
    await agent.screenshot(path=stage.ARTEFACTS / "agent-scan.png")
    await screen.get_by_test_id("scan-close").click()


async def hide(screen: Page) -> None:
    """Draw over a part of the page, twice; the first time it is shown again."""
    await screen.get_by_test_id("scan-hide-1").click()
    sheet = screen.get_by_test_id("hide-sheet")
    nothing = screen.get_by_test_id("hide-nothing")
    await expect(nothing).to_be_disabled()
    picture = sheet.locator("img")
    for again in (True, False):
        # Before its picture is there, the sheet has another size.
        await expect(picture).to_have_attribute("data-shown", re.compile(r"\?0$"))
        await expect(picture).to_have_js_property("complete", True)
        box = await sheet.bounding_box()
        assert box is not None
        left, top, right, bottom = HIDDEN
        await screen.mouse.move(box["x"] + left * box["width"], box["y"] + top * box["height"])
        await screen.mouse.down()
        end = box["x"] + right * box["width"], box["y"] + bottom * box["height"]
        await screen.mouse.move(*end, steps=5)
        await screen.mouse.up()
        await expect(nothing).to_be_enabled()
        await expect(picture).to_have_attribute("data-shown", re.compile(r"\?1$"))
        if again:
            await nothing.click()
            await expect(nothing).to_be_disabled()
    await expect(picture).to_have_js_property("complete", True)
    await screen.screenshot(path=stage.ARTEFACTS / "screen-hide.png")
    await screen.get_by_test_id("hide-done").click()
    await screen.screenshot(path=stage.ARTEFACTS / "screen-hidden.png")


async def print_document(screen: Page, agent: Page, demo: stage.Demo, folder: Path) -> None:
    letter = folder / "courrier.pdf"
    stage.make_pdf(letter, ["ATTESTATION", "DROITS"])
    await agent.get_by_test_id("print-file").set_input_files(letter)
    panel = screen.get_by_test_id("print-panel")
    await expect(panel).to_have_attribute("data-stage", "asking")
    await expect(screen.get_by_test_id("print-page")).to_have_count(2)
    await screen.screenshot(path=stage.ARTEFACTS / "screen-print.png")
    spool = demo.folder / "cups"
    assert not printed_files(spool), "printed before the resident agreed"
    await screen.get_by_test_id("print-accept").click()
    await expect(panel).to_have_attribute("data-stage", "printed")
    await expect(agent.get_by_test_id("print-status")).to_have_attribute("data-stage", "printed")
    papers = printed_files(spool)
    assert len(papers) == 1
    # A printer that stacks face up gets the last page first.
    words = (await asyncio.to_thread(read_print, papers[0])).split()
    assert sorted(words) == ["ATTESTATION", "DROITS"]
    await screen.get_by_test_id("print-close").click()


def printed_files(folder: Path) -> list[Path]:
    """Return what lies in the printer's output, PDF as the device got it."""
    return sorted(path for path in folder.rglob("*.pdf") if path.is_file())


def read_print(path: Path) -> str:
    """Read the paper: only pixels were printed, so it takes character recognition."""
    words = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["pdftoppm", "-r", "100", "-gray", "-png", path, f"{folder}/p"], check=True)
        for picture in sorted(Path(folder).iterdir()):
            result = subprocess.run(
                ["tesseract", picture, "-", "--psm", "11"],
                check=True,
                capture_output=True,
                text=True,
            )
            words.append(result.stdout.strip())
    return " ".join(words)


async def everything_is_wiped(demo: stage.Demo) -> None:
    spool = demo.folder / "spool"
    await stage.wait_for(lambda: not any(spool.iterdir()), 10, "the spool is not wiped")
    open_still = True
    async with asyncio.timeout(5):  # the screen tells of the end while they close
        while open_still:
            status = await client.ask_status(demo.folder / "control.sock")
            open_still = any(
                device.kind in ("camera", "microphone") and device.state is DeviceState.BUSY
                for device in status.devices
            )
    for document in (demo.folder / "cups").rglob("d[0-9]*-[0-9]*"):
        raise AssertionError(f"CUPS kept {document.name}")


async def test_a_closed_agents_tab_ends_the_visit(scenery: Scenery) -> None:
    await in_call(scenery)
    await scenery.agent.close(run_before_unload=False)
    await expect(scenery.screen.locator("body")).to_have_attribute("data-scene", "ended")
    await everything_is_wiped(scenery.demo)


async def test_the_agent_hangs_up_and_a_second_agent_is_told(scenery: Scenery) -> None:
    other = await scenery.agent_browser.new_page()
    await sign_in(other, scenery.demo.agent, "Paul")
    await in_call(scenery)
    await expect(other.get_by_test_id("line-row")).to_have_count(0)
    await scenery.agent.get_by_test_id("hang-up").click()
    await expect(scenery.screen.locator("body")).to_have_attribute("data-scene", "ended")
    await other.close()


async def test_ctrl_c_leaves_no_child_behind() -> None:
    with stage.stage_folder() as folder:
        async with stage.demo(folder / "demo", "--real") as demo:
            parent = psutil.Process(demo.pid)
            children = parent.children(recursive=True)
            assert len(children) >= 5  # mosquitto, cupsd, ippeveprinter, pipewire, ...
        left = [child for child in children if child.is_running()]
        assert not left
