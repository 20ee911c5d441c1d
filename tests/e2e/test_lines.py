"""A short call of each kind through the relay: the bench's figures are the relay's settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from bench.lines import clip
from bench.lines.browser import ARGUMENTS, Studio
from bench.lines.lines import Line
from bench.lines.run import KINDS, call, rehearse
from bench.lines.shape import Script, Shape, Step
from tests.e2e.stage import chromium

pytestmark = pytest.mark.e2e
FAR = Shape(delay_ms=150, rate_bps=10_000_000)
LINE = Line("test", "150 ms each way", Script(steps=(Step(at_s=0, up=FAR, down=FAR),)), 300, (), 6)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_through_the_relay(kind: str, tmp_path: Path) -> None:
    clip.make(tmp_path / "clip")
    async with Studio(tmp_path / "clip").open() as studio, async_playwright() as playwright:
        browser = await chromium(playwright, *ARGUMENTS)
        held = await call(LINE, kind, 1, browser, studio, tmp_path)
        await browser.close()
    assert held.error is None
    for way in (held.up, held.down):
        assert way is not None
        assert way.mouth_to_ear_p50_ms is not None
        assert 150 < way.mouth_to_ear_p50_ms < 2500
        assert way.matched > 0.5
        assert way.glass_to_glass_p50_ms is not None
        assert 150 < way.glass_to_glass_p50_ms < 2500
        assert way.fps > 2
        assert way.size is not None
        assert way.lost_percent is not None
        assert way.lost_percent < 60
        assert way.kbit_s > 50
        assert way.delays


async def test_a_delay_put_in_is_measured_in_a_page(tmp_path: Path) -> None:
    clip.make(tmp_path / "clip")
    async with Studio(tmp_path / "clip").open() as studio, async_playwright() as playwright:
        browser = await chromium(playwright, *ARGUMENTS)
        none = await rehearse(browser, studio)
        some = await rehearse(browser, studio, 0.1)
        await browser.close()
    assert none.mouth_to_ear_ms is not None
    assert some.mouth_to_ear_ms is not None
    assert none.glass_to_glass_ms is not None
    assert none.mouth_to_ear_ms < 80
    assert none.glass_to_glass_ms < 80
    assert some.mouth_to_ear_ms - none.mouth_to_ear_ms == pytest.approx(100, abs=25)
