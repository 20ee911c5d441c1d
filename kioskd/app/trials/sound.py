"""The trials of sound: what the microphone hears, and whether it hears the loudspeaker."""

from __future__ import annotations

import asyncio
import io
import time
import wave
from typing import Final

import numpy as np

from kioskd.app.devices import Devices
from kioskd.app.levels import SILENT_PEAK
from kioskd.app.sound import VOLUME
from kioskd.app.trials.marks import Elsewhere, Marks
from kioskd.control.trial import Curve, Look, Untried
from kioskd.diagnostics import chirp
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceKind
from kioskd.hal.microphone import CHUNK_SAMPLES, SAMPLE_RATE, Microphone
from kioskd.hal.speaker import Speaker

LISTEN_S: Final = 3.0
CHUNK_S: Final = CHUNK_SAMPLES / SAMPLE_RATE
LOST: Final = (0.98, 0.8)
"""Shares of the sound that must have come: more than the one is well, less than the other not."""
CLIPPED: Final = (0.0005, 0.01)
"""Shares of samples at full scale that cannot be heard, and that hurt."""
LOUD_DBFS: Final = (-45.0, -60.0)
"""The loudspeaker as the microphone hears it: well, and so low that nobody understands it."""
SLOW_S: Final = 0.4
"""ITU-T G.114: more than 400 ms one way cannot be talked with."""
AHEAD: Final = 3
"""Chunks that wait in the speaker's queue, against the pauses of a busy machine."""
FULL: Final = 32_700


async def try_microphone(devices: Devices, marks: Marks) -> None:
    """Listen. Raises DeviceError."""
    async with devices.microphone.lease() as microphone:
        marks.device = microphone.description
        began = time.monotonic()
        pcm, _ = await _record(microphone, LISTEN_S, marks, began)
        took_s = time.monotonic() - began
    heard = chirp.wave_of(pcm)
    marks.show("microphone.wav", wav(pcm))
    marks.curves.append(_levels(heard))
    share = len(heard) / SAMPLE_RATE / took_s
    came = 1.0 if share >= LOST[0] else 0.5 if share >= LOST[1] else 0.0
    marks.mark(Look.SOUND, 40, came, percent=round(min(1.0, share) * 100))
    silent = not np.any(np.abs(heard) > SILENT_PEAK)
    marks.mark(Look.NOISE, 40, not silent, dbfs=round(chirp.dbfs(heard)))
    clipped = float(np.mean(np.abs(heard) >= FULL))
    clean = 1.0 if clipped <= CLIPPED[0] else 0.5 if clipped <= CLIPPED[1] else 0.2
    marks.mark(Look.CLIPPING, 20, clean, percent=round(clipped * 100, 2))
    if silent:
        marks.wrong_device(DeviceKind.MICROPHONE, Reason.SILENT, f"silence for {LISTEN_S:.0f} s")
    elif not came:
        detail = f"{share:.0%} of the sound came"
        marks.wrong_device(DeviceKind.MICROPHONE, Reason.IO_ERROR, detail)


async def try_speaker(devices: Devices, marks: Marks) -> None:
    """Play sweeps and look for them in what the microphone hears. Raises DeviceError."""
    async with devices.speaker.lease() as speaker:
        marks.device = speaker.description
        await speaker.set_volume(VOLUME)
        try:
            async with devices.microphone.lease() as microphone:
                pcm, starts = await _loop(speaker, microphone, marks)
        except Elsewhere as other:
            raise other.error from other
        except DeviceError as error:
            await _play_alone(devices, speaker, marks, error)
            return
    heard = chirp.wave_of(pcm)
    marks.show("speaker-heard.wav", wav(pcm))
    found = await asyncio.to_thread(chirp.find, heard, starts)
    marks.curves.append(_levels(heard))
    if found.found:
        start_s = round(found.delay_s - found.curve_s / 2, 4)
        values, seconds = list(found.curve), found.curve_s
        marks.curves.append(
            Curve(name="correlation", values=values, start_s=start_s, seconds=seconds)
        )
    marks.mark(Look.PLAYED, 10, 1)
    _judge_loop(found, heard, marks)


def _judge_loop(found: chirp.Heard, heard: chirp.Wave, marks: Marks) -> None:
    needed = round(chirp.PROMINENCE_DB)
    marks.mark(Look.HEARD, 50, found.found, db=round(found.prominence_db), needed=needed)
    if not found.found:
        if not np.any(np.abs(heard) > SILENT_PEAK):  # it would not hear the best loudspeaker
            detail = "digital silence while the loudspeaker played"
            marks.wrong_device(DeviceKind.MICROPHONE, Reason.SILENT, detail)
        else:
            detail = f"the microphone hears {chirp.dbfs(heard):.0f} dBFS, and no sweep in it"
            marks.wrong_device(DeviceKind.SPEAKER, Reason.SILENT, detail)
        return
    loud = 1.0 if found.level_dbfs >= LOUD_DBFS[0] else 0.5
    if found.level_dbfs < LOUD_DBFS[1]:
        loud = 0.2
    marks.mark(Look.LOUDNESS, 25, loud, dbfs=round(found.level_dbfs))
    quick = 1.0 if found.delay_s <= SLOW_S else 0.4
    marks.mark(Look.DELAY, 15, quick, ms=round(found.delay_s * 1000))


async def _play_alone(devices: Devices, speaker: Speaker, marks: Marks, error: DeviceError) -> None:
    """Without a microphone only somebody in the room can tell."""
    for chunk in chirp.chunks():
        await speaker.play(chunk)
        await asyncio.sleep(CHUNK_S)
    marks.mark(Look.PLAYED, 10, 1)
    marks.untried(Look.HEARD, 50, Untried.NO_MICROPHONE, proves=True)
    if error.reason is not Reason.NOT_CONFIGURED:
        kind = devices.microphone.device.kind
        marks.wrong_device(kind, error.reason, error.detail)


async def _loop(speaker: Speaker, microphone: Microphone, marks: Marks) -> tuple[bytes, float]:
    """Play and record at once; return what was heard, and at which of its seconds it began."""
    await microphone.chunk()  # it flows
    began = time.monotonic()
    recording = asyncio.create_task(
        _record(microphone, chirp.LISTEN_S + 3 * CHUNK_S, marks, began), name="trial listens"
    )
    try:
        for number, chunk in enumerate(chirp.chunks()):
            await asyncio.sleep(began + (number - AHEAD) * CHUNK_S - time.monotonic())
            try:
                await speaker.play(chunk)
            except DeviceError as error:
                raise Elsewhere(error) from error
        pcm, first = await recording
    finally:
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)
    return pcm, began - first


async def _record(
    microphone: Microphone, seconds: float, marks: Marks, began: float
) -> tuple[bytes, float]:
    """Return the sound, and when its first sample was taken (monotonic)."""
    pcm = bytearray()
    first = float("inf")
    count = round(seconds / CHUNK_S)
    for number in range(count):
        chunk = await microphone.chunk()
        pcm += chunk.pcm
        # The earliest of what they say: a chunk may come late, none comes early.
        first = min(first, chunk.captured_at - (number + 1) * CHUNK_S)
        marks.progress((time.monotonic() - began) / seconds, Look.SOUND)
    return bytes(pcm), first


def _levels(heard: chirp.Wave) -> Curve:
    values = list(chirp.levels(heard))
    return Curve(name="levels", values=values, start_s=0.0, seconds=len(heard) / SAMPLE_RATE)


def wav(pcm: bytes) -> bytes:
    """Return S16LE sound as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(SAMPLE_RATE)
        target.writeframes(pcm)
    return file.getvalue()
