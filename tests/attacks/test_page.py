"""The agent's real page behind a man in the middle, who wants to be its kiosk."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiomqtt
import pytest
from playwright.async_api import Page, async_playwright, expect

from kioskd.app.run import WEB_ROOT
from kioskd.errors import PeerFault
from kioskd.identity.authority import Issuer
from kioskd.identity.keys import make_key
from kioskd.identity.statement import OfferStatement, digest, fingerprints, sign
from kioskd.signalling import topics
from kioskd.signalling.messages import new_id
from kioskd.simulation.agent_pages import AgentPages
from kioskd.simulation.broker import EmbeddedBroker
from kioskd.visit.words import Scene
from tests.attacks.middle import Message, between, unchanged
from tests.attacks.stand import Stand, stand
from tests.attacks.table import claims_of
from tests.attacks.test_attacks import FLOW_S, keep
from tests.attacks.wire import Eavesdropper
from tests.e2e import stage
from tests.e2e.conftest import sign_in

pytestmark = pytest.mark.e2e

QUIET_MS = 1500
"""How long an answer is waited for that must not come; one takes some 20 ms."""
KEPT_KEY = """async () => {
  const wait = (request) => new Promise((done, fail) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
  });
  const database = await wait(indexedDB.open('visioservices'));
  const pair = await wait(database.transaction('keys').objectStore('keys').get('agent'));
  const { x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey);
  const refusal = await crypto.subtle.exportKey('jwk', pair.privateKey).catch((e) => e.name);
  return { x, y, refusal };
}"""


@contextlib.asynccontextmanager
async def page_of(
    one: Stand, *, verified: bool = True, tokens: bool = True
) -> AsyncIterator[tuple[Page, int]]:
    """Sign Léa in at a broker of her own; yield her page and that broker's port."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(stage.stage_folder())
        broker = await stack.enter_async_context(EmbeddedBroker(folder))
        config = {
            "broker": f"ws://127.0.0.1:{broker.websocket_port}/mqtt",
            "username": None,
            "password": None,
            "services": [{"id": "caf", "name": "CAF", "colour": "#005da8"}],
            "ice_servers": [],
            "identity": one.authorities.page_config() if verified else None,
        }
        one.authorities.agents = one.caf  # whose tokens the page gets
        issue = one.authorities.issue if tokens else None
        pages = AgentPages(WEB_ROOT / "agent", config, issue=issue)
        await stack.enter_async_context(pages)
        playwright = await stack.enter_async_context(async_playwright())
        browser = await stage.chromium(playwright)
        stack.push_async_callback(browser.close)
        page = await browser.new_page(locale="fr-FR")
        await sign_in(page, pages.url, "Léa")
        yield page, broker.port


async def take(one: Stand, page: Page) -> None:
    await one.wait_in_line()
    await page.get_by_test_id("take").first.click()


async def test_an_honest_broker_carries_a_verified_call() -> None:
    async with (
        stand() as one,
        page_of(one) as (page, port),
        between(one.port, port),
    ):
        await take(one, page)
        await one.until(lambda: one.kiosk.visit.scene is Scene.TALKING, "no call")
        await expect(page.get_by_test_id("kiosk-verified")).to_contain_text("Exempleville")
        assert one.screen.seen is not None
        assert one.screen.seen.organisation == "CAF"


async def test_the_page_keeps_its_key_and_nobody_can_take_it_away() -> None:
    async with stand() as one, page_of(one) as (page, port), between(one.port, port):
        await take(one, page)
        await one.until(lambda: one.kiosk.visit.scene is Scene.TALKING, "no call")
        first = await page.evaluate(KEPT_KEY)
        await page.reload()
        second = await page.evaluate(KEPT_KEY)
        assert first == second
        assert first["refusal"] == "InvalidAccessError"  # Web Cryptography API, 14.3.10


async def test_an_agent_without_a_token_is_told_and_asks_for_nothing() -> None:
    async with stand() as one, page_of(one, tokens=False) as (page, port):
        claims: list[Message] = []

        async def to_kiosk(message: Message) -> Message | None:
            if message["type"] == "claim":
                claims.append(message)
            return message

        async with between(one.port, port, to_kiosk=to_kiosk):
            await expect(page.locator("#toast")).to_contain_text("n'a pas confirmé")
            await take(one, page)
            state = page.get_by_test_id("call-state")
            await expect(state).to_have_attribute("data-state", "ended")
            assert one.kiosk.visit.scene is Scene.WAITING
        assert claims == []


async def _swap(message: Message, ear: Eavesdropper) -> None:
    message["sdp"] = await ear.offer()


async def _strip(message: Message, ear: Eavesdropper) -> None:
    message |= {"sdp": await ear.offer(), "proof": "", "token": ""}


