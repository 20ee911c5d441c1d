"""The kiosk's end of a call in Python: kioskd's, or aiortc as it comes.

    python -m bench.cpu.kiosk {kioskd,kioskd-decoding,aiortc} FOLDER WIDTH HEIGHT BPS

As every end here: it says its offer, hears the answer, and ends with its stdin; JSON by the line.
kioskd's end also says where its screen is, and in the end how late its loop was.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import aiortc.codecs.vpx

from bench.cpu.source import Source
from bench.lines.kiosk import End, KioskdEnd, StockEnd
from kioskd.call import picture
from kioskd.logging import configure
from kioskd.picture.pacing import payload_bytes
from kioskd.runtime.slack import share_wakeups
from kioskd.runtime.vitals import LoopLag
from kioskd.screen.messages import KEY_FRAME, REMOTE_PICTURE
from kioskd.screen.messages import picture as packed
from kioskd.screen.server import ScreenServer

PROFILE: Final = os.environ.get("BENCH_CPU_PROFILE")
"""Where to write what the event loop's thread did (cProfile), which makes it slower."""


def hold_aiortc(bps: int) -> None:
    """Let aiortc's encoder have this rate and no other, whatever it is told."""
    for name in ("MIN_BITRATE", "DEFAULT_BITRATE", "MAX_BITRATE"):
        getattr(aiortc.codecs.vpx, name)  # fails where it has moved
        setattr(aiortc.codecs.vpx, name, bps)


class Forwarding(KioskdEnd):
    """kioskd as the daemon has it: the agent's picture goes on to the screen page as it came."""

    def __init__(self, source: Source, bps: int) -> None:
        super().__init__(source)
        self._bps = bps
        self.screen = ScreenServer(
            web_root=Path(), on_action=lambda _: self._ask(), page_picture=lambda _, __: None
        )

    async def offer(self) -> str:
        """Return the leg's offer; its picture gets this rate and no other."""
        sdp = await super().offer()
        packets = 15 + self._bps / 8 / payload_bytes(self._bps)
        gross = self._bps + packets * picture.HEADER_BITS
        own = self._leg._picture
        assert own is not None
        own.target_bps = gross
        picture.LegPicture.target_bps = property(lambda _: gross, lambda *_: None)  # type: ignore[method-assign,assignment]
        return sdp

    def _see(self, data: bytes, micros: int, key: bool) -> None:
        flags = KEY_FRAME if key else 0
        frame = packed(REMOTE_PICTURE, flags, micros, data)
        self.screen.send_picture(frame, key=key, kind=REMOTE_PICTURE)

    def _ask(self) -> None:
        asking = asyncio.ensure_future(self._leg.request_keyframe())
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)


class Decoding(Forwarding):
    """The same, and the agent's picture is decoded here too, as the other ends do."""

    def _see(self, data: bytes, micros: int, key: bool) -> None:
        super()._see(data, micros, key)
        if not self.senses.show_encoded(data, key):
            self._ask()


async def _run(kind: str, folder: Path, width: int, height: int, bps: int) -> None:
    hold_aiortc(bps)
    source = Source(folder, width, height, decodes=kind == "kioskd-decoding")
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    lag = LoopLag()
    lagging = asyncio.create_task(lag.run(), name="lag")
    try:
        if kind == "aiortc":
            await _hold(StockEnd(source), reader)
        else:
            share_wakeups(asyncio.get_running_loop())
            end = (Decoding if kind == "kioskd-decoding" else Forwarding)(source, bps)
            async with end.screen:
                _say({"screen": end.screen.url})
                await _hold(end, reader)
    finally:
        lagging.cancel()
    _say({"lag_ms": lag.figures_ms()})


async def _hold(end: End, reader: asyncio.StreamReader) -> None:
    _say({"offer": await end.offer()})
    await end.accept(json.loads(await reader.readline())["answer"])
    while not reader.at_eof():
        # As often as the daemon looks.
        await end.stats()
        try:
            async with asyncio.timeout(5):
                await reader.readline()
        except TimeoutError:
            continue
    await end.close()


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    """Hold an end: KIND FOLDER WIDTH HEIGHT BPS."""
    configure()
    kind, folder, width, height, bps = sys.argv[1:6]
    work = _run(kind, Path(folder), int(width), int(height), int(bps))
    if PROFILE is None:
        asyncio.run(work)
        return
    import cProfile

    with cProfile.Profile() as profile:
        asyncio.run(work)
    profile.dump_stats(PROFILE)


if __name__ == "__main__":
    main()
