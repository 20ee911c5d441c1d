"""A printer in trouble, in the words of both pages."""

from __future__ import annotations

import asyncio
import contextlib

import psutil
import pytest
from playwright.async_api import expect

from tests.e2e import stage
from tests.e2e.conftest import Scenery, in_call

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def fault(scenery: Scenery, words: str) -> None:
    (scenery.demo.folder / "cups" / "fault").write_text(words)


async def test_a_printer_without_paper_and_one_whose_power_fails(scenery: Scenery) -> None:
    await in_call(scenery)
    screen, agent = scenery.screen, scenery.agent
    path = scenery.demo.folder / "lettre.pdf"
    await asyncio.to_thread(stage.make_pdf, path, ["UN", "DEUX", "TROIS"])
    await asyncio.to_thread(fault, scenery, "paper-out 1")
    await agent.get_by_test_id("print-file").set_input_files(path)
    await screen.get_by_test_id("print-accept").click()
    panel, help_line = screen.get_by_test_id("print-panel"), agent.get_by_test_id("print-help")
    await expect(panel).to_have_attribute("data-stage", "held")
    await expect(panel).to_contain_text("Il n'y a plus de papier")
    await expect(panel).to_contain_text("L'impression reprendra toute seule")
    await expect(agent.get_by_test_id("print-status")).to_contain_text("plus de papier")
    await expect(help_line).to_contain_text("prévenir l'accueil")
    await screen.screenshot(path=stage.ARTEFACTS / "screen-print-held.png")
    await agent.screenshot(path=stage.ARTEFACTS / "agent-print-held.png")
    for one in psutil.Process(scenery.demo.pid).children(True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.name() == "ippeveprinter":
                one.kill()
    await expect(panel).to_have_attribute("data-stage", "failed")
    await expect(panel).to_contain_text("L'imprimante a perdu le document")
    await expect(agent.get_by_test_id("print-status")).to_contain_text("perdu par l'imprimante")
    await expect(help_line).to_contain_text("ce qui est sorti")
    await screen.screenshot(path=stage.ARTEFACTS / "screen-print-lost.png")
    await agent.screenshot(path=stage.ARTEFACTS / "agent-print-lost.png")
