"""A leg's rate control: what leaves and comes is told to it, and it tells who may send how much."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Final

import structlog
from aiortc import RTCDtlsTransport, RTCPeerConnection

from kioskd.call import feedback_seams
from kioskd.call.brake import LegBrake
from kioskd.call.picture import LegPicture
from kioskd.call.sound import LegSound
from kioskd.rate import feedback
from kioskd.rate.control import Controller
from kioskd.rate.sent import Sent
from kioskd.rate.shares import Bucket, share

log = structlog.get_logger(__name__)

TELL_S: Final = 0.1
"""How often the far end is told what came, where there is room for it: libwebrtc takes 50 to
250 ms, and 5 % of the rate."""
THIN_BPS: Final = 150_000
"""Below it half as often: ten feedbacks a second are some 6 kbit/s, 4 % of this."""
LATELY_S: Final = 0.5
DOCUMENT_S: Final = 1.0
"""A document that nobody asked room for, for so long, is over."""
SCTP_SHARE: Final = 1.08
"""What headers add to a document: some 90 bytes to 1200."""


class LegRate:
    """Takes over who may send how much on a leg whose far end gives transport-wide feedback.

    Until the first feedback nothing is changed. `start_bps` is what may be sent then; `learn` is
    told what is carried, while no queue is emptied, and whether the line has been full;
    `queue_gone` is called in a pause of our speech after a long queue on our way is gone.
    """

    def __init__(
        self,
        picture: LegPicture,
        sound: LegSound,
        start_bps: float,
        learn: Callable[[float, bool], None],
        queue_gone: Callable[[], None],
    ) -> None:
        self.controller = Controller(start_bps)
        self._learn = learn
        self._queue_gone = queue_gone
        self._picture = picture
        self._sound = sound
        self._sent = Sent()
        self._arrivals = feedback.Arrivals()
        self._source = 0
        self._bucket = Bucket()
        self._brake = LegBrake(self._warn, sound.queue_gone)
        self._asked_at = float("-inf")
        self._history: deque[tuple[float, int, int]] = deque()
        self._now = asyncio.get_running_loop().time
        self._heard = False

    def take_over(
        self, connection: RTCPeerConnection, extension: int
    ) -> list[Coroutine[None, None, None]]:
        """Reach into a connection whose answer is not applied yet; return what is to be run."""
        sender = connection.getTransceivers()[0].sender
        transport = sender.transport
        for transceiver in connection.getTransceivers():
            feedback_seams.leave_place(transceiver.sender, extension)
            feedback_seams.estimate_no_more(transceiver.receiver)
        feedback_seams.count(
            transport,
            extension,
            lambda size: self._sent.number(size, self._now()),
            self._sent.other,
        )
        feedback_seams.hear(transport, extension, self._came, self._told)
        self._sound.on_packet = self._brake.spoke
        source = feedback_seams.source(sender)
        return [self._run(transport, source), self._brake.run(transport, source)]

    async def _run(self, transport: RTCDtlsTransport, source: int) -> None:
        thin = False
        while True:
            await asyncio.sleep(TELL_S)
            now = self._now()
            self._remember(now)
            self.controller.tick(now, self._sent.unheard_at)
            self._share(now)
            if self._heard and not self.controller.emptying:
                full, bps = self.controller.full, self.controller.bps
                # What was not sent was not carried.
                self._learn(bps if full else min(bps, self._sending_bps()[0]), full)
            thin = not thin and self._heard and self.controller.bps < THIN_BPS
            for fci in [] if thin else self._arrivals.take():
                try:
                    await feedback_seams.tell(transport, feedback.packet(source, self._source, fci))
                except ConnectionError:
                    break  # the leg tells of its end by itself

    def room(self) -> int | None:
        """Return the bytes of a document that may be handed on now; None: nobody knows."""
        self._asked_at = now = self._now()
        return int(self._bucket.room(now) / SCTP_SHARE) if self._heard else None

    def took(self, size: int) -> None:
        """Note the bytes of a document that were handed on."""
        self._bucket.take(round(size * SCTP_SHARE))

    def _came(self, number: int, source: int, size: int) -> None:
        self._source = source
        self._brake.count(size)
        self._arrivals.note(number, self._now())

    def _told(self, fci: bytes) -> None:
        now = self._now()
        try:
            reports = self._sent.match(feedback.parse(fci), now)
        except ValueError as error:
            log.warning("rate.feedback_broken", error=str(error))
            return
        self._heard = self._heard or bool(reports)
        before = self.controller.queues_gone
        self.controller.hear(reports, self._sending_bps()[0], now)
        if self.controller.queues_gone > before:
            self._sound.at_pause(self._queue_gone)
        self._share(now)

    def _warn(self) -> None:
        now = self._now()
        self.controller.warn(now)
        self._share(now)

    def _remember(self, now: float) -> None:
        self._history.append((now, self._sent.total, self._sent.media))
        while self._history[0][0] < now - LATELY_S:
            self._history.popleft()

    def _sending_bps(self) -> tuple[float, float]:
        """Return what all sent of late, and what speech and picture did of it."""
        if len(self._history) < 2:
            return 0.0, 0.0
        (begin, total, media), (end, last, last_media) = self._history[0], self._history[-1]
        return 8 * (last - total) / (end - begin), 8 * (last_media - media) / (end - begin)

    def _share(self, now: float) -> None:
        if not self._heard:
            return
        under_way = now - self._asked_at < DOCUMENT_S
        shares = share(
            self.controller.bps,
            self._sound.sending_bps,
            self._picture.need_bps,
            self._sending_bps()[1] if under_way else None,
        )
        picture = shares.picture
        if self.controller.emptying and picture < self._picture.least_bps:
            picture = 0.0  # a still for a moment, rather than a small picture for ten seconds
        self._sound.rate.available_bps = shares.speech
        self._picture.target_bps = picture
        self._bucket.bps = shares.documents
