"""What slices, intra refresh and VP8's resilience do for a picture on a line that loses packets.

A clip is encoded, cut into packets as in a call, and sent over a line of arithmetic: a one-way
delay, losses by a seed, and what is asked for again. No clock is in it, so that a run gives the
same figures on any machine. Two receivers:

    whole     as browsers do: a picture is decoded once it and all before it are there; one that
              is given up is asked for as a key picture
    patching  decodes at its time what is there, and the decoder patches the rest

Each with and without packets being sent once more (NACK). `build/bench/loss.json` has it.

    python -m bench.loss [SEEDS]
"""

from __future__ import annotations

import json
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from aiortc.codecs.h264 import H264PayloadDescriptor
from aiortc.codecs.vpx import VpxPayloadDescriptor
from av import Packet, VideoFrame
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from rich.console import Console
from rich.table import Table

from kioskd.call import codec_seams
from kioskd.picture import h264, nal, vpx
from kioskd.picture.coder import Encoder
from kioskd.picture.encoded import CLOCK, Codec, Encoded
from kioskd.picture.pacing import MOST_PAYLOAD_BYTES
from tests.pictures import planes, psnr

WIDTH, HEIGHT, FPS = 480, 360, 30
BPS: Final = 300_000
SECONDS: Final = 12
ROUND_TRIP_S: Final = 0.07
PLAYOUT_S: Final = 0.15
"""From when a picture is taken to when it is to be seen."""
TRIES: Final = 10
"""How often a packet is asked for: libwebrtc's figure."""
GIVE_UP_S: Final = 0.2
"""Without packets sent once more: how long a gap is waited for until a key picture is asked for."""
KEY_EVERY_S: Final = 1.0
FROZEN_S: Final = 0.2
OUT: Final = Path(__file__).parents[1] / "build" / "bench" / "loss.json"


def x264(parameters: str) -> Callable[[], Encoder]:
    """Return what makes libx264 as in a call, but for these parameters."""
    options = {**h264.SOFTWARE.options}
    options["x264-params"] += ":" + parameters
    return partial(h264.Encoder, h264.Kind("libx264", True, None, options), WIDTH, HEIGHT, BPS)


def resilient(partitions: int) -> Callable[[], Encoder]:
    """Return what makes libvpx with pictures that hang less on each other."""

    def make() -> Encoder:
        encoder: Any = vpx.Encoder(WIDTH, HEIGHT, BPS)
        encoder._config.g_error_resilient = 3 if partitions else 1  # no setting of ours
        encoder._lib.vpx_codec_enc_config_set(encoder._context, encoder._config)
        value = encoder._ffi.cast("int", partitions)
        encoder._lib.vpx_codec_control_(encoder._context, vpx._SET_PARTITIONS, value)
        made: Encoder = encoder
        return made

    return make


ENCODERS: Final[Mapping[str, Callable[[], Encoder]]] = {
    "VP8, as in a call": partial(vpx.Encoder, WIDTH, HEIGHT, BPS),
    "VP8, error-resilient": resilient(0),
    "VP8, and 8 partitions": resilient(3),
    "H.264, as in a call": x264("slices=1"),
    "H.264, slices of a packet": x264("slice-max-size=1150"),
    "H.264, intra refresh in 2 s": x264("intra-refresh=1:keyint=60"),
    "H.264, refresh and slices": x264("intra-refresh=1:keyint=60:slice-max-size=1150"),
}


def steady(chance: random.Random) -> Iterator[bool]:
    """Lose 2 % of all packets, one by one."""
    while True:
        yield chance.random() < 0.02


def bursts(chance: random.Random) -> Iterator[bool]:
    """Lose 2 % of all packets in bursts of five (Gilbert-Elliott)."""
    bad = False
    while True:
        bad = chance.random() < (0.8 if bad else 0.2 * 0.02 / 0.98)
        yield bad


LINES: Final = {"2 %, one by one": steady, "2 %, in bursts": bursts}


@dataclass
class Result:
    """Means over a run: dB of what is seen against what should be, seconds of stills, bit/s."""

    psnr: float
    frozen_s: float
    bps: float
    keys: float


