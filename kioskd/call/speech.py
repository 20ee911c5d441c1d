"""The kiosk's own speech, from the microphone's track to packets."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from aiortc import RTCRtpSender
from aiortc.codecs.base import Encoder
from av import AudioFrame
from av.frame import Frame
from av.packet import Packet

from kioskd.hal.microphone import CHUNK_BYTES
from kioskd.sound import opus, red
from kioskd.sound.ladder import SHORT_PACKETS_BPS, LossMemory, SpeechSettings, choose
from kioskd.sound.pause import Pauses

REPORT_S: Final = 1.0
"""The far end reports every half to one and a half seconds (aiortc), Chromium up to 5 s."""
OPUS_TYPE: Final = 96
_MOST_RED: Final = 2
_DTX_BYTES: Final = 2


class SpeechEncoder(Encoder):
    """Opus for one voice, in aiortc's place for encoders.

    `settings` may be set at any time from the loop; encoding is on a thread and takes them
    at its next packet. With `red` packets are in the form of RFC 2198.
    """

    def __init__(self) -> None:
        self.settings = SpeechSettings()
        self.red = False
        self._applied: SpeechSettings | None = None
        self._encoder = opus.Encoder(self.settings.bit_rate)
        self._sound = b""
        self._first = 0
        self._sent: deque[tuple[int, bytes]] = deque(maxlen=_MOST_RED)
        self._quiet = False
        self.pauses = Pauses()

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:  # noqa: ARG002  # aiortc's
        """Take 20 ms; return a packet, or none yet, and the timestamp of its first sample."""
        assert isinstance(frame, AudioFrame)
        return self.encode_samples(bytes(frame.planes[0])[:CHUNK_BYTES], frame.pts or 0)

    def encode_samples(self, pcm: bytes, pts: int) -> tuple[list[bytes], int]:
        """Do the same with CHUNK_BYTES of sound, the first sample being number `pts`."""
        self.pauses.hear(pcm)
        if pts != self._first + len(self._sound) // 2:
            self._sound = b""  # the sound had a gap
        if not self._sound:
            self._first = pts
            self._apply()
        self._sound += pcm
        assert self._applied is not None
        if len(self._sound) < 2 * self._applied.samples:
            return [], 0
        payload, self._sound = self._encoder.encode(self._sound), b""
        # The first packet of a silence tells the far end of it; the others say nothing more.
        silent = self._applied.dtx and len(payload) <= _DTX_BYTES
        said, self._quiet = self._quiet, silent
        if silent and said:
            return [], 0
        return [self._packed(payload)], self._first

    def pack(self, packet: Packet[Any]) -> tuple[list[bytes], int]:
        """Refuse what is encoded already: no track of ours gives that."""
        raise NotImplementedError

    def _packed(self, payload: bytes) -> bytes:
        if not self.red:
            return payload
        assert self._applied is not None
        depth = self._applied.red
        old = list(self._sent)[-depth:] if depth else []
        blocks = [red.Block(OPUS_TYPE, self._first - first, data) for first, data in old]
        self._sent.append((self._first, payload))
        return red.pack([*blocks, red.Block(OPUS_TYPE, 0, payload)])

    def _apply(self) -> None:
        wanted = self.settings
        if wanted == self._applied:
            return
        self._encoder.set_bit_rate(wanted.bit_rate)
        # The packet that is repeated whole is the one that FEC would tell of, at the rate's cost.
        self._encoder.set_loss(wanted.loss_percent, fec=wanted.red == 0)
        self._encoder.set_dtx(wanted.dtx)
        self._applied = wanted


class Adaptation:
    """Chooses how speech goes out: with more once a second, with less at once.

    After a drop, a second of speech that does not fit is a second of queue before all that follows.
    """

    def __init__(self, encoder: SpeechEncoder) -> None:
        self._encoder = encoder
        self._memory = LossMemory()
        self._available: float | None = None

    @property
    def available_bps(self) -> float | None:
        """What the line has for speech, headers included; None while nobody knows."""
        return self._available

    @available_bps.setter
    def available_bps(self, bps: float | None) -> None:
        self._available = bps
        if bps is not None and bps < self._encoder.settings.line_bps:
            self._choose(max(bps, SHORT_PACKETS_BPS))

    async def follow(self, sender: RTCRtpSender) -> None:
        """Follow what the far end reports of a sender's speech until cancelled."""
        seen: object = None
        while True:
            await asyncio.sleep(REPORT_S)
            for one in (await sender.getStats()).values():
                if one.type == "remote-inbound-rtp" and one.timestamp != seen:
                    seen = one.timestamp
                    self._memory.note(one.fractionLost / 256)  # RFC 3550, section 6.4.1
            self._choose(self._available)

    def _choose(self, available: float | None) -> None:
        self._encoder.settings = choose(self._memory.share, available, red=self._encoder.red)
