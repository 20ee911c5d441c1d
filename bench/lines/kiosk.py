"""The kiosk's end of a call, a process of its own: kioskd's leg, or aiortc as it comes.

    python -m bench.lines.kiosk {kioskd,aiortc} CLIP OUT

It says its offer, hears the answer, and says when it is connected; then it hears how large a
document to send, if any; all as JSON by the line. The end of stdin ends it: it then writes its
Recording to OUT and says that it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import pickle
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcconfiguration import RTCBundlePolicy

from bench.lines.recording import Concealment
from bench.lines.senses import Senses
from kioskd.app.transfers import LOOK_S
from kioskd.call import seams
from kioskd.call.channels import TO_AGENT
from kioskd.call.leg import Leg, LegState
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.call.statistics import SoundStats
from kioskd.documents.frames import OFFSET_BYTES
from kioskd.documents.transfer import LEAST_CHUNK_BYTES
from kioskd.hal.microphone import CHUNK_BYTES, CHUNK_SAMPLES, SAMPLE_RATE
from kioskd.logging import configure

STATS_S: Final = 1.0
CHUNK: Final = 64 * 1024
LEAST: Final = LEAST_CHUNK_BYTES + OFFSET_BYTES


class End(ABC):
    """One way to hold the kiosk's end."""

    def __init__(self, senses: Senses) -> None:
        self.senses = senses
        self.connected = asyncio.Event()
        self.states: list[tuple[float, str]] = []

    @abstractmethod
    async def offer(self) -> str:
        """Return the offer, with all candidates."""

    @abstractmethod
    async def accept(self, sdp: str) -> None:
        """Take the answer."""

    @abstractmethod
    async def stats(self) -> dict[str, Any]:
        """Return what this end knows of the line."""

    @abstractmethod
    async def scan(self, size: int) -> None:
        """Send a document of `size` bytes."""

    @abstractmethod
    async def close(self) -> None:
        """Hang up."""

    def concealment(self) -> Concealment | None:
        """Return how much sound was made up by now; None where none ever is."""
        return None

    def note(self, state: str) -> None:
        """Write a change of state down."""
        self.states.append((time.time(), state))
        if state == "connected":
            self.connected.set()


class KioskdEnd(End):
    """kioskd's leg as it is, and of its screen page the decoder."""

    def __init__(self, senses: Senses) -> None:
        super().__init__(senses)
        self._asking: set[asyncio.Task[None]] = set()
        self._heard: SoundStats | None = None
        self._leg = Leg(
            ice_servers=[],
            audio=MicrophoneTrack(senses.chunk),
            video=CameraTrack(senses.frame),
            on_control=lambda _: None,
            on_document=lambda _, __: None,
            on_remote_video=self._see,
            on_remote_audio=senses.play,
            on_state=self._state,
        )

    async def offer(self) -> str:
        """Return the leg's offer."""
        return await self._leg.offer()

    async def accept(self, sdp: str) -> None:
        """Hand it to the leg."""
        await self._leg.accept(sdp)

    async def stats(self) -> dict[str, Any]:
        """Return the leg's figures."""
        stats = await self._leg.stats()
        self._heard = stats.sound
        return dataclasses.asdict(stats)

    def concealment(self) -> Concealment | None:
        """Return what the jitter buffer told at the last look."""
        if self._heard is None:
            return None
        total, made_up = self._heard.played_s, self._heard.concealed_s
        return Concealment(time.time(), round(total * SAMPLE_RATE), round(made_up * SAMPLE_RATE))

    async def scan(self, size: int) -> None:
        """Send what there is room for, as kioskd.app.transfers does."""
        while size > 0:
            while (chunk := min(CHUNK, size, self._leg.room(TO_AGENT))) >= min(LEAST, size):
                self._leg.send_document(TO_AGENT, bytes(chunk))
                size -= chunk
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """Close the leg."""
        await self._leg.close()

    def _state(self, state: LegState) -> None:
        self.note(state.value)

    def _see(self, data: bytes, _: int, key: bool) -> None:
        if not self.senses.show_encoded(data, key):
            asking = asyncio.ensure_future(self._leg.request_keyframe())
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)


