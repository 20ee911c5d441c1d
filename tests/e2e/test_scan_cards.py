"""The cards of a scan, on the real page: what they say, and that all of it can be seen."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from PIL import Image
from playwright.async_api import Page, async_playwright, expect

from kioskd.app.run import WEB_ROOT
from kioskd.errors import DocumentFault, Reason
from kioskd.screen.messages import PagePicture, ScanView, View
from kioskd.screen.server import ScreenServer
from kioskd.visit.words import LineQuality, ScanStage, Scene
from tests.e2e import stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SIZES = {"small": (1280, 720), "portrait": (1080, 1920), "large": (1920, 1080)}
OVERFLOWS = """panel => panel.scrollHeight > panel.clientHeight + 1
    || panel.scrollWidth > panel.clientWidth + 1
    || document.documentElement.scrollHeight > innerHeight"""


@dataclass
class Cards:
    """The resident's page, and the hand that shows a scan on it."""

    page: Page
    server: ScreenServer
    size: str
    language: str = "fr"
    shown: View | None = None

    async def show(
        self,
        scan_stage: ScanStage,
        *,
        pages: int = 0,
        reason: Reason | DocumentFault | None = None,
        button: bool = False,
    ) -> str:
        """Show a card and return its words; nothing of it is cut off."""
        scan = ScanView(
            stage=scan_stage,
            requested_by_agent=True,
            pages=[PagePicture(number=n, url=f"pages/scan/{n}.jpg") for n in range(1, pages + 1)],
            done=0.0,
            reason=reason,
            button=button,
        )
        panel = self.page.get_by_test_id("scan-panel")
        self.server.show(self._view(None))
        await expect(panel).to_have_count(0)
        self.server.show(self._view(scan))
        await expect(panel).to_have_attribute("data-stage", scan_stage.value)
        # Once it is laid out: a busy machine may be between the card and its place.
        card = await panel.element_handle()
        await self.page.wait_for_function(f"(card) => !({OVERFLOWS})(card)", arg=card)
        for picture in await panel.locator("img").all():
            await expect(picture).not_to_have_js_property("naturalWidth", 0)
            assert await picture.evaluate("one => one.clientHeight >= 150"), (reason, pages)
        name = f"{self.size}-scan-{scan_stage}-{reason or 'well'}-{pages}-{self.language}"
        await self.page.screenshot(path=stage.ARTEFACTS / f"{name}.png")
        return await panel.inner_text()

    async def hide_a_part(self) -> None:
        """Show the last page of a preview large; nothing of it is cut off."""
        await self.page.locator("[data-testid^=scan-hide-]").last.click()
        picture = self.page.get_by_test_id("hide-sheet").locator("img")
        await expect(picture).not_to_have_js_property("naturalWidth", 0)
        assert not await self.page.get_by_test_id("scan-panel").evaluate(OVERFLOWS)
        name = f"{self.size}-scan-hide-{self.language}"
        await self.page.screenshot(path=stage.ARTEFACTS / f"{name}.png")
        await self.page.get_by_test_id("hide-done").click()
        await expect(self.page.get_by_test_id("hide-sheet")).to_have_count(0)

    async def trouble(self) -> None:
        """Tell of a line that is cut and of an agent who is neither seen nor heard."""
        assert self.shown is not None
        silent = {"line": LineQuality.LOST, "agent_media": {"audio": False, "video": False}}
        self.server.show(self.shown.model_copy(update=silent))
        await expect(self.page.get_by_test_id("line-notice")).to_be_visible()

    def _view(self, scan: ScanView | None) -> View:
        self.shown = View(
            scene=Scene.TALKING,
            kiosk="Mairie",
            language=self.language,
            online=True,
            services=[],
            agent="Léa",
            scan=scan,
        )
        return self.shown


@pytest.fixture(params=list(SIZES))
async def cards(request: pytest.FixtureRequest) -> AsyncIterator[Cards]:
    width, height = SIZES[request.param]
    sheet = io.BytesIO()
    Image.new("RGB", (620, 877), "white").save(sheet, "JPEG")
    stage.ARTEFACTS.mkdir(parents=True, exist_ok=True)
    async with (
        ScreenServer(
            web_root=WEB_ROOT / "screen",
            on_action=lambda _: None,
            page_picture=lambda _, __: sheet.getvalue(),
        ) as server,
        async_playwright() as playwright,
    ):
        browser = await stage.chromium(playwright)
        page = await browser.new_page(viewport={"width": width, "height": height})
        await page.goto(server.url)
        yield Cards(page, server, request.param)
        await browser.close()


async def test_every_card_fits_and_says_what_to_do(cards: Cards) -> None:
    for cards.language in ("fr", "en"):
        with_button = await cards.show(ScanStage.ASKING, button=True)
        without = await cards.show(ScanStage.ASKING)
        assert ("bouton du scanner" in with_button) or ("scanner's button" in with_button)
        assert "scanner" not in without
        scanning = await cards.show(ScanStage.SCANNING)
        assert scanning != await cards.show(ScanStage.SCANNING, reason=Reason.WARMING_UP)
        for reason in (Reason.PAPER_JAM, Reason.COVER_OPEN):
            words = await cards.show(ScanStage.FAILED, reason=reason)
            assert "accueil" not in words
            assert "reception" not in words
            for pages in (1, 3, 50):
                words = await cards.show(ScanStage.PREVIEW, reason=reason, pages=pages)
                assert "accueil" not in words
                assert "reception" not in words
        for pages in (0, 1, 3, 50):
            await cards.show(ScanStage.PREVIEW, pages=pages)
        await cards.hide_a_part()


async def test_after_a_jam_to_go_on_is_the_large_button(cards: Cards) -> None:
    await cards.show(ScanStage.PREVIEW, reason=Reason.PAPER_JAM, pages=2)
    go = cards.page.locator("[data-testid=scan-panel] button.go")
    await expect(go).to_have_count(1)
    await expect(go).to_have_attribute("data-testid", "scan-more")
    await expect(cards.page.get_by_test_id("scan-send")).to_be_enabled()
    for reason in (None, DocumentFault.TIMEOUT):
        await cards.show(ScanStage.PREVIEW, reason=reason, pages=2)
        await expect(go).to_have_attribute("data-testid", "scan-send")


async def test_nothing_moves_a_page_under_the_finger_that_hides_a_part_of_it(cards: Cards) -> None:
    await cards.show(ScanStage.PREVIEW, pages=1)
    await cards.page.get_by_test_id("scan-hide-1").click()
    sheet = cards.page.get_by_test_id("hide-sheet")
    await expect(sheet.locator("img")).not_to_have_js_property("naturalWidth", 0)
    before = await sheet.bounding_box()
    await cards.trouble()
    await cards.page.screenshot(path=stage.ARTEFACTS / f"{cards.size}-scan-hide-trouble.png")
    assert await sheet.bounding_box() == before
    told = await cards.page.get_by_test_id("line-notice").bounding_box()
    assert told is not None
    assert before is not None
    assert told["y"] + told["height"] < before["y"], "it lies over the page"
    await cards.page.get_by_test_id("hide-done").click()
    await expect(cards.page.get_by_test_id("agent-sound-notice")).to_be_visible()
