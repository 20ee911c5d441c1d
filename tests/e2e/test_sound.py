"""Sound on the pages: the resident sees to be heard, both are told of a deaf microphone."""

from __future__ import annotations

import signal

import pytest
from playwright.async_api import Locator, expect

from kioskd.call.description import RED_TYPE
from kioskd.simulation.pipewire import PIPEWIRE
from tests.e2e import stage
from tests.e2e.conftest import Scenery, back_to_the_choice, in_call
from tests.e2e.sound import heard_in_page, play_into_microphone, pulse

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


async def rises(meter: Locator, over: int) -> None:
    """Wait until a level bar shows more than `over` percent."""
    bar = await meter.element_handle()
    assert bar is not None
    await meter.page.wait_for_function(
        "([bar, over]) => Number(bar.getAttribute('aria-valuenow')) > over", arg=[bar, over]
    )


async def test_the_resident_sees_to_be_heard_and_is_told_when_not(scenery: Scenery) -> None:
    screen, agent = scenery.screen, scenery.agent
    await in_call(scenery)
    own, other = screen.get_by_test_id("own-level"), screen.get_by_test_id("agent-level")
    await rises(other, 5)  # Chromium takes a steady tone for noise and turns it down

    # Nothing is played into the virtual microphone: it gives digital silence.
    deaf = screen.get_by_test_id("microphone-notice")
    await expect(deaf).to_be_visible()
    await expect(agent.locator(".note")).to_contain_text("n'entend rien")
    await expect(own).to_have_attribute("aria-valuenow", "0")
    await screen.screenshot(path=stage.ARTEFACTS / "screen-silent.png")
    await agent.screenshot(path=stage.ARTEFACTS / "agent-silent.png")
    async with play_into_microphone(scenery.demo.folder, stage.KIOSK_TONE_HZ):
        await rises(own, 50)
        await expect(deaf).to_be_hidden()
        # Another note may stand there: a busy machine's line looks weak.
        await expect(agent.locator(".note", has_text="n'entend rien")).to_be_hidden()
        await screen.screenshot(path=stage.ARTEFACTS / "screen-heard.png")
        await screen.get_by_test_id("microphone-toggle").click()
        await expect(own).to_have_attribute("aria-valuenow", "0")

    volume = screen.get_by_role("progressbar")
    await screen.get_by_test_id("volume-up").click()
    await expect(volume).to_have_attribute("value", "0.8")
    await screen.get_by_test_id("hang-up").click()
    await back_to_the_choice(screen)
    await scenery.agent.get_by_test_id("back").click()
    await in_call(scenery)  # the next resident
    await expect(volume).to_have_attribute("value", "0.7")


KEEP_PEER = """() => {
  const own = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (offer) {
    window.peer = this;
    return own.call(this, offer);
  };
}"""
AGREED = """() => [
  peer.localDescription.sdp.match(/^m=audio \\S+ \\S+ (\\d+)/m)[1],
  peer.remoteDescription.sdp.match(/useinbandfec=./g),
]"""
"""The payload type that the agent's browser puts first, and what the kiosk is taken to ask for."""


async def test_the_agents_voice_is_sent_twice_and_carries_no_fec(scenery: Scenery) -> None:
    await scenery.agent.evaluate(KEEP_PEER)
    await in_call(scenery)
    await rises(scenery.screen.get_by_test_id("agent-level"), 5)
    assert await scenery.agent.evaluate(AGREED) == [str(RED_TYPE), ["useinbandfec=0"]]


async def test_the_call_outlives_the_death_of_pipewire(scenery: Scenery) -> None:
    await in_call(scenery)
    sound, screen = pulse(scenery.demo.folder), scenery.screen
    try:
        sound.signal(PIPEWIRE, signal.SIGKILL)
        for notice in ("microphone-notice", "speaker-notice"):
            await expect(screen.get_by_test_id(notice)).to_be_visible()
        await sound.restart(PIPEWIRE)
        await expect(screen.get_by_test_id("speaker-notice")).to_be_hidden()
        async with play_into_microphone(scenery.demo.folder, stage.KIOSK_TONE_HZ):
            await heard_in_page(scenery.agent, stage.KIOSK_TONE_HZ)
        await rises(screen.get_by_test_id("agent-level"), 5)
    finally:
        await sound.stop()
