"""The screen's Chromium and its keeper, both real: one for each visit, and what dies is back."""

from __future__ import annotations

import asyncio
import signal
import stat
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import pytest
import pytest_asyncio

from kioskd.app.run import WEB_ROOT
from kioskd.screen import entry
from kioskd.screen.messages import View
from kioskd.screen.server import ScreenServer
from kioskd.simulation.broker import free_port
from kioskd.visit.words import Scene
from tests.canary import marks
from tests.canary.screen import PROFILES, screen
from tests.canary.search import hits_in_memory
from tests.e2e import stage

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
LONG_S: Final = 60.0
LOOK_S: Final = 0.02


@dataclass
class Kiosk:
    """A server, which a daemon would have, and a keeper."""

    folder: Path
    server: ScreenServer
    keeper: Process

    @property
    def drawing(self) -> tuple[str, ...]:
        return self.server._orders.drawing

    def chromium(self) -> list[psutil.Process]:
        """Return all processes of what is kept, the browser's own first."""
        return psutil.Process(self.keeper.pid).children(recursive=True)

    async def until(self, what: str, true: Callable[[], bool], seconds: float = LONG_S) -> float:
        started = time.monotonic()
        while not true():
            assert time.monotonic() < started + seconds, f"not {what} in {seconds} s"
            assert self.keeper.returncode is None
            await asyncio.sleep(LOOK_S)
        return time.monotonic() - started

    async def one_drawing(self) -> str:
        await self.until("one Chromium that draws", lambda: len(self.drawing) == 1)
        return self.drawing[0]


def view(scene: Scene, agent: str | None = None) -> View:
    return View(scene=scene, kiosk="Mairie", language="fr", online=True, services=[], agent=agent)


def alive(processes: list[psutil.Process]) -> bool:
    """Tell whether one of them runs; one that nobody has reaped yet does not."""
    for one in processes:
        try:
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            continue
    return False


def serve(token: str, port: int) -> ScreenServer:
    return ScreenServer(
        web_root=WEB_ROOT / "screen",
        on_action=lambda _: None,
        page_picture=lambda _, __: None,
        token=token,
        port=port,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kiosk() -> AsyncIterator[Kiosk]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(stage.stage_folder())
        stage.ARTEFACTS.mkdir(parents=True, exist_ok=True)
        log = stack.enter_context((stage.ARTEFACTS / "screen.log").open("wb"))
        server = serve(entry.new_token(), free_port())
        await server.__aenter__()
        entry.write(folder / "screen.html", server.url)
        keeper = await stack.enter_async_context(screen(folder, log))
        one = Kiosk(folder, server, keeper)
        yield one
        await one.server.__aexit__()


async def test_after_a_visit_nothing_of_it_is_in_memory_and_the_screen_was_never_dark(
    kiosk: Kiosk,
) -> None:
    wanted = marks.words("Zq9f3b7c1d5e2a4860")
    kiosk.server.show(view(Scene.TALKING, agent="Zq9f3b7c1d5e2a4860"))
    first = await kiosk.one_drawing()
    before = kiosk.chromium()

    async def found() -> int:
        hits = [
            await asyncio.to_thread(hits_in_memory, one.pid, wanted) for one in kiosk.chromium()
        ]
        return sum(hit.times for some in hits for hit in some)

    deadline = time.monotonic() + LONG_S
    while not await found():
        assert time.monotonic() < deadline, "the agent's name is not on the screen"
    kiosk.server.show(view(Scene.CHOOSING))
    kiosk.server.begin_anew()
    started = time.monotonic()
    while alive(before):
        assert time.monotonic() < started + LONG_S
        assert kiosk.drawing, "a touch now would find no page"
        await asyncio.sleep(LOOK_S)
    print(f"seconds until the old Chromium is gone: {time.monotonic() - started:.1f}")
    assert await found() == 0
    assert await kiosk.one_drawing() != first
    assert kiosk.server.connected


async def test_nobody_else_can_read_the_way_in(kiosk: Kiosk) -> None:
    await kiosk.one_drawing()
    token = kiosk.server.url.split("/")[3]
    commands = [" ".join(one.cmdline()) for one in kiosk.chromium()]
    assert any("lead.html" in one for one in commands)
    assert not any(token in one for one in commands)
    for folder in (kiosk.folder / PROFILES).iterdir():
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def victims(processes: list[psutil.Process], role: str) -> list[psutil.Process]:
    if role == "browser":
        return processes[:1]
    found = []
    for one in processes:
        # A spare renderer may have ended meanwhile.
        with suppress(psutil.NoSuchProcess):
            if f"--type={role}" in one.cmdline():
                found.append(one)
    return found


@pytest.mark.parametrize(
    ("role", "number"),
    [
        ("browser", signal.SIGKILL),
        ("renderer", signal.SIGKILL),
        ("browser", signal.SIGSTOP),
        ("renderer", signal.SIGSTOP),
        ("gpu-process", signal.SIGSTOP),
    ],
)
async def test_a_chromium_that_crashes_or_hangs_is_replaced(
    kiosk: Kiosk, role: str, number: int
) -> None:
    first = await kiosk.one_drawing()
    processes = kiosk.chromium()
    hit = victims(processes, role)
    assert hit
    for one in hit:  # the page's renderer, and a spare one
        one.send_signal(number)
    started = time.monotonic()
    await kiosk.until("told", lambda: not kiosk.server.connected)
    print(f"seconds until the status says so: {time.monotonic() - started:.1f}")
    assert await kiosk.one_drawing() != first
    print(f"seconds until it is back: {time.monotonic() - started:.1f}")
    await kiosk.until("gone", lambda: not alive(processes))


async def test_a_daemon_that_has_started_anew_gets_a_new_chromium(kiosk: Kiosk) -> None:
    """The one that is there shows, and knows, what the dead daemon's visit was."""
    first = await kiosk.one_drawing()
    token, port = kiosk.server.url.split("/")[3], kiosk.server.port
    before = kiosk.chromium()
    await kiosk.server.__aexit__()
    assert before[0].is_running(), "its page says that the daemon is away"
    kiosk.server = serve(token, port)
    await kiosk.server.__aenter__()
    kiosk.server.show(view(Scene.CHOOSING))
    await kiosk.until("gone", lambda: not alive(before))
    assert await kiosk.one_drawing() != first


async def test_a_chromium_does_not_outlive_its_keeper(kiosk: Kiosk) -> None:
    await kiosk.one_drawing()
    processes = kiosk.chromium()
    kiosk.keeper.kill()
    await kiosk.keeper.wait()
    deadline = time.monotonic() + LONG_S
    while alive(processes):
        assert time.monotonic() < deadline
        await asyncio.sleep(LOOK_S)
