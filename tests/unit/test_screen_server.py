"""The screen's server, driven by a real client over loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from structlog.testing import capture_logs
from yarl import URL

import kioskd
from kioskd.errors import DocumentFault, PeerFault, Reason
from kioskd.hal.device import DeviceKind
from kioskd.screen import server as subject
from kioskd.screen.messages import (
    KEY_FRAME,
    OWN_PICTURE,
    REMOTE_PICTURE,
    Action,
    Choose,
    Key,
    Plain,
    View,
    picture,
)
from kioskd.screen.server import ScreenServer
from kioskd.visit.words import EndReason, LineQuality, PrintStage, ScanStage, Scene
from tests.waiting import until

JPEG = b"\xff\xd8 a page \xff\xd9"
LIMIT_S = 5.0


@dataclass
class Kiosk:
    """A running server, what it was told, and a client."""

    server: ScreenServer
    client: ClientSession
    actions: list[Action] = field(default_factory=list)

    @asynccontextmanager
    async def page(self) -> AsyncIterator[ClientWebSocketResponse]:
        async with self.client.ws_connect(f"{self.server.url}ws") as page:
            yield page


@pytest.fixture
async def kiosk(tmp_path: Path) -> AsyncIterator[Kiosk]:
    (tmp_path / "index.html").write_text("<!doctype html><title>the page</title>")
    (tmp_path / "main.js").write_text("// the script")
    actions: list[Action] = []
    pages = {("scan", 1): JPEG}
    async with (
        ScreenServer(
            web_root=tmp_path,
            on_action=actions.append,
            page_picture=lambda document, number: pages.get((document, number)),
        ) as server,
        ClientSession() as client,
    ):
        yield Kiosk(server, client, actions)


def view(scene: Scene = Scene.CHOOSING) -> View:
    return View(scene=scene, kiosk="k1", language="fr", online=True, services=[])


def remote(data: bytes, *, key: bool) -> bytes:
    return picture(REMOTE_PICTURE, KEY_FRAME if key else 0, 0, data)


async def scene_of(page: ClientWebSocketResponse) -> str:
    return str(json.loads(await page.receive_str(timeout=LIMIT_S))["scene"])


async def test_a_page_gets_the_view_at_once_and_each_later_one(kiosk: Kiosk) -> None:
    kiosk.server.show(view())
    async with kiosk.page() as page:
        assert await scene_of(page) == "choosing"
        assert kiosk.server.connected
        kiosk.server.show(view(Scene.WAITING))
        assert await scene_of(page) == "waiting"
        async with kiosk.page() as second:
            assert await scene_of(second) == "waiting"
    await until(lambda: not kiosk.server.connected)


async def test_keys_come_in_order_with_the_views_and_only_a_few_wait(kiosk: Kiosk) -> None:
    kiosk.server.show(view())
    async with kiosk.page() as page:
        assert await scene_of(page) == "choosing"
        # All at once, so that everything waits for the page: the newest view between two keys.
        kiosk.server.key(Key(key="next"))
        kiosk.server.show(view(Scene.WAITING))
        kiosk.server.show(view(Scene.CONNECTING))
        for _ in range(100):
            kiosk.server.key(Key(key="press"))
        kiosk.server.show(view(Scene.TALKING))
        came = [json.loads(await page.receive_str(timeout=LIMIT_S)) for _ in range(3 + 7)]
        kiosk.server.key(Key(key="previous"))
        last = json.loads(await page.receive_str(timeout=LIMIT_S))
    pressed = ["press"] * (subject.KEYS - 1)
    told = [one.get("key") or one["scene"] for one in came]
    assert told == ["next", "connecting", *pressed, "talking"]
    assert last == {"type": "key", "key": "previous"}


async def test_an_action_arrives_and_nonsense_is_dropped_and_logged_once(kiosk: Kiosk) -> None:
    bad = ["{", '{"action":"reboot"}', '{"action":"volume","volume":7}', "[]"]
    with capture_logs() as logs:
        async with kiosk.page() as page:
            for text in bad:
                await page.send_str(text)
            await page.send_str('{"action":"choose","service":"caf"}')
            await page.send_str('{"action":"hang-up"}')
            await until(lambda: len(kiosk.actions) == 2)
    assert kiosk.actions == [Choose(action="choose", service="caf"), Plain(action="hang-up")]
    assert kiosk.server.invalid == len(bad)
    assert [entry["event"] for entry in logs].count("screen.invalid_action") == 1


@pytest.mark.parametrize("path", ["", "main.js", "pages/scan/1.jpg", "nowhere"])
async def test_every_answer_is_hardened(kiosk: Kiosk, path: str) -> None:
    async with kiosk.client.get(kiosk.server.url + path) as answer:
        assert answer.status == (404 if path == "nowhere" else 200)
        assert answer.headers["Content-Security-Policy"] == subject.CSP
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
    ],
)
async def test_a_foreign_name_or_origin_is_refused(kiosk: Kiosk, headers: dict[str, str]) -> None:
    async with kiosk.client.get(kiosk.server.url, headers=headers) as answer:
        assert answer.status == 403
        assert answer.headers["Content-Security-Policy"] == subject.CSP
    with pytest.raises(WSServerHandshakeError) as refusal:
        await kiosk.client.ws_connect(f"{kiosk.server.url}ws", headers=headers)
    assert refusal.value.status == 403
    assert not kiosk.server.connected


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_the_own_origin_is_let_in(kiosk: Kiosk, name: str) -> None:
    own = f"{name}:{kiosk.server.port}"
    headers = {"Host": own, "Origin": f"http://{own}"}
    async with kiosk.client.ws_connect(f"{kiosk.server.url}ws", headers=headers):
        await until(lambda: kiosk.server.connected)


async def test_pictures_of_pages(kiosk: Kiosk) -> None:
    async with kiosk.client.get(f"{kiosk.server.url}pages/scan/1.jpg") as answer:
        assert answer.content_type == "image/jpeg"
        assert await answer.read() == JPEG
    for missing in ("scan/2.jpg", "print/1.jpg", "scan/x.jpg", f"scan/{'9' * 40}.jpg"):
        async with kiosk.client.get(f"{kiosk.server.url}pages/{missing}") as answer:
            assert answer.status == 404, missing[:20]


async def test_a_page_starts_with_a_key_frame_and_asks_for_it_once(kiosk: Kiosk) -> None:
    async with kiosk.page() as page:
        await until(lambda: kiosk.server.connected)
        for _ in range(30):  # a second of video
            kiosk.server.send_picture(remote(b"delta", key=False), key=False, kind=REMOTE_PICTURE)
        assert kiosk.actions == [Plain(action="keyframe")]
        key = remote(b"key", key=True)
        delta = remote(b"next", key=False)
        own = picture(OWN_PICTURE, 0, 0, JPEG)
        kiosk.server.send_picture(key, key=True, kind=REMOTE_PICTURE)
        kiosk.server.send_picture(delta, key=False, kind=REMOTE_PICTURE)
        kiosk.server.send_picture(own, key=True, kind=OWN_PICTURE)
        assert [await page.receive_bytes(timeout=LIMIT_S) for _ in range(3)] == [key, delta, own]


@asynccontextmanager
async def stuck_page(kiosk: Kiosk) -> AsyncIterator[socket.socket]:
    """A page that connects and then reads nothing."""
    loop = asyncio.get_running_loop()
    own = f"127.0.0.1:{kiosk.server.port}"
    with socket.socket() as plug:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plug.setblocking(False)
        await loop.sock_connect(plug, ("127.0.0.1", kiosk.server.port))
        path = f"{URL(kiosk.server.url).path}ws"
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {own}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        await loop.sock_sendall(plug, request.encode())
        await until(lambda: kiosk.server.connected)
        yield plug


async def flood(kiosk: Kiosk) -> int:
    """Send 16 MB of delta frames after a key frame; return how many were sent."""
    frame = remote(bytes(64 * 1024), key=False)
    kiosk.server.send_picture(remote(b"key", key=True), key=True, kind=REMOTE_PICTURE)
    for _ in range(256):
        kiosk.server.send_picture(frame, key=False, kind=REMOTE_PICTURE)
        await asyncio.sleep(0)
    return 256


async def test_a_page_that_is_behind_gets_no_pictures_until_a_key_frame(kiosk: Kiosk) -> None:
    async with stuck_page(kiosk) as plug:
        sent = await flood(kiosk)
        assert kiosk.actions == []  # nothing to ask for while it does not read
        received = await drain(plug)
        assert received < sent * 64 * 1024
        assert received < 4 * subject.BACKLOG  # the limit and the kernel's buffers
        kiosk.server.send_picture(remote(b"delta", key=False), key=False, kind=REMOTE_PICTURE)
        assert kiosk.actions == [Plain(action="keyframe")]
        kiosk.server.send_picture(remote(b"KEY!", key=True), key=True, kind=REMOTE_PICTURE)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(LIMIT_S):
            assert (await loop.sock_recv(plug, 65536)).endswith(b"KEY!")


async def drain(plug: socket.socket) -> int:
    """Read until nothing has come for 0.3 s; return how many bytes came."""
    loop = asyncio.get_running_loop()
    total = 0
    while True:
        try:
            async with asyncio.timeout(0.3):
                total += len(await loop.sock_recv(plug, 1 << 20))
        except TimeoutError:
            return total


async def test_a_stuck_page_holds_up_neither_the_others_nor_the_view(kiosk: Kiosk) -> None:
    async with stuck_page(kiosk):
        await flood(kiosk)
        async with kiosk.page() as page:
            kiosk.server.show(view(Scene.ENDED))
            assert await scene_of(page) == "ended"


async def test_closes_quickly_with_live_and_stuck_pages(kiosk: Kiosk) -> None:
    async with stuck_page(kiosk), kiosk.page() as page:
        await flood(kiosk)
        goodbye = asyncio.create_task(closing_of(page))
        started = time.monotonic()
        await kiosk.server.__aexit__()
        assert time.monotonic() - started < 1.0
        assert await goodbye == 1001
        assert not kiosk.server.connected


async def closing_of(page: ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(LIMIT_S):
        while (await page.receive()).type is WSMsgType.BINARY:
            continue
    return page.close_code


MESSAGES = sorted(Path(kioskd.__file__).parent.glob("web/screen/messages/*.json"))


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_the_page_has_words_for_all_that_can_happen(path: Path) -> None:
    words = json.loads(path.read_text())
    stages = {f"scan-{one}" for one in ScanStage} - {"scan-asking"}
    needed = (
        {f"reason-{one}" for one in [*Reason, *DocumentFault]}
        | {f"end-{one}" for one in EndReason}
        | {f"test-{one}" for one in DeviceKind}
        | {f"refused-{one}" for one in PeerFault}
        | {f"print-{one}" for one in PrintStage}
        | {f"line-{one}" for one in LineQuality if one is not LineQuality.GOOD}
        | {f"day-{number}" for number in range(7)}
        | stages
        | {"scan-asking-agent", "scan-asking-own", "maintenance-title", "maintenance-text"}
        | {f"scan-reason-{one}" for one in (Reason.PAPER_JAM, Reason.COVER_OPEN)}
    )
    assert needed <= words.keys()
    assert all(words.values())
    assert len(MESSAGES) >= 2
    assert words.keys() == json.loads(MESSAGES[0].read_text()).keys()