class StockEnd(End):
    """aiortc with tracks and nothing else: none of kioskd's seams.

    But for one that finds no address without it, on a machine without a network.
    """

    def __init__(self, senses: Senses) -> None:
        super().__init__(senses)
        self._tasks: list[asyncio.Task[None]] = []
        self._tracks = (MicrophoneTrack(senses.chunk), CameraTrack(senses.frame))
        self._pc = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._pc.on("track", self._arrived)
        self._pc.on("connectionstatechange", lambda: self.note(self._pc.connectionState))

    async def offer(self) -> str:
        """Offer both tracks."""
        for track in self._tracks:
            self._pc.addTrack(track)
        # After the tracks: with the channel made first, aiortc 1.16 never connects.
        self._channel = self._pc.createDataChannel(TO_AGENT)
        transport = self._pc.getTransceivers()[0].receiver.transport
        seams.gather_loopback(transport.transport.iceGatherer)
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return self._pc.localDescription.sdp

    async def accept(self, sdp: str) -> None:
        """Take the answer."""
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def stats(self) -> dict[str, Any]:
        """Return aiortc's counters that tell of loss."""
        report = await self._pc.getStats()
        return {
            f"{one.kind}_{name}": getattr(one, name)
            for one in report.values()
            if one.type == "inbound-rtp"
            for name in ("packetsReceived", "packetsLost", "jitter")
        }

    async def scan(self, size: int) -> None:
        """Send chunks as fast as the channel drains."""
        drained = asyncio.Event()
        self._channel.bufferedAmountLowThreshold = CHUNK
        self._channel.on("bufferedamountlow", drained.set)
        for _ in range(0, size, CHUNK):
            drained.clear()
            self._channel.send(bytes(CHUNK))
            if self._channel.bufferedAmount > CHUNK:
                await drained.wait()

    async def close(self) -> None:
        """Hang up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pc.close()
        for track in self._tracks:
            track.stop()

    def _arrived(self, track: MediaStreamTrack) -> None:
        work = self._watch(track) if track.kind == "video" else self._listen(track)
        self._tasks.append(asyncio.create_task(work, name=f"remote {track.kind}"))

    async def _listen(self, track: MediaStreamTrack) -> None:
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE, CHUNK_SAMPLES)
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.AudioFrame)
                for part in resampler.resample(frame):
                    await self.senses.play(bytes(part.planes[0])[:CHUNK_BYTES])

    async def _watch(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.VideoFrame)
                self.senses.show(frame)


ENDS: Final = {"kioskd": KioskdEnd, "aiortc": StockEnd}


async def _run(kind: str, pictures: Path, out: Path) -> None:
    end = ENDS[kind](Senses(pictures))
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    _say({"offer": await end.offer()})
    await end.accept(json.loads(await reader.readline())["answer"])
    ending = asyncio.create_task(_obey(reader, end), name="stdin")
    connected = asyncio.create_task(end.connected.wait(), name="connected")
    await asyncio.wait([ending, connected], return_when=asyncio.FIRST_COMPLETED)
    if connected.done():
        _say({"connected": time.time()})
    connected.cancel()
    history, concealment = [], []
    while not ending.done():
        history.append({"at": time.time(), **await end.stats()})
        if (made_up := end.concealment()) is not None:
            concealment.append(made_up)
        await asyncio.wait([ending], timeout=STATS_S)
    cpu = sum(os.times()[:2])
    states = list(end.states)
    await end.close()
    recording = end.senses.recording(concealment)
    recording.notes.update(states=states, stats=history, cpu_s=cpu)
    await asyncio.to_thread(out.write_bytes, pickle.dumps(recording))
    _say({"written": str(out)})


async def _obey(reader: asyncio.StreamReader, end: End) -> None:
    scanning: asyncio.Task[None] | None = None
    while line := await reader.readline():
        scanning = asyncio.create_task(end.scan(json.loads(line)["scan"]), name="scan")
    if scanning is not None:
        scanning.cancel()
        await asyncio.gather(scanning, return_exceptions=True)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    """Hold an end: KIND CLIP OUT."""
    configure()
    kind, pictures, out = sys.argv[1:4]
    asyncio.run(_run(kind, Path(pictures), Path(out)))


if __name__ == "__main__":
    main()
