"""An encoder in hardware during a call.

A driver may hang or crash, so that it is called in a worker process; one that does not answer at
once is given up for the rest of the call, and the next picture is encoded by libvpx.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
from av import VideoFrame

from kioskd.errors import DeviceError, Reason
from kioskd.picture import h264
from kioskd.picture.coder import fitted
from kioskd.picture.encoded import Codec, Encoded
from kioskd.picture.ladder import Rung
from kioskd.runtime.shared import SharedRing
from kioskd.runtime.worker import DeviceWorker
from kioskd.runtime.worker_main import PING

log = structlog.get_logger(__name__)

PROBE_S: Final = 2.0
"""A picture must come out of an encoder within this, once its process is there."""
ANSWER_S: Final = 0.5
"""A picture that takes longer is not waited for: until then the agent sees a still."""
SLOT_BYTES: Final = h264.MOST_BLOCKS * 16 * 16 * 3 // 2


class Aside:
    """An encoder in a process of its own, for one leg. `start` begins it, `stop` ends it.

    `on_failure` hears once what went wrong. Raises OSError where the memory is not to be had.
    """

    def __init__(
        self, kind: h264.Kind, *, on_failure: Callable[[str], None] = lambda _: None
    ) -> None:
        self.kind = kind
        self._on_failure = on_failure
        self._pictures = SharedRing.create(SLOT_BYTES)
        self._coded = SharedRing.create(SLOT_BYTES)
        self._number = 0
        self._ready = self._failed = False
        self._starting: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[Any]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "picture aside")
        fds = {"pictures": self._pictures.fd, "coded": self._coded.fd}
        self._worker = DeviceWorker(
            "picture encoder",
            "kioskd.call.aside_worker:AsideWorker",
            {"kind": dataclasses.asdict(kind), "size": SLOT_BYTES, **fds},
            pass_fds=tuple(fds.values()),
            # Between two pictures: another process would have nothing of what went before.
            on_death=lambda: self._fail(DeviceError(Reason.CRASHED)),
        )

    @property
    def ready(self) -> bool:
        """True from when a picture has come out of it until it fails."""
        return self._ready and not self._failed

    @property
    def pid(self) -> int | None:
        """The process, where there is one."""
        return self._worker.pid

    @property
    def ended(self) -> bool:
        """True once nothing of it is left."""
        return self._ending is not None and self._ending.done()

    def start(self) -> None:
        """Begin to get ready, which takes half a second."""
        self._starting = asyncio.create_task(self._start(), name="picture encoder start")

    async def prove(self) -> None:
        """Have a grey picture encoded. Raises DeviceError where none comes out in time."""
        await self._worker.call(PING, timeout=PROBE_S)  # its start takes what it takes
        await self._worker.call("prove", timeout=PROBE_S)
        self._ready = True

    async def encode(
        self, frame: VideoFrame, pts: int, rung: Rung, bps: float, *, key: bool
    ) -> Encoded | None:
        """Encode as `Coder.encode` does. Raises DeviceError, and then is of no use."""
        try:
            return await self._encode(frame, pts, rung, bps, key=key)
        except DeviceError as error:
            self._fail(error)
            raise

    def close(self) -> None:
        """Use it no more; its process ends in the background, which `stop` waits for."""
        self._failed = True
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(), name="picture encoder end")

    async def stop(self) -> None:
        """End its process, within 5 s."""
        self.close()
        assert self._ending is not None
        await asyncio.shield(self._ending)

    async def _start(self) -> None:
        try:
            await self.prove()
        except DeviceError as error:
            self._fail(error)

    def _fail(self, error: DeviceError) -> None:
        if not self._failed:
            self._failed = True
            log.warning("picture.encoder_failed", encoder=self.kind.codec, error=str(error))
            self._on_failure(f"{self.kind.codec}: {error}")

    async def _encode(
        self, frame: VideoFrame, pts: int, rung: Rung, bps: float, *, key: bool
    ) -> Encoded | None:
        number, self._number = self._number, self._number + 1
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._put, number, frame, rung)
        answer = await self._answer(
            number=number, width=rung.width, height=rung.height, pts=pts, bps=bps, key=key
        )
        if self._failed:
            # It died, and this is of the next process, which is used no more.
            raise DeviceError(Reason.CRASHED)
        if answer is None:
            return None
        size, is_key, at = answer
        data = self._coded.read(number, size)
        if data is None:
            raise DeviceError(Reason.IO_ERROR, "its picture was overwritten")
        return Encoded(data, bool(is_key), at, Codec.H264)

    def _put(self, number: int, frame: VideoFrame, rung: Rung) -> None:
        i420 = fitted(frame, rung).to_ndarray()
        self._pictures.write(number, i420.reshape(-1).data)

    async def _answer(self, **arguments: Any) -> Any:
        """Wait no longer than ANSWER_S: to end a process that hangs takes seconds."""
        work = self._worker.call("encode", timeout=ANSWER_S, **arguments)
        call = asyncio.create_task(work, name="picture encoder call")
        self._calls.add(call)
        call.add_done_callback(self._forget)
        done, _ = await asyncio.wait([call], timeout=ANSWER_S)
        if not done:
            raise DeviceError(Reason.NO_ANSWER, f"no picture within {ANSWER_S:.1f} s")
        return call.result()

    def _forget(self, call: asyncio.Task[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # told by whoever waited, if anybody still did

    async def _end(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        await self._worker.stop()
        waited = [one for one in (self._starting, *self._calls) if one is not None]
        if waited:
            await asyncio.wait(waited)
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._pictures.close()
        self._coded.close()
