"""How a call is set up: what is made ready before anybody takes it, and what is not waited for."""

from __future__ import annotations

import psutil
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

GIVEN_UP = 20
HOLD_DEVICES = """() => {
  const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
  const allowed = new Promise((go) => { window.allow = go; });
  media.getUserMedia = async (wanted) => {
    await allowed;
    return open(wanted);
  };
}"""
NOWHERE_FIRST = """() => {
  const Real = window.RTCPeerConnection;
  window.made = 0;
  window.RTCPeerConnection = class extends Real {
    constructor(configuration) {
      super(window.made++ ? configuration : { ...configuration, iceTransportPolicy: 'relay' });
    }
  };
}"""
"""The page's first connection finds no address: without a TURN server it may use none."""
REFUSE_DEVICES = """() => {
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('NotAllowedError'));
}"""


def sockets(scenery: Scenery) -> int:
    """Count the daemon's UDP sockets: those of candidates are all there are."""
    return len(psutil.Process(scenery.demo.pid).net_connections("udp"))


async def test_candidates_are_gathered_while_the_call_waits_and_given_up_with_it() -> None:
    async with scenery_of() as scenery:
        screen, daemon = scenery.screen, psutil.Process(scenery.demo.pid)
        files = []
        for _ in range(GIVEN_UP):
            assert sockets(scenery) == 0
            files.append(daemon.num_fds())
            await screen.get_by_test_id("service-caf").click()
            await stage.wait_for(lambda: sockets(scenery) > 0, 20, "nothing is gathered")
            await screen.get_by_test_id("hang-up").click()
            await back_to_the_choice(screen)
        assert files[-1] <= files[1]
        await in_call(scenery)  # and one that is taken works


async def test_an_agent_whose_devices_come_late_is_seen_then() -> None:
    async with scenery_of() as scenery:
        screen, agent = scenery.screen, scenery.agent
        await agent.evaluate(HOLD_DEVICES)
        await in_call(scenery)
        await moving_counters(agent, "[data-testid=remote-video]")
        await expect(agent.get_by_test_id("mute")).to_be_disabled()
        await agent.evaluate("window.allow()")
        await moving_counters(screen, "[data-testid=remote-picture]")
        await expect(agent.get_by_test_id("mute")).to_be_enabled()
        await moving_counters(agent, "[data-testid=self-video]")


async def test_an_agent_without_devices_sees_and_hears_the_resident() -> None:
    async with scenery_of() as scenery:
        await scenery.agent.evaluate(REFUSE_DEVICES)
        await in_call(scenery)
        await moving_counters(scenery.agent, "[data-testid=remote-video]")
        notice = scenery.agent.locator(".own .missing")
        await expect(notice).to_contain_text("micro")


async def test_a_connection_that_finds_no_address_is_made_anew() -> None:
    async with scenery_of() as scenery:
        await scenery.agent.evaluate(NOWHERE_FIRST)
        await in_call(scenery)
        await moving_counters(scenery.agent, "[data-testid=remote-video]")
        assert await scenery.agent.evaluate("window.made") == 2
