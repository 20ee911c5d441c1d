"""Hands out the agent's page on loopback, as any web server would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web

from kioskd.errors import KioskError

CSP: Final = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' blob: data:; "
    "media-src 'self' blob:; object-src 'none'; frame-src blob:; style-src 'self'; "
    "script-src 'self'; worker-src 'self' blob:; base-uri 'none'; frame-ancestors 'none'"
)


class AgentPages:
    """A static server for `folder` plus `/config.json`; `url` once it is entered."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *, port: int = 0) -> None:
        self.url = ""
        self._folder = folder
        self._config = dict(config)
        self._port = port
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        if not (self._folder / "index.html").is_file():
            raise KioskError("the agent's page is not built: run `make web`")
        application = web.Application()
        application.router.add_get("/", self._index)
        application.router.add_get("/config.json", self._get_config)
        application.router.add_static("/", self._folder)
        application.on_response_prepare.append(_harden)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _index(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(self._folder / "index.html")

    async def _get_config(self, _: web.Request) -> web.Response:
        return web.json_response(self._config)


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Content-Security-Policy"] = CSP
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
