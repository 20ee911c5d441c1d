"""Both pages show how good the call is, and the technician finds its figures."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import Page, expect

from tests.e2e import stage
from tests.e2e.conftest import in_call, scenery_of
from tests.e2e.test_maintenance import kioskctl

pytestmark = pytest.mark.e2e

WORSE = """() => {
  const measure = RTCPeerConnection.prototype.getStats;
  let made = 0;
  RTCPeerConnection.prototype.getStats = async function () {
    const report = await measure.call(this);
    const told = new Map();
    for (const [id, one] of report)
      if (one.type === 'inbound-rtp' && one.kind === 'audio')
        told.set(id, {...one, concealedSamples: (made += 40_000), concealmentEvents: made / 4800});
      else if (one.type === 'candidate-pair') told.set(id, {...one, currentRoundTripTime: 0.123});
      else told.set(id, one);
    return told;
  };
}"""
"""From now on the agent's browser says that 40 % of what it plays was made up, in runs of 0.1 s,
and that the round trip is 123 ms. A line that really loses is in tests/peer/test_call_quality.py.
"""


async def bars(page: Page, testid: str) -> int:
    shown = page.get_by_test_id(testid)
    await expect(shown).to_be_visible()
    return int(await shown.get_attribute("data-bars") or -1)


async def test_bars_words_and_figures() -> None:
    async with scenery_of() as scenery:
        screen, agent = scenery.screen, scenery.agent
        await in_call(scenery)
        assert 0 <= await bars(screen, "line-bars") <= 4
        # How many there are now hangs on how busy the machine is.
        said = screen.get_by_test_id("line-bars")
        await expect(said).to_have_attribute("aria-label", expression("Liaison"))
        await expect(said).to_have_attribute("role", "img")
        assert 0 <= await bars(agent, "quality") <= 4
        await expect(agent.get_by_test_id("quality")).to_contain_text("iaison")
        await screen.screenshot(path=stage.ARTEFACTS / "quality-screen-good.png")
        await agent.screenshot(path=stage.ARTEFACTS / "quality-agent-good.png")

        await agent.evaluate(WORSE)
        note = agent.locator(".note")
        weak = "La ligne du point d'accueil est faible, le son est prioritaire."
        await expect(note).to_contain_text(weak)
        await expect(agent.get_by_test_id("quality")).to_have_attribute("data-level", "poor")
        await expect(agent.get_by_test_id("quality")).to_contain_text("Liaison faible")
        trip = re.compile("aller-retour 123 ms")  # so the pair in use is found
        await expect(agent.get_by_test_id("quality")).to_have_attribute("title", trip)
        await expect(screen.get_by_test_id("line-weak")).to_have_text("Liaison faible")
        assert await bars(screen, "line-bars") <= 2
        await expect(screen.get_by_test_id("line-notice")).to_have_count(0)  # it alarms nobody
        await screen.screenshot(path=stage.ARTEFACTS / "quality-screen-poor.png")
        await agent.screenshot(path=stage.ARTEFACTS / "quality-agent-poor.png")
        await screen.get_by_test_id("language-en").click()
        await expect(said).to_have_attribute("aria-label", expression("Connection"))
        await expect(screen.get_by_test_id("line-weak")).to_have_text("Weak connection")

        _, text = await kioskctl(scenery, "call")
        assert "weak" in text
        assert "by the agent" in text
        await screen.get_by_test_id("hang-up").click()
        await expect(screen.locator("body")).to_have_attribute("data-scene", "ended")
        _, told = await kioskctl(scenery, "call", "--json")
        (call,) = json.loads(told)["lately"]
        assert (call["service"], call["end"]) == ("caf", "hang-up")
        figures = call["figures"]
        assert figures["poor_s"] > 0
        assert figures["to_agent"]["mos_min"] < 3.1
        assert figures["to_agent"]["concealed"] > 0.05
        assert figures["to_kiosk"]["mos_median"] is not None
        assert "Léa" not in told
        _, published = await kioskctl(scenery, "metrics")
        assert 'kioskd_calls_total{end="hang-up"} 1' in published
        assert 'kioskd_call_mos_count{direction="to-agent"} 1' in published
        assert "Léa" not in published


def expression(word: str) -> re.Pattern[str]:
    """Return what the text alternative has to look like."""
    return re.compile(rf"{word}.*[0-4] bar")
