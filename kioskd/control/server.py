"""The daemon's end of the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol, Self, TypeAlias

import structlog
from aiohttp import web
from pydantic import ValidationError

from kioskd.control.api import Done, Readmission, Status
from kioskd.control.peers import Peer, may_control, peer_of
from kioskd.control.trial import Ended, Options, Outcome, Progress
from kioskd.errors import ControlError, DeviceError
from kioskd.hal.device import DeviceKind
from kioskd.hal.trial import Trial

log = structlog.get_logger(__name__)

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Try: TypeAlias = Callable[[Trial, Options, Callable[[Progress], None]], Awaitable[Outcome | Ended]]

ALIVE_S: Final = 1.0
"""How often a trial that has nothing to tell is known to run, and who asked to be there."""


class Restart(Protocol):
    """Restarts a device; in a visit only with `now`."""

    async def __call__(self, device: DeviceKind, *, now: bool) -> Done:
        """Do it, or tell why not."""


class AskMaintenance(Protocol):
    """Takes the kiosk out of service, or back."""

    async def __call__(self, *, on: bool) -> Done:
        """Do it."""


class ControlServer:
    """Serves `/status`, `/test/{trial}`, `/readmit/{device}`, `/restart/{device}[?now=1]` and
    `/maintenance/{on|off}` on a unix socket of mode 0660.

    Who may ask is `allowed`; the kernel tells who it is, whatever the mode of the file.

    A socket left by a dead daemon is replaced; a live one raises ControlError.
    """

    def __init__(
        self,
        path: Path,
        *,
        status: Callable[[], Status],
        test: Try,
        readmit: Callable[[DeviceKind], Awaitable[Readmission]],
        restart: Restart,
        maintenance: AskMaintenance,
        allowed: Callable[[Peer], bool] = may_control,
    ) -> None:
        self._path = path
        self._status = status
        self._allowed = allowed
        self._test = test
        self._readmit = readmit
        self._restart = restart
        self._maintenance = maintenance
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        if await self._alive():
            raise ControlError(f"another kioskd runs already: {self._path} answers")
        application = web.Application(middlewares=[self._guard])
        application.router.add_get("/status", self._get_status)
        application.router.add_post("/test/{trial}", self._post_test)
        application.router.add_post("/readmit/{device}", self._post_readmit)
        application.router.add_post("/restart/{device}", self._post_restart)
        application.router.add_post("/maintenance/{to:on|off}", self._post_maintenance)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.SockSite(self._runner, await asyncio.to_thread(self._bind)).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ControlError(f"{self._path}: {error.strerror}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    def _bind(self) -> socket.socket:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.bind(str(self._path))
            self._path.chmod(0o660)  # before it listens: nobody else gets in, ever
        except OSError:
            bound.close()
            raise
        return bound

    async def _alive(self) -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_unix_connection(str(self._path))
            writer.close()
            return True
        return False

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Ask the kernel who asks: the file's mode is the first lock, this is the second."""
        try:
            assert request.transport is not None
            peer = peer_of(request.transport.get_extra_info("socket"))
        except (OSError, AssertionError):
            raise web.HTTPForbidden(text="nobody is there") from None
        if not self._allowed(peer):
            log.warning("control.refused", pid=peer.pid, uid=peer.uid)
            raise web.HTTPForbidden(text="not for you")
        return await handler(request)

    async def _get_status(self, _: web.Request) -> web.Response:
        return web.json_response(text=self._status().model_dump_json())

    async def _post_readmit(self, request: web.Request) -> web.Response:
        device = _device(request)
        try:
            result = await self._readmit(device)
        except DeviceError as error:
            result = Readmission(device=device, passed=False, message=str(error))
        return web.json_response(text=result.model_dump_json())

    async def _post_restart(self, request: web.Request) -> web.Response:
        outcome = await self._restart(_device(request), now=request.query.get("now") == "1")
        return web.json_response(text=outcome.model_dump_json())

    async def _post_maintenance(self, request: web.Request) -> web.Response:
        outcome = await self._maintenance(on=request.match_info["to"] == "on")
        return web.json_response(text=outcome.model_dump_json())

    async def _post_test(self, request: web.Request) -> web.StreamResponse:
        """Send what is told of a trial, a JSON object a line; it ends when nobody listens."""
        try:
            trial = Trial(request.match_info["trial"])
            options = Options.model_validate_json(await request.read() or "{}")
        except ValidationError:
            raise web.HTTPBadRequest(text="no such options") from None
        except ValueError:
            raise web.HTTPNotFound(text="no such test") from None
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        told: asyncio.Queue[Progress] = asyncio.Queue()
        work = asyncio.ensure_future(self._test(trial, options, told.put_nowait))
        try:
            while not work.done():
                line = await _next(told, work)
                await response.write(line)
            await response.write(work.result().model_dump_json().encode() + b"\n")
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait([work])
        return response


async def _next(told: asyncio.Queue[Progress], work: asyncio.Future[Outcome | Ended]) -> bytes:
    """Return the next line; an empty one when there is nothing to tell, or no more."""
    waiting = asyncio.ensure_future(told.get())
    try:
        await asyncio.wait((waiting, work), timeout=ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result().model_dump_json().encode() + b"\n" if waiting.done() else b"\n"
    finally:
        waiting.cancel()


def _device(request: web.Request) -> DeviceKind:
    try:
        return DeviceKind(request.match_info["device"])
    except ValueError:
        raise web.HTTPNotFound(text="no such device") from None
