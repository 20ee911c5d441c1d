"""A short call of each kind through the relay: the bench's figures are the relay's settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from bench.lines import clip
from bench.lines.browser import ARGUMENTS, Studio
from bench.lines.lines import Line
from bench.lines.run import KINDS, call, rehearse
from bench.lines.shape import Script, Shape, Step
from tests.e2e.stage import chromium

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
FAR = Shape(delay_ms=150, rate_bps=10_000_000)
LINE = Line("test", "150 ms each way", Script(steps=(Step(at_s=0, up=FAR, down=FAR),)), 300, (), 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the picture of the calls."""
    one = tmp_path_factory.mktemp("lines")
    clip.make(one / "clip")
    return one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def studio(folder: Path) -> AsyncIterator[Studio]:
    async with Studio(folder / "clip").open() as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        one = await chromium(playwright, *ARGUMENTS)
        yield one
        await one.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_through_the_relay(
    kind: str, folder: Path, studio: Studio, browser: Browser
) -> None:
    held = await call(LINE, kind, 1, browser, studio, folder)
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


async def test_a_delay_put_in_is_measured_in_a_page(studio: Studio, browser: Browser) -> None:
    none = await rehearse(browser, studio)
    some = await rehearse(browser, studio, 0.1)
    assert none.mouth_to_ear_ms is not None
    assert some.mouth_to_ear_ms is not None
    assert none.glass_to_glass_ms is not None
    assert none.mouth_to_ear_ms < 80
    assert none.glass_to_glass_ms < 80
    assert some.mouth_to_ear_ms - none.mouth_to_ear_ms == pytest.approx(100, abs=25)
