"""The page in a support bundle: from a file, in a browser that may reach nothing."""

from __future__ import annotations

import asyncio
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from kioskd.diagnostics import report
from kioskd.diagnostics.bundle_file import PAGE, Part, Subject, pack
from kioskd.diagnostics.findings import Trouble, device_finding, trouble
from kioskd.diagnostics.logs import parse
from kioskd.diagnostics.report import Check
from kioskd.diagnostics.words import Language
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind, DeviceState
from tests.e2e import stage
from tests.unit.sample_status import sample
from tests.unit.test_bundle import SUBJECT
from tests.unit.test_logs import LOG

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

EVIL = json.dumps(
    {
        "timestamp": "2026-11-25T14:00:09Z",
        "level": "error",
        "event": "<img src=x onerror=document.title='broken'></script><script>alert(1)</script>",
        "device": "camera",
    }
)


def unpacked(folder: Path, subject: Subject, status: dict[str, Any] | None) -> str:
    """Make a bundle, unpack its page, and return the page's address."""
    found = [
        device_finding(DeviceKind.PRINTER, DeviceState.FAILED, Reason.PAPER_JAM, "media-jam"),
        device_finding(DeviceKind.MICROPHONE, DeviceState.DEGRADED, Reason.SILENT, "for 30 s"),
        trouble(Trouble.MAINTENANCE, "2026-11-25 14:00 UTC"),
    ]
    if status is None:
        found = [trouble(Trouble.DEAD, "control.sock: left by a dead kioskd")]
    checks = [Check(name="camera", took_s=0.1, left_out="kioskd holds it")]
    doctor = {
        one.value: report.report(
            found, checks, took_s=1.0, kiosk=subject.kiosk, language=one
        ).model_dump(mode="json")
        for one in Language
    }
    lines = [parse(one).as_json() for one in LOG if one.startswith("{")] * 40
    data = {"language": "fr", "doctor": doctor, "status": status}
    parts = [Part("units.txt", "ActiveState=active\n"), Part("usb.json", "[]\n")]
    file = folder / "bundle.zip"
    file.write_bytes(pack(subject, parts, [*lines, EVIL], data).data)
    with zipfile.ZipFile(file) as opened:
        opened.extract(PAGE, folder)
    return (folder / PAGE).as_uri()


class Watched:
    """A page, what it complained of and what it asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda one: self.said.append(one.text))
        page.on("pageerror", lambda one: self.said.append(str(one)))
        page.on("request", lambda one: self.asked.append(one.url))


async def look(one: Watched, address: str) -> None:
    page = one.page
    await page.goto(address)
    await expect(page.locator("#verdict")).to_have_text("Dégradée")
    finding = page.locator("#findings article").first
    await expect(finding).to_contain_text("KSK-231")
    await expect(page.locator("#glance")).to_contain_text("papier coincé")
    await page.get_by_role("button", name="EN", exact=True).click()
    await expect(page.locator("#verdict")).to_have_text("Degraded")
    assert await page.evaluate("document.documentElement.lang") == "en"

    lines = page.locator("#lines .line")
    everything = await lines.count()
    await page.get_by_label("at least").select_option("error")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text("<img src=x")  # text, and nothing but text
    await page.get_by_label("at least").select_option("debug")
    await page.get_by_role("button", name="Only what is explained").click()
    assert 0 < await lines.count() < everything
    await page.get_by_role("button", name="Only what is explained").click()
    await page.get_by_label("device", exact=True).select_option("printer")
    assert 0 < await lines.count() < everything
    await page.get_by_label("device", exact=True).select_option("")
    await page.get_by_role("searchbox").fill("broker.lost")
    assert await lines.count() == 40
    await page.get_by_role("searchbox").fill("")
    await page.locator("summary", has_text="units.txt").click()
    await expect(page.locator("details[open] pre")).to_contain_text("ActiveState=active")
    await page.locator("summary", has_text="units.txt").click()


async def test_it_shows_a_kiosk_and_asks_for_nothing(tmp_path: Path) -> None:
    status = sample().model_dump(mode="json")
    address = await asyncio.to_thread(unpacked, tmp_path, SUBJECT, status)
    stage.ARTEFACTS.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await stage.chromium(playwright)
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        one = Watched(page)
        await look(one, address)
        assert one.said == []
        assert one.asked == [address]
        assert await page.title() == "fc-0001 - kioskd"
        await page.screenshot(path=stage.ARTEFACTS / "bundle-en.png", full_page=True)
        await page.get_by_role("button", name="FR", exact=True).click()
        await page.screenshot(path=stage.ARTEFACTS / "bundle-fr.png", full_page=True)
        await page.emulate_media(color_scheme="dark")
        await page.screenshot(path=stage.ARTEFACTS / "bundle-dark.png", full_page=True)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 1280
        await page.set_viewport_size({"width": 400, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 400
        await browser.close()


async def test_it_shows_a_dead_kiosk(tmp_path: Path) -> None:
    subject = Subject(None, "0.1.0", SUBJECT.made, alive=False, log="no journal here")
    address = await asyncio.to_thread(unpacked, tmp_path, subject, None)
    async with async_playwright() as playwright:
        browser = await stage.chromium(playwright)
        one = Watched(await browser.new_page(viewport={"width": 1280, "height": 900}))
        await one.page.goto(address)
        await expect(one.page.locator("#verdict")).to_have_text("En panne")
        await expect(one.page.locator("#glance")).to_contain_text("kioskd n'a pas répondu")
        assert one.said == []
        await one.page.screenshot(path=stage.ARTEFACTS / "bundle-dead.png", full_page=True)
        await browser.close()
