"""Every attack of the table, and the same wire without verification, to see that it counts."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from kioskd.app.peers import TOLD
from kioskd.signalling.messages import Answer, Claim, Offer
from kioskd.visit.words import Scene
from tests.attacks import answers, claims  # noqa: F401  (they fill the table)
from tests.attacks.people import Agent
from tests.attacks.stand import stand
from tests.attacks.table import ATTACKS, Attack
from tests.attacks.wire import Eavesdropper

pytestmark = pytest.mark.peer

FLOW_S = 30.0


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.name)
async def test_an_attack_gets_nothing(attack: Attack) -> None:
    async with stand() as kiosk, Eavesdropper() as ear:
        tried = await attack.run(kiosk, ear)
        await kiosk.go_home()  # after that no leg is left that could send
        told = [attack.fault] * min(tried, TOLD)
        counted = attack.fault is None or kiosk.refused == told
        if attack.fault is not None:
            assert kiosk.kiosk.calls.peers.refused == tried
        quiet = not ear.media and not ear.document_bytes
        keep(
            {
                "name": attack.name,
                "fault": attack.fault,
                "tried": tried,
                "refused": tried if counted and quiet else 0,
                "media": ear.media,
                "document_bytes": ear.document_bytes,
            }
        )
        assert counted, kiosk.refused
        # A socket that offers candidates answers STUN; no key is agreed on before the proof.
        assert set(ear.counts) <= {"stun"}, ear.counts


async def test_the_same_wire_carries_a_call_to_whoever_claims_without_verification() -> None:
    async with stand(verified=False) as kiosk, Eavesdropper() as ear:
        entry = await kiosk.wait_in_line()
        await kiosk.say(Claim(call=entry.call, agent="mallory", name="Léa"), "mallory")
        offer = await kiosk.hear(Offer)
        sdp = await ear.answer(offer.sdp)
        await kiosk.say(Answer(call=offer.call, leg=offer.leg, sdp=sdp), "mallory")
        async with asyncio.timeout(FLOW_S):
            await ear.received.wait()
        assert ear.media > 0
        assert ear.document_bytes > 0
        assert kiosk.kiosk.calls.peers.unsigned


async def test_a_verified_agent_gets_the_call_and_is_named() -> None:
    async with stand() as kiosk, Eavesdropper() as ear:
        entry = await kiosk.wait_in_line()
        lea = Agent(kiosk.caf)
        await kiosk.say(lea.claim(entry))
        offer = await kiosk.hear(Offer)
        await kiosk.say(lea.answer(entry, offer, await ear.answer(offer.sdp)))
        async with asyncio.timeout(FLOW_S):
            await ear.received.wait()
        await kiosk.until(lambda: kiosk.kiosk.visit.scene is Scene.TALKING, "no call")
        assert kiosk.screen.seen is not None
        assert (kiosk.screen.seen.agent, kiosk.screen.seen.organisation) == ("Léa", "CAF")
        assert kiosk.refused == []


def keep(row: dict[str, object]) -> None:
    """Add a row where `make attacks` looks for it."""
    if out := os.environ.get("KIOSKD_ATTACKS"):
        with Path(out).open("a") as target:
            target.write(json.dumps(row) + "\n")
