"""Holds the agent's sending back while a queue stands before us (kioskd.rate.brake)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import structlog
from aiortc import RTCDtlsTransport
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, pack_remb_fci

from kioskd.call import feedback_seams
from kioskd.rate.brake import Brake

log = structlog.get_logger(__name__)

AGAIN_S: Final = 0.2
"""A limit is told again at this pace: it may be lost, and what the line carries changes."""
RELEASES: Final = 4
"""So many times it is told that there is none any more: a browser keeps the last one for good."""
NO_LIMIT_BPS: Final = 1_000_000_000


class LegBrake:
    """Sees what comes, and tells the far end how much it may send (REMB).

    draft-alvestrand-rmcat-remb-03; libwebrtc goes by the lower of this and its own estimate.
    `queue_here` is called when a queue has come up, `queue_gone` when it is gone.
    """

    def __init__(self, queue_here: Callable[[], None], queue_gone: Callable[[], None]) -> None:
        self._queue_here = queue_here
        self._queue_gone = queue_gone
        self.told = 0
        """How many times the far end was told."""
        self._brake = Brake()
        self._changed = asyncio.Event()
        self._now = asyncio.get_running_loop().time

    def count(self, size: int) -> None:
        """Note the bytes of a packet of sound or picture, headers included."""
        self._brake.count(size, self._now())

    def spoke(self, source: int, timestamp: int) -> None:
        """Note a packet of speech that was counted: its SSRC and RTP's timestamp."""
        before = self._brake.limit_bps
        self._brake.hear(source, timestamp, self._now())
        if (self._brake.limit_bps is None) is not (before is None):
            self._changed.set()
            (self._queue_here if before is None else self._queue_gone)()

    async def run(self, transport: RTCDtlsTransport, source: int) -> None:
        """Tell until cancelled; `source` is the SSRC that tells. Ends with the connection."""
        left = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S if left else None):
                    await self._changed.wait()
            self._changed.clear()
            self._brake.tick(self._now())
            limit = self._brake.limit_bps
            left = left - 1 if limit is None and left else RELEASES
            fci = pack_remb_fci(round(limit or NO_LIMIT_BPS), [])
            try:
                await feedback_seams.tell(
                    transport, bytes(RtcpPsfbPacket(RTCP_PSFB_APP, source, 0, fci))
                )
            except ConnectionError:
                return  # the leg tells of its end by itself
            self.told += 1
            log.debug("rate.brake", limit_bps=limit)
