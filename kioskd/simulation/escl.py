"""A network scanner (eSCL, as AirScan and Mopria speak it) for the sane-airscan backend."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from aiohttp import web
from PIL import Image

_NAMES = (
    'xmlns:scan="http://schemas.hp.com/imaging/escl/2011/05/03" '
    'xmlns:pwg="http://www.pwg.org/schemas/2010/12/sm"'
)
_RESOLUTIONS = "".join(
    f"<scan:DiscreteResolution><scan:XResolution>{dpi}</scan:XResolution>"
    f"<scan:YResolution>{dpi}</scan:YResolution></scan:DiscreteResolution>"
    for dpi in (75, 150, 300)
)
_CAPS = (  # lengths are in 1/300 inch
    "<scan:MinWidth>16</scan:MinWidth><scan:MaxWidth>2550</scan:MaxWidth>"
    "<scan:MinHeight>16</scan:MinHeight><scan:MaxHeight>3508</scan:MaxHeight>"
    "<scan:SettingProfiles><scan:SettingProfile>"
    "<scan:ColorModes><scan:ColorMode>Grayscale8</scan:ColorMode>"
    "<scan:ColorMode>RGB24</scan:ColorMode></scan:ColorModes>"
    "<scan:DocumentFormats><pwg:DocumentFormat>image/jpeg</pwg:DocumentFormat>"
    "</scan:DocumentFormats><scan:SupportedResolutions><scan:DiscreteResolutions>"
    f"{_RESOLUTIONS}</scan:DiscreteResolutions></scan:SupportedResolutions>"
    "</scan:SettingProfile></scan:SettingProfiles>"
)
_JOB = "/eSCL/ScanJobs/1"


def _xml(root: str, inside: str) -> web.Response:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><scan:{root} {_NAMES}>'
        f"<pwg:Version>2.63</pwg:Version>{inside}</scan:{root}>"
    )
    return web.Response(content_type="text/xml", text=text)


class NetworkScanner:
    """A flatbed, and a feeder with `feeder_pages` that jams `jam_after` so many; either may lack.

    `errors` are the HTTP errors that it answers, by the last part of what is asked; "" is all.
    `drops` cuts the connection in the middle of the next page, which comes after `page_s`
    seconds. `hang` leaves whatever is asked without an answer until `go_on`; `switch_off` and
    `switch_on` keep the port. `paper` lies in its corner, or on all of it where it is larger;
    `scanned` is the last page as it was sent.
    `opened` counts the openings. `config_dir` is made ready as SANE_CONFIG_DIR.
    """

    def __init__(self, config_dir: Path, *, flatbed: bool = True, feeder: bool = True) -> None:
        self.errors: dict[str, int] = {}
        self.feeder_pages = 0
        self.jam_after: int | None = None
        self.cover_open = False
        self.drops = False
        self.page_s = 0.0
        self.paper: Image.Image | None = None
        self.scanned = b""
        self.opened = 0
        self._answers = asyncio.Event()
        self._answers.set()
        self._port = 0
        self._config_dir = config_dir
        self._has = (flatbed, feeder)
        self._feeder = False
        self._fed = 0
        self._size = (0, 0)
        self._stack = AsyncExitStack()

    @property
    def _adf_state(self) -> str:
        if self.cover_open:
            return "ScannerAdfDoorOpen"
        if self._fed == self.jam_after:
            return "ScannerAdfJam"
        return "ScannerAdfLoaded" if self.feeder_pages else "ScannerAdfEmpty"

    def hang(self) -> None:
        """Answer nothing from now on."""
        self._answers.clear()

    def go_on(self) -> None:
        """Answer again, what was asked in the meantime too."""
        self._answers.set()

    async def switch_on(self) -> None:
        """Listen; at first on any free port, later on the same one."""
        app = web.Application(middlewares=[self._wait])
        app.add_routes(
            [
                web.get("/eSCL/ScannerCapabilities", self._capabilities),
                web.get("/eSCL/ScannerStatus", self._status),
                web.post("/eSCL/ScanJobs", self._create),
                web.get(f"{_JOB}/NextDocument", self._next),
                web.delete(_JOB, self._delete),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = runner.addresses[0][1]

    async def switch_off(self) -> None:
        """Stop listening and drop all connections; what hung is let go."""
        self.go_on()
        await self._stack.aclose()

    @web.middleware
    async def _wait(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        await self._answers.wait()
        for asked, status in self.errors.items():
            if request.path.endswith(asked):
                return web.Response(status=status)
        return await handler(request)

    async def __aenter__(self) -> Self:
        await self.switch_on()
        self.configure()
        return self

    def configure(self) -> None:
        """Write SANE's configuration: this scanner is the only one."""
        (self._config_dir / "dll.conf").write_text("airscan\n")
        (self._config_dir / "airscan.conf").write_text(
            f'[devices]\n"Kiosk" = http://127.0.0.1:{self._port}/eSCL/, eSCL\n'
            "[options]\ndiscovery = disable\n"
        )

    async def __aexit__(self, *_: object) -> None:
        await self.switch_off()

    async def _capabilities(self, _: web.Request) -> web.Response:
        self.opened += 1
        sources = (
            f"<scan:Platen><scan:PlatenInputCaps>{_CAPS}</scan:PlatenInputCaps></scan:Platen>",
            f"<scan:Adf><scan:AdfSimplexInputCaps>{_CAPS}</scan:AdfSimplexInputCaps></scan:Adf>",
        )
        has = "".join(one for one, there in zip(sources, self._has, strict=True) if there)
        return _xml("ScannerCapabilities", f"<pwg:MakeAndModel>Kiosk</pwg:MakeAndModel>{has}")

    async def _status(self, _: web.Request) -> web.Response:
        return _xml(
            "ScannerStatus",
            f"<pwg:State>Idle</pwg:State><scan:AdfState>{self._adf_state}</scan:AdfState>",
        )

    async def _create(self, request: web.Request) -> web.Response:
        wanted = await request.text()

        def number(name: str) -> int:
            found = re.search(rf"{name}>(\d+)<", wanted)
            if found is None:
                raise web.HTTPBadRequest
            return int(found[1])

        self._feeder = "Feeder" in wanted
        self._fed = 0
        scale = number("XResolution") / 300
        self._size = (round(number("Width") * scale), round(number("Height") * scale))
        if self._feeder and self._adf_state != "ScannerAdfLoaded":
            return web.Response(status=409)
        return web.Response(status=201, headers={"Location": _JOB})

    async def _next(self, request: web.Request) -> web.StreamResponse:
        if self._feeder:
            if self._adf_state != "ScannerAdfLoaded":
                return web.Response(status=409 if self._fed == self.jam_after else 404)
            self.feeder_pages -= 1
        elif self._fed:
            return web.Response(status=404)
        self._fed += 1
        picture, page = io.BytesIO(), Image.new("RGB", self._size, "white")
        if self.paper is not None:
            larger = any(a > b for a, b in zip(self.paper.size, self._size, strict=True))
            page.paste(self.paper.resize(self._size) if larger else self.paper)
        page.save(picture, "JPEG")
        self.scanned = picture.getvalue()
        await asyncio.sleep(self.page_s)
        response = web.Response(body=self.scanned, content_type="image/jpeg")
        if self.drops:
            await response.prepare(request)
            if request.transport is not None:
                request.transport.abort()
            await asyncio.sleep(0)
        return response

    async def _delete(self, _: web.Request) -> web.Response:
        return web.Response()
