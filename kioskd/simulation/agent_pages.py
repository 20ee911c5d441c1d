"""Hands out the agent's page on loopback, as any web server would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web
from pydantic import BaseModel

from kioskd.errors import KioskError

CSP: Final = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' blob: data:; "
    "media-src 'self' blob:; object-src 'none'; frame-src blob:; style-src 'self'; "
    "script-src 'self'; worker-src 'self' blob:; base-uri 'none'; frame-ancestors 'none'"
)


class AgentPages:
    """A static server for `folder` plus `/config.json`; `url` once it is entered.

    `issue(jkt, name, services)` makes the token that an organisation would give to somebody
    who has signed in; here it is given to whoever asks, which is for a demo only.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *,
        port: int = 0,
        issue: Callable[[str, str, list[str]], str] | None = None,
    ) -> None:
        self.url = ""
        self._folder = folder
        self._config = dict(config)
        self._port = port
        self._issue = issue
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        if not (self._folder / "index.html").is_file():
            raise KioskError("the agent's page is not built: run `make web`")
        application = web.Application()
        application.router.add_get("/", self._index)
        application.router.add_get("/config.json", self._get_config)
        if self._issue is not None:
            application.router.add_post("/token", self._token)
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

    async def _token(self, request: web.Request) -> web.Response:
        assert self._issue is not None
        try:
            asked = _Asked.model_validate_json(await request.read())
        except ValueError as error:
            raise web.HTTPBadRequest from error
        return web.json_response({"token": self._issue(asked.jkt, asked.name, asked.services)})


class _Asked(BaseModel):
    jkt: str
    name: str
    services: list[str]


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Content-Security-Policy"] = CSP
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
