"""The screen's session as its unit starts it: Cage, kioskd-screen, Chromium; a display of X's."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from PIL import Image, ImageGrab

from kioskd.app.run import WEB_ROOT
from kioskd.runtime.children import Child
from kioskd.screen import entry
from kioskd.screen.messages import View
from kioskd.screen.server import ScreenServer
from kioskd.simulation.broker import free_port
from kioskd.visit.words import Scene
from tests.e2e import stage

pytestmark = pytest.mark.e2e

UNIT: Final = Path(__file__).parents[2] / "systemd" / "kioskd-screen.service"
SIZE: Final = (1024, 768)
"""What Cage asks of a display of X's."""
CORNER: Final = (slice(0, 50), slice(-350, None))
"""Where Chromium shows a bubble of its own, dark; the page has words there, on white."""
LIGHT: Final = 0.6
LONG_S: Final = 60.0
LOOK_S: Final = 0.1


def command(folder: Path) -> list[str]:
    """Return the unit's command with our paths, for a user who is not root, as Cage wants it."""
    line = next(one for one in UNIT.read_text().splitlines() if one.startswith("ExecStart="))
    ours = {
        "/opt/kioskd/bin/kioskd-screen": f"{sys.executable} -m kioskd.screen --verbose",
        "/run/kioskd-screen/kiosk.html": str(folder / "screen.html"),
        "/run/kioskd-screen-profiles": str(folder / "profiles"),
    }
    for theirs, own in ours.items():
        assert theirs in line
        line = line.replace(theirs, own)
    nobody = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    # Chromium's own sandbox is not this test's; tests/appliance boots the unit.
    return [*nobody, *shlex.split(line.removeprefix("ExecStart=")), "--no-sandbox"]


async def display(stack: AsyncExitStack) -> str:
    """Start a display of X's in memory; return its name."""
    named = asyncio.get_running_loop().create_future()

    def said(line: str) -> None:
        if line.isdecimal() and not named.done():
            named.set_result(f":{line}")

    size = f"{SIZE[0]}x{SIZE[1]}x24"
    # Whoever looks is its last client now and then: it would begin anew, and refuse who comes then.
    server = ["Xvfb", "-displayfd", "1", "-noreset", "-ac", "-nolisten", "tcp"]
    server += ["-screen", "0", size]
    await stack.enter_async_context(Child("Xvfb", server, on_line=said))
    async with asyncio.timeout(LONG_S):
        name: str = await named
    return name


class Session:
    """The screen, as somebody in front of it sees it."""

    def __init__(self, server: ScreenServer, cage: Child, shown: str) -> None:
        self.server = server
        self._cage = cage
        self._display = shown

    @property
    def drawing(self) -> tuple[str, ...]:
        return self.server._orders.drawing

    def look(self) -> Image.Image:
        return ImageGrab.grab(xdisplay=self._display).convert("RGB")

    async def until_shown(self, other_than: str = "") -> str:
        """Wait until one page draws, and is on the screen; return its name."""
        deadline = time.monotonic() + LONG_S
        while True:
            picture = await asyncio.to_thread(self.look)
            alone = len(self.drawing) == 1 and self.drawing[0] != other_than
            if alone and light(picture) > LIGHT:
                return self.drawing[0]
            if time.monotonic() > deadline:
                stage.ARTEFACTS.mkdir(parents=True, exist_ok=True)
                picture.save(stage.ARTEFACTS / "wayland.png")
                pytest.fail(f"{self.drawing} draw, {light(picture):.0%} is light: see wayland.png")
            assert not self._cage.exited.is_set(), "Cage has ended"
            await asyncio.sleep(LOOK_S)


def light(picture: Image.Image) -> float:
    """Return which share of the screen is light, or of the corner where that is less."""
    bright = np.asarray(picture).min(axis=2) > 200
    return min(float(bright.mean()), float(bright[CORNER].mean()))


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(stage.stage_folder())
        for name in ("profiles", "session"):
            (folder / name).mkdir(0o700)
        server = ScreenServer(
            web_root=WEB_ROOT / "screen",
            on_action=lambda _: None,
            page_picture=lambda _, __: None,
            token=entry.new_token(),
            port=free_port(),
        )
        await stack.enter_async_context(server)
        server.show(
            View(scene=Scene.CHOOSING, kiosk="Mairie", language="fr", online=True, services=[])
        )
        entry.write(folder / "screen.html", server.url)
        shown = await display(stack)
        surroundings = {
            **os.environ,
            "DISPLAY": shown,
            "HOME": str(folder / "profiles"),
            "LANG": "C.UTF-8",  # in which Chromium takes the page's language for a foreign one
            "WLR_BACKENDS": "x11",
            "WLR_RENDERER": "pixman",
            "XDG_RUNTIME_DIR": str(folder / "session"),
        }
        cage = Child("cage", command(folder), env=surroundings)
        await stack.enter_async_context(cage)
        yield Session(server, cage, shown)


async def test_the_page_alone_is_on_the_screen_in_this_visit_and_the_next(session: Session) -> None:
    first = await session.until_shown()
    # Chromium's bubbles come a moment after the page.
    for _ in range(30):
        assert light(await asyncio.to_thread(session.look)) > LIGHT
        await asyncio.sleep(LOOK_S)
    session.server.begin_anew()
    await session.until_shown(other_than=first)
