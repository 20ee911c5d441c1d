"""A leg's sound, both ways: what the leg sets up once and then leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiortc import RTCRtpReceiver, RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RtpPacket

from kioskd.call import cost_seams, sound_seams
from kioskd.call.arrival_seams import follow_reports
from kioskd.call.description import RED_TYPE
from kioskd.call.speech import Adaptation, SpeechEncoder
from kioskd.call.statistics import SoundStats
from kioskd.call.voice import Voice
from kioskd.hal.microphone import SAMPLE_RATE
from kioskd.picture.lipsync import Clock, LipSync


class LegSound:
    """Takes over the transceiver of sound. Raises OSError where libopus is missing.

    `rate` chooses how our speech goes out: it is told what the line has for it. `on_packet` is told
    of each packet of the agent's voice: its SSRC and RTP's timestamp.
    """

    def __init__(self, audio: RTCRtpTransceiver, lips: LipSync) -> None:
        self.on_packet: Callable[[int, int], None] = lambda *_: None
        self._audio = audio
        self._voice = Voice(lips)
        self._speech = SpeechEncoder()
        self.rate = Adaptation(self._speech)
        capabilities = RTCRtpReceiver.getCapabilities("audio")
        assert capabilities is not None
        # RFC 7874, section 3: every browser has Opus.
        audio.setCodecPreferences([c for c in capabilities.codecs if c.mimeType == "audio/opus"])
        sound_seams.divert(audio.receiver, self._take)
        follow_reports(audio.receiver, Clock.SOUND, lips)
        cost_seams.send_speech(audio.sender, self._speech)

    def _take(self, packet: RtpPacket) -> None:
        self._voice.take(packet)
        self.on_packet(packet.ssrc, packet.timestamp)

    def queue_gone(self) -> None:
        """Play the agent's voice as on a line that never had the queue that is gone now."""
        self._voice.queue_gone()

    def at_pause(self, tell: Callable[[], None]) -> None:
        """Call once, when our own voice pauses next, or after a while if it does not."""
        self._speech.pauses.at_next(tell)

    @property
    def sending_bps(self) -> float:
        """What our speech takes of the line while somebody speaks, headers included."""
        return self._speech.settings.line_bps

    def use_red(self) -> None:
        """Take and send RED. To be called before the answer is applied."""
        sound_seams.receive_red(self._audio.receiver, RED_TYPE)
        sound_seams.send_red(self._audio.sender, RED_TYPE)
        self._speech.red = True

    async def run(
        self,
        track: MediaStreamTrack,
        speaker_play: Callable[[bytes], Awaitable[None]],
        speaker_backlog: Callable[[], float | None],
    ) -> None:
        """Play the remote track, and follow its reports of our speech, until it ends."""
        following = asyncio.create_task(self.rate.follow(self._audio.sender), name="leg speech")
        try:
            await self._voice.play(track, speaker_play, speaker_backlog)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    def stats(self) -> SoundStats:
        """Return the totals of the agent's voice, and how our own speech goes out."""
        own = self._speech.settings
        return replace(
            self._voice.stats(),
            own_bit_rate=own.bit_rate,
            own_packet_s=own.samples / SAMPLE_RATE,
        )