def _signed(message: Message, sdp: str, token: str) -> Message:
    """The kiosk's words about another SDP, signed by a key of one's own."""
    said: dict[str, Any] = claims_of(message["proof"])
    said |= {"sdp": digest(sdp), "fingerprints": fingerprints(sdp)}
    proof = sign(OfferStatement(**said), make_key())
    return {"sdp": sdp, "proof": proof, "token": token}


async def _stolen(message: Message, ear: Eavesdropper) -> None:
    message |= _signed(message, await ear.offer(), message["token"])


async def _own_operator(message: Message, ear: Eavesdropper) -> None:
    issuer = Issuer.make("https://operator.invalid")
    token = issuer.issue("demo-1", "x" * 43, now=0, lifetime_s=1e10)
    message |= _signed(message, await ear.offer(), token)


LIES = {
    "offer with its SDP swapped": (_swap, PeerFault.MISMATCH),
    "offer stripped of its proof": (_strip, PeerFault.UNSIGNED),
    "offer signed by a key of one's own": (_stolen, PeerFault.MISMATCH),
    "offer certified by a false operator": (_own_operator, PeerFault.UNTRUSTED),
}
WORDS = {
    PeerFault.MISMATCH: "modifiée en chemin",
    PeerFault.UNSIGNED: "n'a pas prouvé son identité",
    PeerFault.UNTRUSTED: "n'est pas certifiée",
}


@pytest.mark.parametrize("name", LIES)
async def test_the_page_gives_a_false_kiosk_nothing(name: str) -> None:
    lie, fault = LIES[name]
    async with stand() as one, Eavesdropper() as ear, page_of(one) as (page, port):
        answers: list[Message] = []

        async def to_agents(message: Message) -> Message | None:
            if message["type"] == "offer":
                await lie(message, ear)
            return message

        async def to_kiosk(message: Message) -> Message | None:
            if message["type"] == "answer":
                answers.append(message)
            return message

        async with between(one.port, port, to_agents=to_agents, to_kiosk=to_kiosk):
            await take(one, page)
            await expect(page.locator("#toast")).to_contain_text(WORDS[fault])
            await one.until(lambda: one.kiosk.visit.refused is fault, "the kiosk is not told")
            await page.close()  # what the page had not sent by now it never will
        keep(
            {
                "name": name,
                "fault": fault,
                "tried": 1,
                "refused": int(not answers),
                "media": ear.media,
                "document_bytes": ear.document_bytes,
            }
        )
        assert answers == []
        assert not ear.counts


async def test_a_call_outlives_offers_that_are_repeated_or_made_up() -> None:
    heard: dict[str, list[Message]] = {"claim": [], "offer": [], "answer": []}

    async def keep_a_copy(message: Message) -> Message | None:
        heard.get(message.get("type", ""), []).append(dict(message))
        return message

    async with (
        stand() as one,
        Eavesdropper() as ear,
        page_of(one) as (page, port),
        between(one.port, port, to_agents=keep_a_copy, to_kiosk=keep_a_copy),
    ):
        await take(one, page)
        await one.until(lambda: one.kiosk.visit.scene is Scene.TALKING, "no call")
        (offer,), (claim,) = heard["offer"], heard["claim"]
        sdp = await ear.offer()
        lies = [offer, offer | {"leg": 1}, offer | _signed(offer, sdp, offer["token"]) | {"leg": 1}]
        topic = topics.to_agent("caf", claims_of(offer["proof"])["kiosk"], claim["agent"])
        version = aiomqtt.ProtocolVersion.V5
        async with aiomqtt.Client("127.0.0.1", port, protocol=version) as broker:
            for lie in lies:
                await broker.publish(topic, json.dumps(lie | {"id": new_id()}), qos=1)
        await page.wait_for_timeout(QUIET_MS)
        state = page.get_by_test_id("call-state")
        await expect(state).to_have_attribute("data-state", "talking")
        assert one.kiosk.visit.scene is Scene.TALKING
        answers = len(heard["answer"])
        keep(
            {
                "name": "offers repeated and made up in a call",
                "fault": PeerFault.MISMATCH,
                "tried": len(lies),
                "refused": len(lies) - (answers - 1),
                "media": ear.media,
                "document_bytes": ear.document_bytes,
            }
        )
        assert answers == 1
        assert not ear.counts


async def test_without_verification_the_man_in_the_middle_sees_and_hears_the_agent() -> None:
    async with (
        stand(verified=False) as one,
        Eavesdropper() as ear,
        page_of(one, verified=False) as (page, port),
    ):

        async def to_agents(message: Message) -> Message | None:
            if message["type"] == "offer":
                await _swap(message, ear)
            return message

        async def to_kiosk(message: Message) -> Message | None:
            if message["type"] != "answer":
                return await unchanged(message)
            await ear.take(message["sdp"])
            return None

        async with between(one.port, port, to_agents=to_agents, to_kiosk=to_kiosk):
            await take(one, page)
            async with asyncio.timeout(FLOW_S):
                await ear.received.wait()
            assert ear.media > 0
            assert ear.document_bytes > 0
