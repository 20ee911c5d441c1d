"""`make bench`: what a visit costs and how long its steps take, medians beside a peer.

The peers: Chromium to Chromium for the set-up of a call, `scanimage` for a scan, `lp` for
a print. Everything runs on this machine over loopback; `build/bench/visit.json` has it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import psutil
from playwright.async_api import Page, async_playwright, expect
from rich.console import Console
from rich.table import Table

from tests.e2e import stage
from tests.e2e.sound import play_into_microphone

CALLS: Final = 10
CPU_S: Final = 8.0
LONG_MS: Final = 30_000
OUT: Final = Path(__file__).parents[1] / "build" / "bench" / "visit.json"

PEER_SETUP = """async () => {
  const media = await navigator.mediaDevices.getUserMedia({
    audio: true, video: { width: 640, height: 480, frameRate: 30 } });
  const a = new RTCPeerConnection(), b = new RTCPeerConnection();
  a.onicecandidate = (e) => e.candidate && b.addIceCandidate(e.candidate);
  b.onicecandidate = (e) => e.candidate && a.addIceCandidate(e.candidate);
  const video = document.createElement('video');
  video.muted = true; video.autoplay = true; video.srcObject = new MediaStream();
  b.ontrack = (e) => video.srcObject.addTrack(e.track);
  const start = performance.now();
  for (const track of media.getTracks()) a.addTrack(track, media);
  await a.setLocalDescription(await a.createOffer());
  await b.setRemoteDescription(a.localDescription);
  for (const track of media.getTracks()) b.addTrack(track, media);
  await b.setLocalDescription(await b.createAnswer());
  await a.setRemoteDescription(b.localDescription);
  await new Promise((done) => video.requestVideoFrameCallback(done));
  const took = performance.now() - start;
  a.close(); b.close(); media.getTracks().forEach((t) => t.stop());
  return took;
}"""
TAKE_TIMES = """async () => {
  const start = performance.now();
  document.querySelector('[data-testid=take]').click();
  let video = null;
  while (!(video = document.querySelector('[data-testid=remote-video]')))
    await new Promise(requestAnimationFrame);
  const sound = (async () => {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    const data = new Float32Array(analyser.fftSize);
    while (!video.srcObject?.getAudioTracks().length) await new Promise(requestAnimationFrame);
    context.createMediaStreamSource(video.srcObject).connect(analyser);
    do {
      await new Promise((done) => setTimeout(done, 5));
      analyser.getFloatTimeDomainData(data);
    } while (!data.some((one) => Math.abs(one) > 0.01));
    const took = performance.now() - start;
    await context.close();
    return took;
  })();
  const picture = new Promise((done) =>
    video.requestVideoFrameCallback(() => done(performance.now() - start)));
  return [await picture, await sound];
}"""
CANVAS_SHOWS = """async () => {
  for (;;) {
    const canvas = document.querySelector('[data-testid=remote-picture]');
    if (canvas && canvas.width > 300) return Date.now();
    await new Promise(requestAnimationFrame);
  }
}"""


async def seconds(work: Callable[[], Awaitable[Any]]) -> float:
    """Return how long `work` takes."""
    start = time.monotonic()
    await work()
    return time.monotonic() - start


async def run(*command: str) -> None:
    """Run a command; a peer that fails is no peer, so its exit code must be 0."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]}: {errors.decode().strip()}")


async def cost(pid: int) -> tuple[float, float]:
    """Return CPU in % of one core over CPU_S and RSS in MB, of the daemon alone."""
    process = psutil.Process(pid)
    process.cpu_percent()
    await asyncio.sleep(CPU_S)
    return process.cpu_percent(), process.memory_info().rss / 1e6


