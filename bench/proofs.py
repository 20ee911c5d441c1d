"""What proofs add to the set-up of a call: the kiosk's part and, in Chromium, the agent's.

All of it lies one after the other between claim and connection, so that the sum is what is
added; `build/bench/proofs.json` has it. The goal is 50 ms.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from playwright.async_api import async_playwright

from kioskd.app.identity import Identity, Organisations
from kioskd.app.peers import Peers
from kioskd.identity.authority import PUBLIC, Issuer
from kioskd.identity.keys import make_key
from kioskd.settings import KioskSettings, Organisation
from kioskd.signalling.messages import Waiting
from kioskd.simulation.agent_pages import AgentPages
from kioskd.visit.state import Visit
from kioskd.visit.words import Scene
from tests.attacks.people import Agent
from tests.e2e.stage import chromium

ROUNDS: Final = 50
GOAL_MS: Final = 50.0
OUT: Final = Path(__file__).parents[1] / "build" / "bench" / "proofs.json"
WEB: Final = Path(__file__).parents[1] / "kioskd" / "web"
SDP: Final = "v=0\r\n" + "a=fingerprint:sha-256 AA:BB\r\n" * 3 + "a=candidate:1\r\n" * 200
PAGE: Final = """async ({ rounds, sdp, credential, offer, operators }) => {
  const pair = await crypto.subtle.generateKey(
    { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
  const signer = await proofs.Signer.of(pair);
  const subject = { call: 'c', kiosk: 'k', agent: 'a', service: 'caf' };
  const now = Date.now() / 1000, took = [];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    const claim = await signer.claim(subject, 'e', 'L', now);
    const message = { sdp, leg: 0, token: credential, proof: offer };
    const expected = { subject, jkt: 'x', claim: await proofs.digest(claim), since: now, now };
    let fault = null;
    try { await proofs.verifyOffer(message, operators, expected); } catch (e) { fault = e.fault; }
    if (fault !== 'mismatch') throw new Error(`not looked at: ${fault}`);
    await proofs.digest(sdp); proofs.fingerprints(sdp);  // what a mismatch leaves out
    await signer.answer(subject, 0, 'o', sdp, now);
    took.push(performance.now() - start);
  }
  return took;
}"""


def kiosk_ms(folder: Path) -> tuple[list[float], str, str, Issuer]:
    """Return what claim, offer and answer cost the kiosk, and an offer for the page to check."""
    operator, caf, key = Issuer.make("https://operator"), Issuer.make("https://caf"), make_key()
    caf.save(folder)
    organisation = Organisation(
        name="CAF", issuer=caf.issuer, keys=folder / PUBLIC, services=("caf",)
    )
    now = time.time()
    credential = operator.issue("k", "x" * 43, now=now, lifetime_s=60)
    visit = Visit(scene=Scene.WAITING, service="caf", call="c")
    posted: list[object] = []
    peers = Peers(
        KioskSettings(id="k", name="K"),
        Identity(key, credential, now + 60, Organisations([organisation])),
        epoch="e",
        post=posted.append,
        tell=lambda *_: None,
        visit=lambda: visit,
    )
    agent = Agent(caf, id="a")
    entry = Waiting(
        epoch="e", call="c", kiosk="k", name="K", town="", service="caf", since=time.time()
    )
    peers.begin("c")
    took, proof = [], ""
    for _ in range(ROUNDS):
        claim = agent.claim(entry)
        first = _timed(lambda claim=claim: peers.on_claim("caf", claim))  # type: ignore[misc]
        start = time.perf_counter()
        offer = peers.offer("caf", "c", "a", SDP)
        second = time.perf_counter() - start
        answer = agent.answer(entry, offer, SDP)
        third = _timed(lambda answer=answer: peers.accepts(answer))  # type: ignore[misc]
        took.append((first + second + third) * 1000)
        proof = offer.proof
    if peers.refused or len(posted) != ROUNDS:
        raise RuntimeError("a good proof was refused")
    return took, credential, proof, operator


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


async def page_ms(folder: Path, credential: str, offer: str, operator: Issuer) -> list[float]:
    """Return what claim, offer and answer cost the agent's page."""
    bundle = folder / "proofs.js"
    process = await asyncio.create_subprocess_exec(
        str(WEB / "node_modules" / ".bin" / "esbuild"),
        *(str(WEB / "agent" / "proofs.ts"), "--bundle", "--format=iife", "--global-name=proofs"),
        *("--log-level=warning", f"--outfile={bundle}"),
    )
    if await process.wait():
        raise RuntimeError("esbuild failed")
    (folder / "index.html").write_text("<!doctype html><script src=proofs.js></script>")
    async with AgentPages(folder, {}) as pages, async_playwright() as playwright:
        browser = await chromium(playwright)
        page = await browser.new_page()
        await page.goto(pages.url)
        operators = [{"issuer": operator.issuer, "keys": operator.public()}]
        told = {"rounds": ROUNDS, "sdp": SDP, "credential": credential, "offer": offer}
        took: list[float] = await page.evaluate(PAGE, told | {"operators": operators})
        await browser.close()
    return took


def main() -> int:
    """Measure; return 1 where the goal is missed."""
    with tempfile.TemporaryDirectory() as name:
        kiosk, credential, offer, operator = kiosk_ms(Path(name))
        page = asyncio.run(page_ms(Path(name), credential, offer, operator))
    ours, theirs = statistics.median(kiosk), statistics.median(page)
    worst = max(kiosk) + max(page)
    print(
        f"proofs add to a call's set-up: kiosk {ours:.1f} ms, agent's page {theirs:.1f} ms, "
        f"together {ours + theirs:.1f} ms (median of {ROUNDS}), {worst:.1f} ms at worst"
    )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"kiosk_ms": ours, "page_ms": theirs, "worst_ms": worst}))
    return 0 if ours + theirs <= GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
