"""What the keeper of the screen's Chromium is told, by a real server over loopback."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

from kioskd.errors import ScreenError
from kioskd.screen import entry, orders
from kioskd.screen.keeper import TRIES, Keeper
from kioskd.screen.messages import Action
from kioskd.screen.orders import Order
from kioskd.screen.server import ScreenServer

LIMIT_S = 5.0
DRAWN = '{"action": "drawn"}'


class Kiosk:
    def __init__(self, server: ScreenServer, client: ClientSession, actions: list[Action]) -> None:
        self.server = server
        self.actions = actions
        self._client = client

    def has_a_screen(self) -> bool:
        return self.server.connected

    @asynccontextmanager
    async def page(self, query: str = "") -> AsyncIterator[ClientWebSocketResponse]:
        async with self._client.ws_connect(f"{self.server.url}ws{query}") as one:
            yield one

    @asynccontextmanager
    async def keeper(self) -> AsyncIterator[ClientWebSocketResponse]:
        async with self._client.ws_connect(f"{self.server.url}orders") as one:
            yield one


@pytest.fixture
async def kiosk(tmp_path: Path) -> AsyncIterator[Kiosk]:
    actions: list[Action] = []
    async with (
        ScreenServer(
            web_root=tmp_path, on_action=actions.append, page_picture=lambda _, __: None
        ) as server,
        ClientSession() as client,
    ):
        yield Kiosk(server, client, actions)


async def until(keeper: ClientWebSocketResponse, true: Callable[[Order], bool]) -> Order:
    async with asyncio.timeout(LIMIT_S):
        while True:
            order = Order.model_validate_json(await keeper.receive_str())
            if true(order):
                return order


async def test_each_visit_and_each_daemon_has_a_life_of_its_own(
    kiosk: Kiosk, tmp_path: Path
) -> None:
    async with kiosk.keeper() as keeper:
        first = await until(keeper, lambda _: True)
        kiosk.server.begin_anew()
        second = await until(keeper, lambda order: order.life != first.life)
    async with kiosk.keeper() as keeper:  # it is told again where it has been away
        assert (await until(keeper, lambda _: True)).life == second.life
    async with ScreenServer(
        web_root=tmp_path, on_action=print, page_picture=lambda _, __: None
    ) as other:
        kiosk.server = other
        async with kiosk.keeper() as keeper:
            assert (await until(keeper, lambda _: True)).life not in (first.life, second.life)


async def test_the_pages_that_draw_are_named_and_no_others(kiosk: Kiosk) -> None:
    async with kiosk.keeper() as keeper, kiosk.page() as nameless, kiosk.page("?screen=a") as page:
        await nameless.send_str(DRAWN)
        await page.send_str(DRAWN)
        await until(keeper, lambda order: order.drawing == ("a",))
        async with kiosk.page("?screen=b") as other:
            await other.send_str(DRAWN)
            await until(keeper, lambda order: order.drawing == ("a", "b"))
        await until(keeper, lambda order: order.drawing == ("a",))
    assert kiosk.actions == [], "it is nothing that a resident pressed"


async def test_a_page_that_falls_silent_is_no_screen(
    kiosk: Kiosk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "MUTE_S", 0.5)
    async with kiosk.page("?screen=a") as page:
        assert kiosk.has_a_screen(), "nobody keeps it: who is connected counts"
        async with kiosk.keeper() as keeper:
            await page.send_str(DRAWN)
            await until(keeper, lambda order: order.drawing == ("a",))
            assert kiosk.has_a_screen()
            await until(keeper, lambda order: order.drawing == ())
            assert not kiosk.has_a_screen()
            await page.send_str(DRAWN)
            await until(keeper, lambda order: order.drawing == ("a",))


async def test_a_chromium_that_ends_at_once_is_given_up(kiosk: Kiosk, tmp_path: Path) -> None:
    """The unit, and with it the Wayland session, is begun anew then."""
    entry.write(tmp_path / "kiosk.html", kiosk.server.url)
    folder = tmp_path / "profiles"
    (folder / "left").mkdir(parents=True)
    tried = tmp_path / "tried"
    script = f'stat -c %a "$HOME" >>{tried}; for one; do :; done; printf "%s\\n" "$*" >>{tried}'
    keeper = Keeper(
        entry_file=tmp_path / "kiosk.html", folder=folder, command=["sh", "-c", script, "chromium"]
    )
    async with asyncio.timeout(4 * LIMIT_S):
        with pytest.raises(ScreenError, match="it ended"):
            await keeper.run()
    modes, commands = tried.read_text().splitlines()[::2], tried.read_text().splitlines()[1::2]
    assert modes == ["700"] * TRIES
    token = kiosk.server.url.split("/")[3]
    assert not any(token in one for one in commands), "anybody can read a command line"
    assert list(folder.iterdir()) == [], "nothing is left, of this life or an earlier one"


async def test_the_keeper_waits_for_a_daemon(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    keeper = Keeper(entry_file=tmp_path / "none.html", folder=folder, command=["false"])
    work = asyncio.create_task(keeper.run())
    done, _ = await asyncio.wait([work], timeout=1.0)
    assert not done
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


def test_the_entry_tells_the_address(tmp_path: Path) -> None:
    file = tmp_path / "kiosk.html"
    assert entry.address(file) is None
    url = f"http://127.0.0.1:8480/{entry.new_token()}/"
    entry.write(file, url)
    assert entry.address(file) == url
    entry.write(file, f"{url}?screen=a1")
    assert entry.address(file) is None, "a page of the keeper's is no way in"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
