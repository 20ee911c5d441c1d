"""A leg's own picture: what the leg sets up once and then leaves alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog
from aiortc import RTCRtpReceiver, RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamTrack
from av import VideoFrame

from kioskd.call import picture_seams
from kioskd.picture import vpx
from kioskd.picture.coder import Coder
from kioskd.picture.ladder import START_BPS, Ladder, Profile, Rung
from kioskd.picture.pacing import KeyFrames, Pacer, Thinner

log = structlog.get_logger(__name__)

HEADER_BITS: Final = 8 * 72
"""IPv4, UDP, RTP with its extensions, the payload's descriptor and SRTP's tag."""
ENOUGH: Final = 3.0
"""More than so many times what the size needs is not seen."""
FIRST_SIZE: Final = (640, 480)
_TAKEN: Final = 0.95
"""Of the far end's estimate; the rest is for what is sent once more."""


class LegPicture:
    """Takes over the transceiver of pictures. Raises OSError where libvpx is missing.

    Encoding is on a thread of the leg's own. `tell` hears each estimate of the far end's, in bits
    per second.
    """

    def __init__(
        self,
        video: RTCRtpTransceiver,
        profile: Profile = Profile.ORDINARY,
        tell: Callable[[float], None] = lambda _: None,
    ) -> None:
        vpx.check()
        self._tell = tell
        self._target_bps: float = START_BPS
        self._told = False
        self.rung: Rung | None = None
        self.pictures = 0
        self.key_frames = 0
        self._ladder = Ladder(profile)
        self._thinner = Thinner()
        self._keys = KeyFrames()
        self._pacer = Pacer(START_BPS)
        self._coder = Coder()
        self._failing = False
        self._size = FIRST_SIZE
        self._picture_id = random.randrange(picture_seams.PICTURE_IDS)  # noqa: S311  # no secret
        self._thread = ThreadPoolExecutor(1, "picture")
        capabilities = RTCRtpReceiver.getCapabilities("video")
        assert capabilities is not None
        video.setCodecPreferences(
            [c for c in capabilities.codecs if c.mimeType.lower() in ("video/vp8", "video/rtx")]
        )
        picture_seams.send_with(video.sender, self._next)
        picture_seams.hear_requests(video.sender, self._keys.ask)
        picture_seams.hear_estimates(video.sender, self._estimated)
        picture_seams.pace(video.sender, self._pacer)

    @property
    def target_bps(self) -> float:
        """What the line has for our pictures, in bits per second, headers included.

        May be set at any time, from the loop, and holds from the next picture on; until somebody
        does, it follows the far end's estimate.
        """
        return self._target_bps

    @target_bps.setter
    def target_bps(self, bps: float) -> None:
        self._target_bps, self._told = bps, True

    @property
    def need_bps(self) -> float:
        """What the camera's picture, at its full size, needs to look well."""
        return self._ladder.need(*self._size)

    def close(self) -> None:
        """Let the thread end, after the picture it has in hand."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _estimated(self, bps: float) -> None:
        if not self._told:
            self._target_bps = _TAKEN * bps
        self._tell(bps)

    async def _next(self, track: MediaStreamTrack) -> picture_seams.Payloads | None:
        loop = asyncio.get_running_loop()
        # Before the picture is taken, so that it is a fresh one.
        await asyncio.sleep(self._pacer.wait_s(loop.time()))
        frame = await track.recv()
        assert isinstance(frame, VideoFrame)
        assert frame.pts is not None
        self._size = frame.width, frame.height
        now, target = loop.time(), self._target_bps
        rung = self._ladder.choose(target, frame.width, frame.height, now)
        if not self._thinner.takes(rung.fps, frame.pts / vpx.CLOCK):
            return None
        self.rung = rung
        most = ENOUGH * self._ladder.need(frame.width, frame.height)
        self._pacer.bps = bps = min(target, most)
        encoded = await self._encode(frame, rung, bps, key=self._keys.due(now))
        if encoded is None:
            return None
        self.pictures += 1
        if encoded.key:
            self.key_frames += 1
            self._keys.sent(now)
        self._picture_id = (self._picture_id + 1) % picture_seams.PICTURE_IDS
        return picture_seams.payloads(encoded.data, self._picture_id), frame.pts

    async def _encode(
        self, frame: VideoFrame, rung: Rung, bps: float, *, key: bool
    ) -> vpx.Encoded | None:
        # Half a packet more than the average: the last of a picture is not full.
        packets = rung.fps / 2 + bps / 8 / picture_seams.PAYLOAD_BYTES
        loop = asyncio.get_running_loop()
        left = bps - HEADER_BITS * packets - self._pacer.resent_bps(loop.time())
        share = max(left, bps / 3, vpx.LEAST_BPS)
        assert frame.pts is not None
        try:
            encoded = await loop.run_in_executor(
                self._thread,
                lambda: self._coder.encode(frame, frame.pts or 0, rung, share, key=key),
            )
        except ValueError as error:
            # An error raised from here would end the picture for the rest of the call.
            if not self._failing:
                log.warning("picture.lost", error=str(error))
            self._failing = True
            return None
        if self._failing:
            log.info("picture.back")
        self._failing = False
        return encoded