class Bench:
    """One demo with real stacks and a simulated camera, and its two pages."""

    def __init__(self, demo: stage.Demo, screen: Page, agent: Page) -> None:
        self.demo = demo
        self.screen = screen
        self.agent = agent
        self.rows: dict[str, dict[str, Any]] = {}

    def row(self, name: str, unit: str, values: list[float], peer: list[float] | None) -> None:
        """Keep the medians of a measurement and of its peer."""
        ours = statistics.median(values)
        theirs = statistics.median(peer) if peer else None
        self.rows[name] = {
            "unit": unit,
            "median": round(ours, 3),
            "values": [round(one, 3) for one in values],
            "peer": None if theirs is None else round(theirs, 3),
            "ratio": None if theirs is None else round(ours / theirs, 2),
        }

    async def calls(self) -> None:
        """Measure the set-up of CALLS calls; leave the last one standing."""
        agent_video, agent_sound, kiosk_video = [], [], []
        for number in range(CALLS):
            await self.screen.get_by_test_id("service-caf").click()
            await expect(self.agent.get_by_test_id("take")).to_be_visible()
            shown = asyncio.create_task(self.screen.evaluate(CANVAS_SHOWS))
            start = time.time() * 1000
            video, sound = await self.agent.evaluate(TAKE_TIMES)
            kiosk_video.append(await shown - start)
            agent_video.append(video)
            agent_sound.append(sound)
            if number + 1 < CALLS:
                await self.screen.get_by_test_id("hang-up").click()
                await self.screen.get_by_test_id("back").click()
                await self.agent.get_by_test_id("back").click()
        peer = [await self.agent.evaluate(PEER_SETUP) for _ in range(CALLS)]
        self.row("claim -> first picture at the agent", "ms", agent_video, peer)
        self.row("claim -> first sound at the agent", "ms", agent_sound, None)
        self.row("claim -> first picture at the kiosk", "ms", kiosk_video, peer)

    async def paper(self, letter: Path) -> None:
        """Measure a scan and a print; the time of people's presses is as good as none."""
        screen, agent = self.screen, self.agent
        await agent.get_by_test_id("scan-source").select_option("flatbed")
        await agent.get_by_test_id("scan-dpi").select_option("300")

        async def scan() -> None:
            await agent.get_by_test_id("scan-request").click()
            await screen.get_by_test_id("scan-start").click()
            await screen.get_by_test_id("scan-send").click(timeout=LONG_MS)
            await expect(agent.get_by_test_id("received-page")).to_be_visible(timeout=LONG_MS)

        ours = await seconds(scan)
        await screen.get_by_test_id("scan-close").click()
        os.environ["SANE_CONFIG_DIR"] = str(self.demo.folder / "sane")
        command = ["scanimage", "-d", "test:0", "--mode", "Color", "--resolution", "300"]
        area = ["-x", "210", "-y", "297", "--format=jpeg", "-o", str(letter.parent / "s.jpg")]
        peer = await seconds(lambda: run(*command, *area))
        self.row("scan A4 colour 300 dpi -> shown at the agent", "s", [ours], [peer])

        async def print_it() -> None:
            await agent.get_by_test_id("print-file").set_input_files(letter)
            await screen.get_by_test_id("print-accept").click(timeout=LONG_MS)
            status = agent.get_by_test_id("print-status")
            await expect(status).to_have_attribute("data-stage", "printed", timeout=LONG_MS)

        ours = await seconds(print_it)
        peer = await seconds(lambda: self.print_with_lp(letter))
        self.row("PDF of 3 pages sent -> printed", "s", [ours], [peer])

    async def print_with_lp(self, letter: Path) -> None:
        """Print the same file straight to the same queue."""
        folder = self.demo.folder / "cups"
        port = re.search(r"Listen 127.0.0.1:(\d+)", (folder / "cupsd.conf").read_text())
        assert port is not None
        before = len(list((folder / "printed").iterdir()))
        await run("lp", "-h", f"127.0.0.1:{port[1]}", "-d", "kiosk", str(letter))
        await stage.wait_for(
            lambda: len(list((folder / "printed").iterdir())) > before, 30, "lp printed nothing"
        )


async def measure() -> dict[str, dict[str, Any]]:
    """Run everything and return the rows."""
    with stage.stage_folder() as folder:
        letter = folder / "letter.pdf"
        stage.make_pdf(letter, ["UN", "DEUX", "TROIS"])
        start = time.monotonic()
        async with stage.demo(folder / "demo", "--real") as demo, async_playwright() as playwright:
            ready = time.monotonic() - start
            browser = await stage.chromium(playwright)
            agent, screen = await browser.new_page(), await browser.new_page()
            bench = Bench(demo, screen, agent)
            bench.row("start -> ready (broker, print system included)", "s", [ready], None)
            await screen.goto(demo.screen)
            await agent.goto(demo.agent)
            await agent.get_by_test_id("signin-name").fill("Léa")
            await agent.get_by_test_id("service-caf").check()
            await agent.get_by_test_id("signin-submit").click()
            cpu, rss = await cost(demo.pid)
            bench.row("idle CPU", "%", [cpu], None)
            bench.row("idle RSS", "MB", [rss], None)
            async with play_into_microphone(demo.folder, stage.KIOSK_TONE_HZ):
                await bench.calls()
            cpu, rss = await cost(demo.pid)
            bench.row("CPU in a 640x480x30 call", "%", [cpu], None)
            bench.row("RSS in a call", "MB", [rss], None)
            await bench.paper(letter)
            await browser.close()
            return bench.rows


def main() -> None:
    """Measure, print the table, write the file."""
    rows = asyncio.run(measure())
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    table = Table("what", "median", "peer", "ratio")
    for name, row in rows.items():
        peer = "" if row["peer"] is None else f"{row['peer']:.2f} {row['unit']}"
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        table.add_row(name, f"{row['median']:.2f} {row['unit']}", peer, ratio)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
