"""A leg's own picture: what the leg sets up once and then leaves alone."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog
from aiortc import RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamTrack
from av import VideoFrame

from kioskd.call import codec_seams, picture_seams
from kioskd.call.coding import LegCoder
from kioskd.picture import vpx
from kioskd.picture.encoded import CLOCK, Codec, Encoded
from kioskd.picture.ladder import FAR, Ladder, Profile, Rung
from kioskd.picture.pacing import KeyFrames, Pacer, Thinner, payload_bytes
from kioskd.picture.passing import Passing

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

    `start_bps` is what `target_bps` begins with. `coder` encodes, and is closed with it; none:
    libvpx does. `tell` hears each estimate of the far end's, in bits per second.
    """

    def __init__(
        self,
        video: RTCRtpTransceiver,
        start_bps: float,
        profile: Profile = Profile.ORDINARY,
        tell: Callable[[float], None] = lambda _: None,
        coder: LegCoder | None = None,
    ) -> None:
        self._coder = coder or LegCoder()
        self._tell = tell
        self._target_bps = start_bps
        self._told = False
        self.rung: Rung | None = None
        self.pictures = 0
        self.key_frames = 0
        self._ladder = Ladder(profile)
        self._thinner = Thinner()
        self._keys = KeyFrames()
        self._pacer = Pacer(start_bps)
        self._passing = Passing()
        self._passed: deque[Encoded] = deque()
        self._failing = False
        self._size = FIRST_SIZE
        self._picture_id = random.randrange(picture_seams.PICTURE_IDS)  # noqa: S311  # no secret
        codec_seams.offer(video, h264=self._coder.offers_h264)
        self._marking = codec_seams.Marking(video.sender)
        self._coder.takes_h264 = lambda: self._marking.takes(Codec.H264)
        picture_seams.send_with(video.sender, self._next)
        picture_seams.hear_requests(video.sender, self._keys.ask)
        picture_seams.hear_estimates(video.sender, self._estimated)
        self._end_pacing = picture_seams.pace(video.sender, self._pacer)

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

    @property
    def least_bps(self) -> float:
        """With less than that the picture would have to be smaller than it is now."""
        now = self.rung
        return 0.0 if now is None else FAR * self._ladder.need(now.width, now.height)

    def close(self) -> None:
        """Let the coder end, after the picture it has in hand; send nothing once more."""
        self._end_pacing()
        self._coder.close()

    def _estimated(self, bps: float) -> None:
        if not self._told:
            self._target_bps = _TAKEN * bps
        self._tell(bps)

    async def _next(self, track: MediaStreamTrack) -> picture_seams.Payloads | None:
        loop = asyncio.get_running_loop()
        # Before the picture is taken, so that it is a fresh one.
        await asyncio.sleep(self._pacer.wait_s(loop.time()))
        if self._passed:
            return self._payloads(self._passed.popleft(), loop.time())
        frame = await track.recv()
        assert isinstance(frame, VideoFrame)
        assert frame.pts is not None
        self._size = frame.width, frame.height
        now, target = loop.time(), self._target_bps
        rung = self._ladder.choose(target, frame.width, frame.height, now)
        key = self._keys.due(now)
        if self._passes(frame, rung, target, key=key):
            self.rung, self._pacer.bps = rung, target
            return self._payloads(self._passed.popleft(), now)
        if not self._thinner.takes(rung.fps, frame.pts / CLOCK):
            return None
        self.rung = rung
        most = ENOUGH * self._ladder.need(frame.width, frame.height)
        self._pacer.bps = bps = min(target, most)
        encoded = await self._encode(frame, rung, bps, key=key)
        return None if encoded is None else self._payloads(encoded, now)

    def _passes(self, frame: VideoFrame, rung: Rung, bps: float, *, key: bool) -> bool:
        """Take what the camera has coded itself, where that fits."""
        coded = frame.opaque
        if not isinstance(coded, tuple) or not self._marking.takes(Codec.H264):
            self._passing.on = False
            return False
        size = (frame.width, frame.height)
        room = bps - HEADER_BITS * (rung.fps / 2 + bps / 8 / payload_bytes(bps))
        self._passed.extend(self._passing.take(coded, size, rung, room, key=key))
        if self._passed:
            self._coder.interrupt()
        return bool(self._passed)

    def _payloads(self, encoded: Encoded, now: float) -> picture_seams.Payloads | None:
        if not self._marking.takes(encoded.codec):
            return None  # an agent that takes H.264 only, and there is none
        self.pictures += 1
        if encoded.key:
            self.key_frames += 1
            self._keys.sent(now)
        self._picture_id = (self._picture_id + 1) % picture_seams.PICTURE_IDS
        self._marking.use(encoded.codec)
        most = payload_bytes(self._pacer.bps)
        return codec_seams.payloads(encoded, self._picture_id, most), encoded.pts

    async def _encode(
        self, frame: VideoFrame, rung: Rung, bps: float, *, key: bool
    ) -> Encoded | None:
        # Half a packet more than the average: the last of a picture is not full.
        packets = rung.fps / 2 + bps / 8 / payload_bytes(bps)
        loop = asyncio.get_running_loop()
        left = bps - HEADER_BITS * packets - self._pacer.resent_bps(loop.time())
        share = max(left, bps / 3, vpx.LEAST_BPS)
        assert frame.pts is not None
        try:
            encoded = await self._coder.encode(frame, frame.pts, rung, share, key=key)
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