@cache
def source(number: int) -> VideoFrame:
    """Return a picture of the clip."""
    return VideoFrame.from_ndarray(planes(number, WIDTH, HEIGHT), format="yuv420p")


class Line:
    """When packets arrive, and what is sent beyond the first time."""

    def __init__(self, lost: Iterator[bool], *, again: bool) -> None:
        self._lost = lost
        self._again = again
        self.bytes = 0

    def send(self, size: int, at: float) -> float:
        """Return when a packet sent at `at` is there; never: infinity."""
        # The gap is seen by the next packet, a picture later at the most.
        for attempt in range(1 + TRIES * self._again):
            self.bytes += size + 72
            if not next(self._lost):
                return at + ROUND_TRIP_S / 2 + attempt * (ROUND_TRIP_S + 0.5 / FPS)
        return float("inf")


@dataclass
class Sent:
    """A picture on its way: its payloads, and when each is there."""

    number: int
    encoded: Encoded
    payloads: list[bytes]
    arrivals: list[float]

    def there(self, at: float) -> list[bytes]:
        return [one for one, when in zip(self.payloads, self.arrivals, strict=True) if when <= at]

    @property
    def whole_at(self) -> float:
        return max(self.arrivals)


def is_key(encoded: Encoded) -> bool:
    """Tell whether a receiver can begin with it; FFmpeg flags the begin of a refresh too."""
    return encoded.key if encoded.codec is Codec.VP8 else nal.is_key(encoded.data)


def joined(codec: Codec, some: list[bytes], all_: list[bytes]) -> bytes:
    """Return what a decoder can be given of these payloads."""
    if codec is Codec.H264:
        return b"".join(_units(some))
    first = [VpxPayloadDescriptor.parse(one)[1] for one in all_]
    there = 0
    while there < len(some) and some[there] is all_[there]:
        there += 1
    return b"".join(first[:there])  # its arithmetic coding ends at the first gap


def _units(some: list[bytes]) -> Iterator[bytes]:
    part, last = b"", False
    for one in some:
        if one[0] & 31 != 28:
            yield H264PayloadDescriptor.parse(one)[1]
            continue
        descriptor, data = H264PayloadDescriptor.parse(one)
        part = data if descriptor.first_fragment else part + data if part else b""
        last = bool(one[1] & 0x40)
        if last and part:
            yield part
            part = b""


class Decoder:
    """FFmpeg's, which patches what is missing."""

    def __init__(self, codec: Codec) -> None:
        context = av.CodecContext.create(codec.value.lower(), "r")
        assert isinstance(context, VideoCodecContext)
        self._context = context
        self._context.thread_count = 1
        self._context.flags |= 1 << 19  # AV_CODEC_FLAG_LOW_DELAY

    def decode(self, data: bytes) -> VideoFrame | None:
        try:
            frames = self._context.decode(Packet(data)) if data else []
        except FFmpegError:
            return None
        return frames[-1] if frames else None


GREY: Final = VideoFrame.from_ndarray(
    np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8), format="yuv420p"
)


class Viewer:
    """What is on the screen, and how good and how fresh it is."""

    def __init__(self) -> None:
        self._shown = GREY
        self._fresh_at = 0.0
        self.frozen_s = 0.0
        self.quality: list[float] = []

    def show(self, picture: VideoFrame | None, at: float) -> None:
        if picture is not None:
            gap = at - self._fresh_at
            self.frozen_s += gap if gap > FROZEN_S else 0
            self._shown, self._fresh_at = picture, at

    @property
    def blind(self) -> bool:
        """True until there is a picture."""
        return self._shown is GREY

    def judge(self, number: int) -> None:
        if number >= FPS:
            self.quality.append(min(60.0, psnr(self._shown, source(number))))


