"""The screen's web server, on loopback, and its live connection with the page."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Self

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from kioskd.runtime.others import what_is_wrong
from kioskd.screen.entry import new_token
from kioskd.screen.messages import REMOTE_PICTURE, Action, Key, Plain, View, parse_action
from kioskd.screen.orders import Orders

log = structlog.get_logger(__name__)

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), display-capture=(), geolocation=(), usb=()",
}
"""Of every answer. The page itself never films: the daemon does."""
BACKLOG: Final = 1 << 20
"""Bytes waiting for a slow page above which pictures are left out."""
HEARTBEAT_S: Final = 5.0
ACTION_LIMIT: Final = 4096
PAGE_DIGITS: Final = 4
KEY_EVERY_S: Final = 1.0
"""A key frame costs the line as much as many others: a page asks at most this often."""
KEYS: Final = 8
"""The panel's keys that may wait for a slow page: later ones were meant for what it shows then."""
CLOSE_S: Final = 0.4
"""How long the pages may take to say goodbye; a stuck one is cut off."""
_LOCAL: Final = ("127.0.0.1", "localhost")
_OWN_FETCHES: Final = (None, "same-origin", "none")
"""Of Sec-Fetch-Site (W3C Fetch Metadata); a page at another port is "same-site"."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Text(NamedTuple):
    text: str
    is_key: bool


@dataclass(eq=False, slots=True)
class _Page:
    """One connected page. Views are sent whole: a newer one takes the place of one that waits."""

    socket: web.WebSocketResponse
    request: web.Request
    name: str | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    texts: deque[_Text] = field(default_factory=deque)
    pictures: list[bytes] = field(default_factory=list)
    backlog: int = 0
    wants_key: bool = True
    asked_at: float = float("-inf")

    def put_view(self, view: str) -> None:
        if self.texts and not self.texts[-1].is_key:
            self.texts.pop()
        self.texts.append(_Text(view, is_key=False))
        self.news.set()

    def put_key(self, key: str) -> None:
        if sum(one.is_key for one in self.texts) < KEYS:
            self.texts.append(_Text(key, is_key=True))
            self.news.set()


class ScreenServer:
    """Serves the page from `web_root` and keeps every connected page up to date.

    `on_action` gets what the resident pressed; `page_picture(document, number)` returns
    a JPEG or None. Answers to loopback names and its own origin only, and below its `token`
    only. Use as a context manager; `port` 0 takes a free one.
    """

    def __init__(
        self,
        *,
        web_root: Path,
        on_action: Callable[[Action], None],
        page_picture: Callable[[str, int], bytes | None],
        token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.port = port
        self._token = token or new_token()
        self.invalid = 0
        self._host = host
        self._web_root = web_root
        self._on_action = on_action
        self._page_picture = page_picture
        self._pages: set[_Page] = set()
        self._orders = Orders()
        self._view: str | None = None
        self._runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        """Where the page is, without the token: for logs and people."""
        return f"http://{self._host}:{self.port}/"

    @property
    def url(self) -> str:
        """The address of the page; whoever has it may press all that the resident may."""
        return f"{self.origin}{self._token}/"

    @property
    def connected(self) -> bool:
        """True while a page is connected; where Chromium is kept, while its page draws."""
        return bool(self._orders.drawing if self._orders.kept else self._pages)

    def begin_anew(self) -> None:
        """Let the screen's Chromium be replaced: it holds what it has shown."""
        self._orders.begin_anew()

    def show(self, view: View) -> None:
        """Show `view` on every page, and on those that connect later."""
        self._view = view.model_dump_json()
        for page in self._pages:
            page.put_view(self._view)

    def key(self, key: Key) -> None:
        """Hand a button of the panel to every page, after the views shown before it."""
        text = key.model_dump_json()
        for page in self._pages:
            page.put_key(text)

    def send_picture(self, frame: bytes, *, key: bool, kind: int) -> None:
        """Send a packed picture; a page that is behind gets none until the next key frame."""
        for page in self._pages:
            if page.backlog > BACKLOG:
                page.wants_key = page.wants_key or kind == REMOTE_PICTURE
                continue
            if kind == REMOTE_PICTURE:
                if page.wants_key and not key:
                    self._ask_key(page)
                    continue
                page.wants_key = False
            page.pictures.append(frame)
            page.backlog += len(frame)
            page.news.set()

    def _ask_key(self, page: _Page) -> None:
        now = time.monotonic()
        if now - page.asked_at >= KEY_EVERY_S:
            page.asked_at = now
            self._on_action(Plain(action="keyframe"))

    async def __aenter__(self) -> Self:
        application = web.Application(middlewares=[self._guard])
        below = f"/{self._token}"
        application.router.add_get(f"{below}/", self._index)
        application.router.add_get(f"{below}/ws", self._connect)
        application.router.add_get(f"{below}/orders", self._orders.serve)
        application.router.add_get(below + r"/pages/{document}/{number:[0-9]+}.jpg", self._picture)
        if self._web_root.is_dir():
            application.router.add_static(below, self._web_root)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.3)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        goodbyes = [
            asyncio.create_task(socket.close(code=WSCloseCode.GOING_AWAY), name="goodbye")
            for socket in (*(page.socket for page in self._pages), *self._orders.keepers)
        ]
        if goodbyes:
            await asyncio.wait(goodbyes, timeout=CLOSE_S)
        for page in self._pages:
            if page.request.transport is not None:
                page.request.transport.abort()
        for goodbye in goodbyes:
            goodbye.cancel()
        await asyncio.gather(*goodbyes, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse other names and origins (DNS rebinding), and harden every answer."""
        try:
            if self._foreign(request):
                raise web.HTTPForbidden(text="not for you")
            token = request.path.split("/", 2)[1]
            if not hmac.compare_digest(token.encode(), self._token.encode()):
                raise web.HTTPNotFound
            response = await handler(request)
        except web.HTTPException as error:
            _harden(error)
            raise
        if not response.prepared:
            _harden(response)
        return response

    def _foreign(self, request: web.Request) -> bool:
        hosts = {f"{name}:{self.port}" for name in _LOCAL}
        origin = request.headers.get("Origin")
        if request.host not in hosts:
            return True
        if origin is not None and origin not in {f"http://{host}" for host in hosts}:
            return True
        navigates = request.headers.get("Sec-Fetch-Mode") == "navigate"
        return not navigates and request.headers.get("Sec-Fetch-Site") not in _OWN_FETCHES

    async def _index(self, _: web.Request) -> web.StreamResponse:
        index = self._web_root / "index.html"
        if not await asyncio.to_thread(index.is_file):
            raise web.HTTPServiceUnavailable(text="the page is not built: run `make web`")
        return web.FileResponse(index)

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        document = request.match_info["document"]
        number = request.match_info["number"]
        if len(number) > PAGE_DIGITS:
            raise web.HTTPNotFound
        data = await asyncio.to_thread(self._page_picture, document, int(number))
        if data is None:
            raise web.HTTPNotFound
        response = web.Response(body=data, content_type="image/jpeg")
        # A connection that is kept open holds its last response, and with it a resident's page.
        response.force_close()
        return response

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=ACTION_LIMIT, compress=False
        )
        await socket.prepare(request)
        page = _Page(socket, request, request.query.get("screen"))
        if self._view is not None:
            page.put_view(self._view)
        self._pages.add(page)
        sender = asyncio.create_task(self._send(page), name="screen page")
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._receive(page, message.data)
        finally:
            self._pages.discard(page)
            if page.name is not None:
                self._orders.gone(page.name)
            sender.cancel()
            await asyncio.wait([sender])
        return socket

    async def _send(self, page: _Page) -> None:
        try:
            while True:
                await page.news.wait()
                page.news.clear()
                while page.texts:
                    await page.socket.send_str(page.texts.popleft().text)
                pictures, page.pictures = page.pictures, []
                for picture in pictures:
                    await page.socket.send_bytes(picture)
                    page.backlog -= len(picture)
        except ConnectionError:
            return  # the page has gone; its reader ends the connection

    def _receive(self, page: _Page, text: str) -> None:
        try:
            action = parse_action(text)
        except ValueError as error:
            self.invalid += 1
            if self.invalid == 1:
                log.warning("screen.invalid_action", error=what_is_wrong(error))
            return
        if isinstance(action, Plain) and action.action == "drawn":
            if page.name is not None:
                self._orders.drawn(page.name)
            return
        self._on_action(action)


def _harden(response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