class Call:
    """One run: an encoder, a line and a receiver."""

    def __init__(self, make: Callable[[], Encoder], line: Line, *, patching: bool) -> None:
        self._encoder = make()
        self._line = line
        self._patching = patching
        self._waiting: list[Sent] = []
        self._decoder: Decoder | None = None
        self._viewer = Viewer()
        self._key_wanted_at: float | None = None
        self._key_sent_at = float("-inf")
        self._broken = False
        self.keys = 0

    def run(self) -> Result:
        for number in range(SECONDS * FPS):
            taken = number / FPS
            self._send(number, taken)
            # What is to be seen now was taken PLAYOUT_S ago.
            due = number - round(PLAYOUT_S * FPS)
            if due >= 0:
                (self._patch if self._patching else self._wait)(due, taken)
                self._viewer.judge(due)
        self._viewer.show(source(0), SECONDS)
        return Result(
            statistics.fmean(self._viewer.quality),
            self._viewer.frozen_s,
            self._line.bytes * 8 / SECONDS,
            self.keys,
        )

    def _send(self, number: int, now: float) -> None:
        wanted = self._key_wanted_at
        key = wanted is not None and now >= max(
            wanted + ROUND_TRIP_S / 2, self._key_sent_at + KEY_EVERY_S
        )
        encoded = self._encoder.encode(source(number), number * CLOCK // FPS, key=key)
        if encoded is None:
            return
        if is_key(encoded):
            self.keys += 1
            self._key_wanted_at, self._key_sent_at = None, now
        payloads = codec_seams.payloads(encoded, number % (1 << 15), MOST_PAYLOAD_BYTES)
        arrivals = [self._line.send(len(one), now) for one in payloads]
        self._waiting.append(Sent(number, encoded, payloads, arrivals))

    def _decode(self, sent: Sent, at: float, payloads: list[bytes]) -> None:
        codec = sent.encoded.codec
        self._decoder = self._decoder or Decoder(codec)
        data = joined(codec, payloads, sent.payloads)
        self._viewer.show(self._decoder.decode(data), at)

    def _wait(self, due: int, now: float) -> None:
        """Decode all that is whole, in order; ask for a key picture instead of what is lost."""
        while self._waiting and self._waiting[0].number <= due:
            sent = self._waiting[0]
            if sent.whole_at <= now and (not self._broken or is_key(sent.encoded)):
                self._broken = False
                self._decode(sent, now, sent.payloads)
            elif not self._broken and (
                sent.whole_at < float("inf") or now - sent.number / FPS < GIVE_UP_S
            ):
                return
            else:
                self._broken = True
                self._ask(now)
            self._waiting.pop(0)

    def _patch(self, due: int, now: float) -> None:
        """Decode what is there of the picture that is due."""
        while self._waiting and self._waiting[0].number <= due:
            sent = self._waiting.pop(0)
            self._decode(sent, now, sent.there(now))
            if self._viewer.blind:
                self._ask(now)

    def _ask(self, now: float) -> None:
        if self._key_wanted_at is None:
            self._key_wanted_at = now


def main() -> None:
    """Measure all, print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    av.logging.set_level(av.logging.PANIC)
    found: dict[str, dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for name, make in ENCODERS.items():
        for line, lose in LINES.items():
            for again in (True, False):
                for patching in (False, True):
                    way = f"{'patching' if patching else 'whole'}, {'NACK' if again else 'no NACK'}"
                    for seed in range(seeds):
                        lost = lose(random.Random(seed))
                        run = Call(make, Line(lost, again=again), patching=patching).run()
                        found[f"{line}; {way}"][name].append(run)
    means = {
        case: {name: _mean(runs) for name, runs in rows.items()} for case, rows in found.items()
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    figures = {c: {n: asdict(r) for n, r in rows.items()} for c, rows in means.items()}
    OUT.write_text(json.dumps(figures, indent=1))
    _print(means)


def _mean(runs: list[Result]) -> Result:
    rows = np.array([list(asdict(one).values()) for one in runs])
    return Result(*map(float, rows.mean(axis=0)))


def _print(means: Mapping[str, Mapping[str, Result]]) -> None:
    table = Table("encoder", *means, title=f"dB / s frozen of {SECONDS} / kbit/s / key pictures")
    for name in ENCODERS:
        table.add_row(
            name,
            *(
                f"{r.psnr:.1f} / {r.frozen_s:.1f} / {r.bps / 1000:.0f} / {r.keys:.0f}"
                for r in (rows[name] for rows in means.values())
            ),
        )
    Console(width=220).print(table)


if __name__ == "__main__":
    main()
